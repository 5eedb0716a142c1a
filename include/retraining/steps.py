"""One public function a task: load what earlier steps left, call the stage, keep the result, return where it is.

Every step may be killed and repeated: its outputs are named by their content or by the run, manifests come last.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Sequence
from datetime import datetime

from include.retraining.artifacts import (
    Approval,
    CandidateRecord,
    EmbeddingRecord,
    EvaluationRecord,
    ExtractorRecord,
    IntakeRecord,
    Move,
    PlannedShard,
    PromotionDecision,
    ResamplingRecord,
    RollbackOrder,
    SelectionRecord,
    SnapshotRecord,
    VersionRecord,
)
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.run import (
    APPROVAL,
    DECISION,
    EMBEDDING,
    EMBEDDING_PLAN,
    EVALUATION,
    EXTRACTOR,
    EXTRACTOR_CHOICE,
    IMAGE_LEVEL,
    INTAKE,
    LABEL_DOUBTS,
    PROMOTION,
    RECONSTRUCTION,
    RESAMPLING,
    SELECTION,
    SNAPSHOT,
    VERSION,
    Run,
    run_key,
)
from include.retraining.storage.base import ObjectStore, uri_of

logger = logging.getLogger(__name__)

EVALUATED = (VERSION, SELECTION, SNAPSHOT, EMBEDDING)  # records that an evaluation is made of


def list_batch(run: Run) -> list[str]:
    """Lists what was delivered for the window's days, in shards.

    Side effects:
        Removes what an earlier attempt of the same run recorded, then writes one listing a shard, and the warnings.

    Returns:
        URIs of the listings; empty where nothing was delivered.
    """
    from include.retraining.intake import exchange
    from include.retraining.intake.delivery.listing import list_delivery

    run.forget()
    delivery = list_delivery(run)
    exchange.keep_listing_warnings(run, delivery.warnings)
    return exchange.keep_listings(run, delivery.rows)


def inspect_images(run: Run, listing_uri: str) -> str:
    """Finds out the facts about one shard's images; returns the URI of the facts."""
    from include.retraining.intake import exchange
    from include.retraining.intake.inspection.inspection import inspect

    listing = exchange.recall_listing(run, listing_uri)
    return exchange.keep_facts(run, listing_uri, inspect(run, listing))


def validate_batch(run: Run, facts_uris: Sequence[str], *, register_baseline: bool) -> str:
    """Judges every delivered image and each day's batch as a whole; returns the URI of the verdicts."""
    from include.retraining.intake import exchange
    from include.retraining.intake.verdicts import judge

    return exchange.keep_judgement(run, judge(run, facts_uris, register_baseline=register_baseline))


def quarantine_images(run: Run, verdicts_uri: str) -> str:
    """Copies refused images into quarantine with their reasons; returns the URI of the verdicts."""
    from include.retraining.intake import exchange
    from include.retraining.intake.quarantine import quarantine_images as quarantine

    quarantine(run, exchange.recall_judgement(run, verdicts_uri))
    return verdicts_uri


def accept_batch(run: Run, verdicts_uri: str, *, register_baseline: bool) -> str:
    """Publishes the accepted images as batches, or refuses the delivery; returns the URI of the intake's record.

    Raises:
        DataContractError: If a batch as a whole breaks the contract.
    """
    from include.retraining.intake import exchange
    from include.retraining.intake.acceptance import accept_batches

    verdicts = exchange.recall_judgement(run, verdicts_uri)
    return run.record(INTAKE, accept_batches(run, verdicts, register_baseline=register_baseline))


def freeze_snapshot(run: Run, intake_uri: str) -> str:
    """Freezes all accepted batches up to the end of the window; returns the URI of the snapshot's record.

    Raises:
        KeyError: If the run's intake left no record: batches are complete only then.
    """
    from include.retraining.dataset.snapshot import freeze

    run.load(intake_uri, IntakeRecord)
    return run.record(SNAPSHOT, freeze(run))


def choose_extractor(run: Run) -> str:
    """Finds out with which weights the network makes this run's vectors; returns the URI of the extractor's record."""
    from include.retraining.embedding.fine_tuning.choice import choose_extractor as choose

    return run.record(EXTRACTOR_CHOICE, choose(run))


def fine_tune_backbone(run: Run, extractor_uri: str, snapshot_uri: str) -> str:
    """Trains the network on the train images where it is due; returns the URI of the extractor's record."""
    from include.retraining.embedding.fine_tuning.training import fine_tune

    choice = run.load(extractor_uri, ExtractorRecord)
    if not choice.fine_tune_because:
        return extractor_uri
    return run.record(EXTRACTOR, fine_tune(run, choice, run.load(snapshot_uri, SnapshotRecord)))


def plan_shards(run: Run, snapshot_uri: str, extractor_uri: str) -> list[PlannedShard]:
    """Finds the images that have no vector yet; returns the shards, none if every vector is stored."""
    from include.retraining.embedding.extraction.shards import keep_shard, plan

    extractor = run.load(extractor_uri, ExtractorRecord)
    record, shards = plan(run, run.load(snapshot_uri, SnapshotRecord).uri, extractor)
    run.record(EMBEDDING_PLAN, record)
    return [PlannedShard(keep_shard(run, index, shard), shard.label) for index, shard in enumerate(shards)]


def extract_embeddings(
    run: Run,
    shard_uri: str,
    extractor_uri: str,
    *,
    progress: Callable[[int, int], None] | None = None,
    alone: bool = False,
) -> str:
    """Computes the vectors of one shard; returns the URI under which they are stored.

    Args:
        run: What and where.
        shard_uri: Of the shard.
        extractor_uri: Of the extractor's record.
        progress: Told how many of how many images are done; by default the log is.
        alone: Whether this process does nothing but embed, and may arrange its threads for that.
    """
    from include.retraining.embedding.extraction.extraction import extract
    from include.retraining.embedding.extraction.shards import recall_shard

    shard, extractor = recall_shard(run, shard_uri), run.load(extractor_uri, ExtractorRecord)
    return extract(run, shard, extractor, progress=progress, alone=alone)


def gather_embeddings(run: Run, snapshot_uri: str, extractor_uri: str) -> str:
    """Makes sure that every vector is stored; returns the URI of the record that later stages read them by."""
    from include.retraining.embedding.gathering import gather

    snapshot = run.load(snapshot_uri, SnapshotRecord)
    return run.record(EMBEDDING, gather(run, snapshot.uri, run.load(extractor_uri, ExtractorRecord)))


def doubt_labels(run: Run, snapshot_uri: str, embedding_uri: str) -> str:
    """Lists the images whose label their vectors contradict; returns the URI of the list's record."""
    from include.retraining.label_quality.doubts import doubt_labels as doubt

    snapshot = run.load(snapshot_uri, SnapshotRecord)
    return run.record(LABEL_DOUBTS, doubt(run, snapshot.uri, run.load(embedding_uri, EmbeddingRecord)))


def plan_resampling(run: Run, snapshot_uri: str, embedding_uri: str) -> str:
    """Plans the synthetic rows of every strategy that resamples; returns the URI of the plans' record."""
    from include.retraining.balancing.resampling import resample

    snapshot = run.load(snapshot_uri, SnapshotRecord)
    return run.record(RESAMPLING, resample(run, snapshot.uri, run.load(embedding_uri, EmbeddingRecord)))


def reconstruct_images(run: Run, snapshot_uri: str, embedding_uri: str, resampling_uri: str) -> str:
    """Turns synthetic vectors back into pictures; returns the URI of their record."""
    from include.retraining.reconstruction.reconstruction import reconstruct

    record = reconstruct(
        run,
        run.load(snapshot_uri, SnapshotRecord),
        run.load(embedding_uri, EmbeddingRecord),
        run.load(resampling_uri, ResamplingRecord),
    )
    return run.record(RECONSTRUCTION, record)


def train_on_images(run: Run, snapshot_uri: str, embedding_uri: str, resampling_uri: str) -> str:
    """Trains the image-level CNN on pictures of the balanced rows, for comparison; returns the URI of its record."""
    from include.retraining.reconstruction.image_level import train_on_images as train

    record = train(
        run,
        run.load(snapshot_uri, SnapshotRecord),
        run.load(embedding_uri, EmbeddingRecord),
        run.load(resampling_uri, ResamplingRecord),
    )
    return run.record(IMAGE_LEVEL, record)


def train_candidate(run: Run, name: str, snapshot_uri: str, embedding_uri: str, resampling_uri: str) -> str:
    """Trains one candidate; returns the URI of its record."""
    from include.retraining.training.candidates import candidate_of, train

    record = train(
        run,
        candidate_of(run.config, name),
        run.load(snapshot_uri, SnapshotRecord),
        run.load(embedding_uri, EmbeddingRecord),
        run.load(resampling_uri, ResamplingRecord),
    )
    return run.record(f"candidates/{run_key(record.name)}.json", record)


def select_challenger(run: Run, candidate_uris: Sequence[str]) -> str:
    """Chooses the challenger by the candidates' cross-validation; returns the URI of the selection."""
    from include.retraining.training.selection import select

    candidates = [run.load(uri, CandidateRecord) for uri in candidate_uris]
    return run.record(SELECTION, select(candidates, run.config.training))


def export_model(run: Run, selection_uri: str, snapshot_uri: str, embedding_uri: str, resampling_uri: str) -> str:
    """Publishes the challenger as a model version; returns the URI of the version's record."""
    from include.retraining.training.export import export

    version = export(
        run,
        run.load(selection_uri, SelectionRecord).winner,
        run.load(snapshot_uri, SnapshotRecord),
        run.load(embedding_uri, EmbeddingRecord),
        run.load(resampling_uri, ResamplingRecord),
    )
    return run.record(VERSION, version)


def evaluate_challenger(run: Run, version_uri: str, selection_uri: str, snapshot_uri: str, embedding_uri: str) -> str:
    """Scores challenger and champion on the same test rows; returns the URI of the evaluation."""
    from include.retraining.evaluation.comparison import evaluate

    evaluation = evaluate(
        run,
        run.load(version_uri, VersionRecord),
        run.load(selection_uri, SelectionRecord),
        run.load(snapshot_uri, SnapshotRecord),
        run.load(embedding_uri, EmbeddingRecord),
    )
    return run.record(EVALUATION, evaluation)


def _evaluate_again(run: Run) -> str:
    """Scores the challenger and the champion of now; returns the URI of the evaluation."""
    return evaluate_challenger(run, *(uri_of(run.store, f"{run.prefix}{name}") for name in EVALUATED))


def decide_promotion(run: Run, evaluation_uri: str, *, allowed: bool, rebaseline: bool) -> str:
    """Decides whether the challenger replaces the champion, and journals the decision; returns its URI.

    Where another run moved the champion after the evaluation, the new one is scored on the same rows first.

    Args:
        run: What and where.
        evaluation_uri: Of the evaluation.
        allowed: Whether the champion may be replaced; if not, the decision is a dry run.
        rebaseline: Whether a champion that cannot be scored may be replaced on the absolute gates alone.
    """
    from include.retraining import journal
    from include.retraining.promotion.champion import ROUNDS
    from include.retraining.promotion.decision import Request, decide
    from include.retraining.promotion.evidence import gather_evidence

    request = Request(
        run_id=run.run_id,
        decided_at=run.started_at,
        by=run.started_by,
        is_dry_run=not allowed,
        rebaseline=rebaseline,
    )
    evidence = gather_evidence(run, run.load(evaluation_uri, EvaluationRecord))
    for _ in range(ROUNDS):
        if not evidence.is_overtaken:
            break
        evidence = gather_evidence(run, run.load(_evaluate_again(run), EvaluationRecord))
    decision = decide(run.config, evidence, request)
    journal.append(run.store, run.classifier, decision)
    logger.info(
        "decision approved=%s dry_run=%s challenger=%s reasons=%s",
        decision.approved,
        decision.is_dry_run,
        decision.challenger,
        decision.reasons,
    )
    return run.record(DECISION, decision)


def record_approval(run: Run, *, approved: bool, by: str, answered_at: datetime) -> str:
    """Journals what a person said to the run's approved decision; returns the URI of the record."""
    from include.retraining import journal

    decision = run.recall(DECISION, PromotionDecision)
    approval = Approval(decision.challenger, run.run_id, approved=approved, by=by, answered_at=answered_at)
    journal.append(run.store, run.classifier, approval)
    return run.record(APPROVAL, approval)


def promote_challenger(run: Run, decision_uri: str, *, rebaseline: bool) -> Move | PromotionDecision:
    """Moves the champion pointer to an approved challenger.

    Where another run moved it after the decision, the new champion is scored on the same rows and it is decided again;
    not after a person approved: that was about another comparison. Where the recipe requires approval nothing moves
    without it, whoever calls.

    Returns:
        The move; or the refusal, or dry run, that it stays at.
    """
    from include.retraining.promotion.promotion import promote

    def decide_again() -> PromotionDecision:
        evaluation = _evaluate_again(run)
        return run.load(decide_promotion(run, evaluation, allowed=True, rebaseline=rebaseline), PromotionDecision)

    decision = run.load(decision_uri, PromotionDecision)
    if not decision.acts:
        return decision
    approval = run.recall_if_any(APPROVAL, Approval)
    outcome: Move | PromotionDecision
    if objection := _objection(run, approval):
        outcome = dataclasses.replace(decision, approved=False, reasons=(objection,), resulting=decision.champion)
    else:
        outcome = promote(run, decision, decide_again=decide_again if approval is None else None)
    run.record(PROMOTION if isinstance(outcome, Move) else DECISION, outcome)
    return outcome


def _objection(run: Run, approval: Approval | None) -> str:
    """Returns why people let nothing be promoted, as a sentence; empty where they do. The journal has their answer."""
    if approval is not None and not approval.approved:
        return f"vetoed by {approval.by}" if approval.by else "nobody approved it in time"
    if approval is None and run.config.promotion.require_approval:
        return "the recipe requires that a person approves, and nobody did: models promote does it by hand"
    return ""


def roll_back(config: ClassifierConfig, store: ObjectStore, order: RollbackOrder) -> Move:
    """Makes an earlier version the champion again, once it is proven whole.

    Raises:
        ConfigurationError: If the order cannot be carried out, or another version became champion meanwhile.
        ArtifactIntegrityError: If it is not whole, does not load, or says something else than it did when it was made.
        PointerMovedError: If the pointer is written again and again meanwhile.
    """
    from include.retraining.promotion.rollback import roll_back as roll
    from include.retraining.reporting.cards import publish_cards

    move = roll(config, store, order)
    try:
        publish_cards(config, store, [name for name in (move.incumbent, move.resulting) if name])
    except ArtifactIntegrityError as error:  # what is left may be damaged: that may be why it is left
        logger.warning("the model cards are as they were: %s", error)
    return move


def publish_report(run: Run) -> str:
    """Writes the report of whatever the run came to; returns its URI."""
    from include.retraining.reporting.report import publish_report as publish

    return publish(run)
