"""The whole retraining in one process: the steps in the order in which the Dag runs them. No Airflow needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from include.retraining import steps
from include.retraining.artifacts import EmbeddingPlan, PromotionDecision
from include.retraining.run import DECISION, EMBEDDING_PLAN, SNAPSHOT, Run

Item = TypeVar("Item")


class Progress(Protocol):
    """What is told while a retraining goes on."""

    def __call__(self, step: str, done: int, total: int) -> None:
        """Tells that `done` of `total` parts of a step are done."""
        ...


@dataclass(frozen=True)
class Outcome:
    """How a retraining ended.

    Attributes:
        delivered: Whether there was anything to take in; nothing else happened if not.
        decision: The decision, None where nothing was delivered.
        report_uri: The report; empty where nothing was delivered.
    """

    delivered: bool
    decision: PromotionDecision | None
    report_uri: str


def take_in(run: Run, listings: list[str], *, register_baseline: bool, progress: Progress) -> str:
    """Inspects, validates and accepts what was listed; returns the URI of the intake's record.

    Args:
        run: What and where.
        listings: What `steps.list_batch` returned.
        register_baseline: Compare later batches with the first day and those after it, not with older ones.
        progress: Told before and after each part of a step.

    Raises:
        DataContractError: If a batch as a whole breaks the contract.
    """
    facts = _each("inspect_images", listings, lambda listing: steps.inspect_images(run, listing), progress)
    verdicts = _one(
        "validate_batch", lambda: steps.validate_batch(run, facts, register_baseline=register_baseline), progress
    )
    _one("quarantine_images", lambda: steps.quarantine_images(run, verdicts), progress)
    return _one(
        "accept_batch", lambda: steps.accept_batch(run, verdicts, register_baseline=register_baseline), progress
    )


def embed(run: Run, snapshot: str, progress: Progress, *, alone: bool = False) -> str:
    """Makes the vectors of a frozen dataset; returns the URI of the record that later stages read them by.

    Args:
        run: What and where.
        snapshot: What `steps.freeze_snapshot` returned.
        progress: Told before and after each part of a step; of vectors, how many of how many are there.
        alone: Whether this process does nothing else.

    Raises:
        RetrainingError: As the steps do.
    """
    extractor = _one("choose_extractor", lambda: steps.choose_extractor(run), progress)
    if run.config.fine_tune is not None:
        chosen = extractor
        extractor = _one("fine_tune_backbone", lambda: steps.fine_tune_backbone(run, chosen, snapshot), progress)
    shards = _one("plan_shards", lambda: steps.plan_shards(run, snapshot, extractor), progress)
    plan = run.recall(EMBEDDING_PLAN, EmbeddingPlan)
    done = 0
    for shard in shards:
        before = done

        def tell(n_done: int, n_images: int, before: int = before) -> None:
            nonlocal done
            done = before + n_images
            progress("extract_embeddings", before + n_done, plan.n_missing)

        steps.extract_embeddings(run, shard.uri, extractor, progress=tell, alone=alone)
    return _one("gather_embeddings", lambda: steps.gather_embeddings(run, snapshot, extractor), progress)


def embed_accepted(run: Run, progress: Progress) -> str:
    """Makes the vectors of everything that was accepted up to the end of the window; returns as `embed` does.

    Args:
        run: What and where.
        progress: As in `embed`.

    Raises:
        RetrainingError: As the steps do.
    """
    from include.retraining.dataset.snapshot import freeze  # loads pandas

    snapshot = _one("freeze_snapshot", lambda: run.record(SNAPSHOT, freeze(run)), progress)
    return embed(run, snapshot, progress, alone=run.config.fine_tune is None)


@dataclass(frozen=True)
class Wishes:
    """What may be asked of a retraining.

    Attributes:
        allowed: Whether the champion may be replaced; if not, it is decided and reported all the same.
        rebaseline: Whether a champion that cannot be scored may be replaced on the absolute gates alone.
        register_baseline: As in `take_in`.
    """

    allowed: bool = True
    rebaseline: bool = False
    register_baseline: bool = False


def retrain(run: Run, wishes: Wishes, *, progress: Progress) -> Outcome:
    """Retrains one classifier, from its deliveries to the decision on a promotion.

    Args:
        run: What and where.
        wishes: What is asked of it.
        progress: Told before and after each part of a step.

    Raises:
        RetrainingError: As the steps do; the report of what was reached is written first.
    """
    listings = _one("list_batch", lambda: steps.list_batch(run), progress)
    if not listings:
        return Outcome(delivered=False, decision=None, report_uri="")
    try:
        intake = take_in(run, listings, register_baseline=wishes.register_baseline, progress=progress)
        _train_and_decide(run, intake, progress, wishes)
    finally:
        report_uri = _one("publish_report", lambda: steps.publish_report(run), progress)
    return Outcome(delivered=True, decision=run.recall(DECISION, PromotionDecision), report_uri=report_uri)


def _train_and_decide(run: Run, intake: str, progress: Progress, wishes: Wishes) -> None:
    snapshot = _one("freeze_snapshot", lambda: steps.freeze_snapshot(run, intake), progress)
    embedding = embed(run, snapshot, progress)
    _one("doubt_labels", lambda: steps.doubt_labels(run, snapshot, embedding), progress)
    resampling = _one("plan_resampling", lambda: steps.plan_resampling(run, snapshot, embedding), progress)
    if run.config.balancing.reconstruct:
        pictured = snapshot, embedding, resampling
        _one("reconstruct_images", lambda: steps.reconstruct_images(run, *pictured), progress)
    names = [candidate.name for candidate in run.config.candidates]
    candidates = _each(
        "train_candidate",
        names,
        lambda name: steps.train_candidate(run, name, snapshot, embedding, resampling),
        progress,
    )
    if run.config.training.mode == "images":
        balanced = snapshot, embedding, resampling
        _one("train_on_images", lambda: steps.train_on_images(run, *balanced), progress)
    selection = _one("select_challenger", lambda: steps.select_challenger(run, candidates), progress)
    version = _one(
        "export_model", lambda: steps.export_model(run, selection, snapshot, embedding, resampling), progress
    )
    evaluation = _one(
        "evaluate_challenger", lambda: steps.evaluate_challenger(run, version, selection, snapshot, embedding), progress
    )
    decision = _one(
        "decide_promotion",
        lambda: steps.decide_promotion(run, evaluation, allowed=wishes.allowed, rebaseline=wishes.rebaseline),
        progress,
    )
    if run.load(decision, PromotionDecision).acts:
        _one(
            "promote_challenger",
            lambda: steps.promote_challenger(run, decision, rebaseline=wishes.rebaseline),
            progress,
        )


def _one(step: str, call: Callable[[], Item], progress: Progress) -> Item:
    progress(step, 0, 1)
    result = call()
    progress(step, 1, 1)
    return result


def _each(step: str, items: list[str], call: Callable[[str], Item], progress: Progress) -> list[Item]:
    results: list[Item] = []
    for done, item in enumerate(items):
        progress(step, done, len(items))
        results.append(call(item))
    progress(step, len(items), len(items))
    return results
