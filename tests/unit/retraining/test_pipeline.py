from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest

from include.retraining import journal, pipeline, registry, steps
from include.retraining.artifacts import (
    EmbeddingPlan,
    EmbeddingRecord,
    EvaluationRecord,
    ImageLevelRecord,
    Move,
    PromotionDecision,
    ReconstructionRecord,
    SelectionRecord,
    SnapshotRecord,
    Window,
)
from include.retraining.config import ClassifierConfig
from include.retraining.dataset.snapshot import read_snapshot
from include.retraining.embedding.extractors import workers
from include.retraining.errors import DataContractError, StorageUnavailableError
from include.retraining.evaluation import comparison
from include.retraining.evaluation.serving_cost import serving_cost
from include.retraining.run import (
    DECISION,
    EMBEDDING,
    EMBEDDING_PLAN,
    EVALUATION,
    IMAGE_LEVEL,
    PROMOTION,
    RECONSTRUCTION,
    SELECTION,
    SNAPSHOT,
    Run,
)
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, key_of
from include.retraining.storage.memory import InMemoryStore
from tests.builders import CLASSIFIER, LABELS, RUN_ID, WINDOW, make_config, make_run
from tests.datasets import DAY, picture
from tests.promotions import make_decision
from tests.stores import DyingStore, RememberingStore, holding

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves

CONFIG = make_config(
    embedding={"image_size": 32, "layers": ["block_2"], "batch_size": 16, "shard_images": 40},
    training={
        "strategies": ["none", "class_weights", "logit_adjusted_loss", "smote"],
        "heads": {"linear": {"weight_decay": 0.01}},
        "selection": {"folds": 2},
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 0.3,
    },
    gates=[
        {"gate": "test_rows", "minimum_per_class": 5},
        {"gate": "floor", "metric": "macro_recall", "minimum": 0.5},
        {"gate": "non_inferior", "metric": "macro_recall", "tolerance": 1.0},
    ],
)
NEXT_WINDOW = Window(start=WINDOW.end, end=WINDOW.end + timedelta(days=1))

# The steps in their order, with how many of the states in which a kill could leave them are tried: all where it is
# cheap, else some from the first to the last.
ALL = 99
STEPS = {
    "list_batch": ALL,
    "inspect_images": ALL,
    "validate_batch": 3,
    "quarantine_images": ALL,
    "accept_batch": ALL,
    "freeze_snapshot": ALL,
    "choose_extractor": ALL,
    "plan_shards": ALL,
    "extract_embeddings": 2,
    "gather_embeddings": ALL,
    "doubt_labels": ALL,
    "plan_resampling": ALL,
    "train_candidate": 3,
    "select_challenger": ALL,
    "export_model": 3,
    "evaluate_challenger": ALL,
    "decide_promotion": ALL,
    "promote_challenger": ALL,
    "publish_report": ALL,
}


def deliver(store: ObjectStore, day: date, counts: Mapping[str, int], first: int = 0, broken: int = 0) -> None:
    """Delivers pictures: of each label the first six pinned to the test split, the next four to validation."""
    prefix = layout.incoming(CLASSIFIER, day)
    lines = ["image,label,group,split"]
    for label, count in counts.items():
        for index in range(count):
            name = f"{label}-{first + index}.png"
            number = LABELS.index(label) * 1000 + first + index
            store.put(f"{prefix}{name}", b"no image" if index < broken else picture(label, number))
            lines.append(f"{name},{label},,{'test' if index < 6 else 'validation' if index < 10 else 'train'}")
    store.put(f"{prefix}labels.csv", "\n".join(lines).encode())
    store.put(f"{prefix}_READY", b"")


def retrained(run: Run, *, allowed: bool = True) -> pipeline.Outcome:
    return pipeline.retrain(run, pipeline.Wishes(allowed=allowed), progress=lambda *_: None)


@dataclasses.dataclass(frozen=True)
class Call:
    """One call of a step in an undisturbed run.

    Attributes:
        step: Its name.
        arguments: What it was given beside the run.
        options: What it was given by name.
        result: What it returned.
        states: What the store held before each of its writes.
        after: What the store held when it returned.
    """

    step: str
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    result: Any
    states: Sequence[dict[str, bytes]]
    after: dict[str, bytes]


@dataclasses.dataclass(frozen=True)
class Undisturbed:
    """A whole run that nothing went wrong in."""

    run: Run
    outcome: pipeline.Outcome
    calls: list[Call]
    delivered: dict[str, bytes]
    told: list[tuple[str, int, int]]

    @property
    def objects(self) -> dict[str, bytes]:
        return dict(self.run.store.objects)

    def on(self, store: InMemoryStore, **changes: Any) -> Run:
        return dataclasses.replace(self.run, store=store, **changes)


@pytest.fixture(scope="module", autouse=True)
def steady_clock() -> Iterator[None]:
    """Every call of a model takes a second: what was measured and lost before it was kept is the same when repeated."""
    with pytest.MonkeyPatch.context() as patch:
        seconds = itertools.count()
        patch.setattr(comparison, "serving_cost", partial(serving_cost, timer=lambda: float(next(seconds))))
        yield


@pytest.fixture(scope="module")
def undisturbed(steady_clock: None) -> Undisturbed:
    store = RememberingStore()
    deliver(store, DAY, {"daisy": 40, "poppy": 20, "orchid": 16}, broken=1)
    delivered = dict(store.objects)
    calls: list[Call] = []
    told: list[tuple[str, int, int]] = []

    def remembered(name: str):
        step = getattr(steps, name)

        def call(run: Run, *arguments: Any, **options: Any) -> Any:
            first = len(store.states)
            result = step(run, *arguments, **options)
            calls.append(Call(name, arguments, options, result, store.states[first:], dict(store.objects)))
            return result

        return call

    run = make_run(store, CONFIG)
    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(steps, name, remembered(name))
        outcome = pipeline.retrain(run, pipeline.Wishes(), progress=lambda *it: told.append(it))
    return Undisturbed(run, outcome, calls, delivered, told)


def champion_of(store: ObjectStore) -> tuple[str, str]:
    pointer, _ = registry.champion(store, CLASSIFIER)
    assert pointer is not None
    assert registry.champion_problems(store, CLASSIFIER) == []
    return pointer.version, pointer.digest


def test_a_delivery_becomes_a_champion_that_is_whole(undisturbed: Undisturbed):
    run, outcome = undisturbed.run, undisturbed.outcome
    version, digest = champion_of(run.store)
    assert outcome.delivered
    assert outcome.decision is not None
    assert outcome.decision.approved
    assert outcome.decision.challenger == version
    assert registry.read_version(run.store, CLASSIFIER, version).manifest.digest == digest
    assert run.recall(EVALUATION, EvaluationRecord).challenger.metrics.n_rows == dict.fromkeys(LABELS, 5)
    assert run.recall(PROMOTION, Move).resulting == version
    entries = journal.entries(run.store, CLASSIFIER)
    assert [(entry.number, entry.decision is None, entry.move is None) for entry in entries] == [
        (1, False, True),
        (2, True, False),
    ]
    assert run.store.exists(key_of(run.store, outcome.report_uri))


def test_every_step_is_called_in_the_order_of_the_dag_and_progress_is_told(undisturbed: Undisturbed):
    called = [call.step for call in undisturbed.calls]
    assert list(dict.fromkeys(called)) == list(STEPS)
    assert called.count("extract_embeddings") == 2
    assert [step for step, done, total in undisturbed.told if done == total] == list(STEPS)
    embedded = [(done, total) for step, done, total in undisturbed.told if step == "extract_embeddings"]
    assert {total for _, total in embedded} == {73}
    assert [done for done, _ in embedded] == sorted(done for done, _ in embedded)
    assert embedded[-1] == (73, 73)


def test_pinned_images_are_in_their_split_and_in_no_other(undisturbed: Undisturbed):
    run = undisturbed.run
    rows = read_snapshot(run.store, run.recall(SNAPSHOT, SnapshotRecord).uri)
    index = rows["key"].str.extract(r"-(\d+)\.png$")[0].astype(int)
    assert set(rows["split"][index < 6]) == {"test"}
    assert set(rows["split"][(index >= 6) & (index < 10)]) == {"validation"}
    assert set(rows["split"][index >= 10]) == {"train"}


@pytest.mark.parametrize("step", STEPS)
def test_a_task_that_is_killed_at_any_write_and_repeated_leaves_what_it_would_have_left(
    undisturbed: Undisturbed, step: str
):
    tried = 0
    for call in (call for call in undisturbed.calls if call.step == step):
        for state in spread(call.states, STEPS[step]):
            store = holding(state)
            workers._ready.clear()  # the repeat is another process
            result = getattr(steps, step)(undisturbed.on(store), *call.arguments, **call.options)
            assert result == call.result
            assert store.objects == call.after
            tried += 1
    assert tried


def spread(states: Sequence[dict[str, bytes]], number: int) -> list[dict[str, bytes]]:
    """As many of the states as asked for, evenly from the first to the last."""
    last = len(states) - 1
    chosen = {round(last * index / (number - 1)) for index in range(number)} if states else set()
    return [states[index] for index in sorted(chosen)]


def test_a_run_that_is_killed_at_any_write_and_started_again_ends_with_the_same_champion(undisturbed: Undisturbed):
    writes = sum(len(call.states) for call in undisturbed.calls)
    before_pointer = writes - sum(len(call.states) for call in undisturbed.calls[-2:])
    for number in (30, before_pointer + 1):
        dying = DyingStore(number, undisturbed.delivered)
        with pytest.raises(StorageUnavailableError):
            retrained(undisturbed.on(dying))
        store = holding(dying.objects)
        assert (layout.champion(CLASSIFIER) in dying.objects) is (number > before_pointer)
        retrained(undisturbed.on(store))
        assert champion_of(store) == champion_of(undisturbed.run.store)
        assert registry.version_names(store, CLASSIFIER) == [champion_of(store)[0]]


def test_a_second_run_on_the_same_data_embeds_nothing_trains_nothing_and_promotes_nothing(
    undisturbed: Undisturbed, monkeypatch: pytest.MonkeyPatch
):
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("it was done again")

    monkeypatch.setattr(steps, "extract_embeddings", never)
    monkeypatch.setattr("include.retraining.training.fitting.fit_head", never)
    monkeypatch.setattr(steps, "promote_challenger", never)
    store = holding(undisturbed.objects)
    run = undisturbed.on(store, run_id="manual__again")
    decision = retrained(run).decision
    assert decision is not None
    assert not decision.approved
    assert decision.reasons == (
        "the challenger is the champion, byte for byte: nothing was delivered that changed the model",
    )
    embedding = run.recall(EMBEDDING_PLAN, EmbeddingPlan)
    assert (embedding.n_images, embedding.n_stored, embedding.n_missing) == (73, 73, 0)
    added = set(store.objects) - set(undisturbed.objects)
    assert {key.split("/")[0] for key in added} == {"runs", "models"}
    assert [key for key in added if key.startswith("models/")] == ["models/flowers/history/00000003.json"]
    assert store.get(layout.champion(CLASSIFIER)) == undisturbed.objects[layout.champion(CLASSIFIER)]


def test_what_was_accepted_is_embedded_without_a_training_to_the_same_vectors(undisturbed: Undisturbed):
    store = holding(undisturbed.delivered)
    run = undisturbed.on(store, run_id="command-line-embed")
    pipeline.take_in(run, steps.list_batch(run), register_baseline=False, progress=lambda *_: None)

    embedding = run.load(pipeline.embed_accepted(run, lambda *_: None), EmbeddingRecord)

    assert run.recall(EMBEDDING_PLAN, EmbeddingPlan).n_missing == 73
    assert embedding == undisturbed.run.recall(EMBEDDING, EmbeddingRecord)
    assert {key: body for key, body in store.objects.items() if "/parts/" in key} == {
        key: body for key, body in undisturbed.objects.items() if "/parts/" in key
    }
    assert not list(store.list("models/"))


def test_new_data_makes_a_new_champion_and_an_older_window_sees_what_it_saw_and_dethrones_nobody(
    undisturbed: Undisturbed,
):
    store = holding(undisturbed.objects)
    deliver(store, DAY + timedelta(days=1), {"orchid": 20}, first=100)
    run = undisturbed.on(store, window=NEXT_WINDOW, run_id="scheduled__next")
    assert retrained(run).decision.approved
    assert run.recall(EMBEDDING_PLAN, EmbeddingPlan).n_missing == 20
    newer = champion_of(store)
    assert newer[0].startswith("20260104T0200-")
    assert registry.champion(store, CLASSIFIER)[0].previous == champion_of(undisturbed.run.store)[0]

    backfill = undisturbed.on(store, run_id="backfill__first")
    decision = retrained(backfill).decision
    assert backfill.recall(SNAPSHOT, SnapshotRecord) == undisturbed.run.recall(SNAPSHOT, SnapshotRecord)
    assert decision.challenger == champion_of(undisturbed.run.store)[0]
    assert not decision.approved
    assert any("older data never replaces newer data" in reason for reason in decision.reasons)
    assert champion_of(store) == newer


def test_a_run_that_may_not_promote_decides_and_leaves_the_champion(undisturbed: Undisturbed):
    state = next(call for call in undisturbed.calls if call.step == "decide_promotion").states[0]
    store = holding(state)
    run = undisturbed.on(store, run_id="backfill__1")
    decision = retrained(run, allowed=False).decision
    assert (decision.approved, decision.is_dry_run, decision.acts) == (True, True, False)
    assert (decision.reasons, decision.resulting) == ((), None)
    assert run.recall(DECISION, PromotionDecision) == decision
    assert all(gate.passed for gate in decision.gates)
    assert not store.exists(layout.champion(CLASSIFIER))
    assert run.recall(SELECTION, SelectionRecord) == undisturbed.run.recall(SELECTION, SelectionRecord)


def test_pictures_are_made_where_the_recipe_asks_for_them_and_change_neither_candidates_nor_choice(
    undisturbed: Undisturbed,
):
    training = {**CONFIG.training.model_dump(mode="json"), "mode": "images", "images": {"epochs": 1, "batch_size": 8}}
    document = {**CONFIG.model_dump(mode="json"), "balancing": {"reconstruct": True}, "training": training}
    store = holding(undisturbed.objects)
    run = undisturbed.on(store, run_id="manual__pictures", config=ClassifierConfig.model_validate(document))

    outcome = retrained(run, allowed=False)

    reconstruction = run.recall(RECONSTRUCTION, ReconstructionRecord)
    assert {sheet.label for sheet in reconstruction.sheets} == {"poppy", "orchid"}
    for uri in (reconstruction.projection_uri, *(sheet.uri for sheet in reconstruction.sheets)):
        assert store.get(key_of(store, uri)).startswith(b"\x89PNG")
    assert run.recall(IMAGE_LEVEL, ImageLevelRecord).strategy == "smote"
    assert run.recall(SELECTION, SelectionRecord) == undisturbed.run.recall(SELECTION, SelectionRecord)
    page = store.get(key_of(store, outcome.report_uri)).decode()
    assert page.count("data:image/png;base64,") >= 3
    assert "Image level, for comparison; never promoted" in page


def test_a_run_that_is_started_again_forgets_what_its_earlier_attempt_recorded():
    store = InMemoryStore()
    deliver(store, DAY, {"daisy": 1})
    run = make_run(store, CONFIG)
    run.record(DECISION, make_decision())
    (listing,) = steps.list_batch(run)
    assert [found.key for found in store.list(run.prefix)] == [key_of(store, listing)]


def test_where_nothing_was_delivered_nothing_is_written():
    store = InMemoryStore()
    deliver(store, DAY + timedelta(days=5), {"daisy": 1})
    before = dict(store.objects)
    outcome = retrained(make_run(store, CONFIG))
    assert outcome == pipeline.Outcome(delivered=False, decision=None, report_uri="")
    assert store.objects == before


def test_a_refused_delivery_fails_the_run_with_its_reasons_after_a_report_of_them_was_written():
    store = InMemoryStore()
    deliver(store, DAY, {"daisy": 12, "poppy": 12, "orchid": 12}, broken=6)
    run = make_run(store, CONFIG)
    with pytest.raises(DataContractError, match="2026-01-02"):
        retrained(run)
    assert {key.split("/")[0] for key in store.objects} == {"incoming", "packs", "quarantine", "runs"}
    assert f"{run.prefix}report.html" in store.objects
    assert run.run_id == RUN_ID
