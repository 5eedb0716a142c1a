from __future__ import annotations

import dataclasses
import logging
from typing import Any

import numpy as np
import pandas as pd
import pytest

from include.retraining import registry
from include.retraining.artifacts import (
    Incumbent,
    ServingCost,
    SnapshotRecord,
    VersionRecord,
)
from include.retraining.config import CONFIDENCES
from include.retraining.dataset.snapshot import read_snapshot
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, InsufficientDataError
from include.retraining.evaluation import comparison
from include.retraining.metrics import classification_metrics
from include.retraining.run import Run
from include.retraining.storage import layout
from tests.builders import LABELS, WINDOW, make_config, make_run, make_selection
from tests.datasets import publish_snapshot, row, store_vectors
from tests.stores import DyingStore
from tests.unit.retraining.evaluation.compared import (
    COST,
    EVALUATION,
    LEARNED,
    TESTED,
    candidate,
    difference_of,
    enthroned,
    evaluated,
    frozen,
    older_snapshot,
)
from tests.unit.retraining.evaluation.grey import (
    grey_model,
    grey_row,
    publish_grey_version,
)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves


@pytest.fixture
def run() -> Run:
    return make_run(config=make_config(evaluation=EVALUATION))


@pytest.fixture(autouse=True)
def cost(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str | None]]:
    """Versions and digests whose cost was asked for; nothing is measured."""
    asked: list[tuple[str, str | None]] = []

    def known(run: Run, version: str, *, expected_digest: str | None = None) -> ServingCost:
        asked.append((version, expected_digest))
        return COST

    monkeypatch.setattr(comparison, "serving_cost", known)
    return asked


@pytest.fixture
def snapshot(run: Run) -> SnapshotRecord:
    return frozen(run)


@pytest.fixture
def older(run: Run) -> SnapshotRecord:
    return older_snapshot(run)


@pytest.fixture
def challenger(run: Run, snapshot: SnapshotRecord) -> VersionRecord:
    return publish_grey_version(run, snapshot=snapshot)


def test_without_a_champion_the_challenger_is_scored_alone(
    run: Run, snapshot: SnapshotRecord, challenger: VersionRecord, cost: list[tuple[str, str | None]]
):
    record = evaluated(run, challenger, snapshot)

    assert (record.incumbent, record.champion, record.differences) == (None, None, ())
    assert not record.is_same_model
    assert record.window_end == WINDOW.end
    scored = record.challenger
    assert (scored.version, scored.digest, scored.window_end) == (challenger.name, challenger.digest, WINDOW.end)
    assert scored.metrics.n_rows == {"daisy": 2, "poppy": 1, "orchid": 1}
    assert scored.metrics.recall == {"daisy": 0.5, "poppy": 1.0, "orchid": 1.0}
    assert scored.metrics.confusion == ((1, 0, 1), (0, 1, 0), (0, 0, 1))
    assert (scored.deployment, scored.slices) == (None, ())
    assert record.cost == COST
    assert cost == [(challenger.name, challenger.digest)]


def test_challenger_and_champion_are_scored_on_the_same_rows(
    run: Run,
    snapshot: SnapshotRecord,
    older: SnapshotRecord,
    challenger: VersionRecord,
    monkeypatch: pytest.MonkeyPatch,
):
    asked = []
    scores = comparison.version_scores

    def watched(run, version, rows):
        asked.append((version.name, list(rows["image_id"])))
        return scores(run, version, rows)

    monkeypatch.setattr(comparison, "version_scores", watched)
    champion = enthroned(run, older)

    record = evaluated(run, challenger, snapshot)

    rows = [one[0] for one in TESTED]
    assert asked == [(challenger.name, rows), (champion.name, rows)]
    assert record.incumbent == Incumbent(champion.name, champion.digest, WINDOW.start, problem="")
    assert record.champion is not None
    assert (record.champion.version, record.champion.window_end) == (champion.name, WINDOW.start)
    pixels = np.stack([np.full((2, 2, 3), grey, np.uint8) for *_, grey in TESTED])
    y_true = np.array([LABELS.index(label) for _, label, _ in TESTED])
    for scored, sharpness in ((record.challenger, 20.0), (record.champion, 5.0)):
        expected = classification_metrics(y_true, np.asarray(grey_model(sharpness)(pixels)), LABELS)
        assert scored.metrics.confusion == expected.confusion
        assert scored.metrics.ece == pytest.approx(expected.ece, abs=1e-6)
        gaps = [abs(it.accuracy - it.confidence) * it.n_rows / 4 for it in scored.reliability if it.n_rows]
        assert sum(gaps) == pytest.approx(expected.ece, abs=1e-6)
    assert record.challenger.metrics.ece != record.champion.metrics.ece
    assert not record.is_same_model


def test_differences_are_the_challenger_s_metric_less_the_champion_s_with_bounds_around_them(
    run: Run, snapshot: SnapshotRecord, older: SnapshotRecord, challenger: VersionRecord
):
    enthroned(run, older, thresholds={"daisy": 0.01, "poppy": 0.01, "orchid": 0.999})  # finds no orchid

    record = evaluated(run, challenger, snapshot)

    assert difference_of(record, "recall:orchid").estimate == 1.0
    assert difference_of(record, "recall:poppy").estimate == 0.0
    found = difference_of(record, "macro_recall")
    assert found.estimate == pytest.approx(1 / 3)
    assert [bound.confidence for bound in found.bounds] == list(CONFIDENCES)
    assert all(bound.lower < 1 / 3 < bound.upper for bound in found.bounds)


def test_slices_and_the_prior_of_deployment_are_those_of_the_recipe():
    prior = {"daisy": 0.5, "poppy": 0.25, "orchid": 0.25}
    run = make_run(config=make_config(evaluation={**EVALUATION, "slices": ["camera"], "deployment_prior": prior}))
    snapshot = frozen(run, attributes='{"camera":"north"}')
    enthroned(run, publish_snapshot(run, [row("9" * 64)]))

    record = evaluated(run, publish_grey_version(run, snapshot=snapshot), snapshot)

    for scored in (record.challenger, record.champion):
        assert scored is not None
        assert [(it.name, it.total) for it in scored.slices] == [("camera=north", 4)]
        assert scored.deployment is not None
        assert scored.deployment.prior == prior
        assert scored.deployment.accuracy == pytest.approx(0.75)
    assert difference_of(record, "macro_recall", slice="camera=north").estimate == 0.0
    assert difference_of(record, "accuracy", prior="deployment").estimate == 0.0


def test_the_test_against_chance_permutes_as_the_recipe_s_seed_says(
    run: Run, snapshot: SnapshotRecord, challenger: VersionRecord
):
    record = evaluated(run, challenger, snapshot)
    reseeded = make_config(evaluation={**EVALUATION, "seed": 1})
    other = evaluated(dataclasses.replace(run, config=reseeded), challenger, snapshot)

    assert record.chance.permutations == 100
    assert record.chance.observed == record.challenger.metrics.macro_recall
    assert record.chance.null_mean != other.chance.null_mean


def test_a_repeat_finds_the_same_numbers_and_writes_nothing(
    run: Run, snapshot: SnapshotRecord, older: SnapshotRecord, challenger: VersionRecord
):
    enthroned(run, older)
    selection = make_selection([candidate(run, "smote", [[0, 0, 0], [0, 0, 1]])])
    record = evaluated(run, challenger, snapshot, selection)
    for one in TESTED:
        run.store.delete(f"incoming/{run.classifier}/{one[0]}.png")

    later = dataclasses.replace(run, store=DyingStore(0, run.store.objects))

    assert evaluated(later, challenger, snapshot, selection) == record


def test_what_was_found_is_logged(
    run: Run,
    snapshot: SnapshotRecord,
    older: SnapshotRecord,
    challenger: VersionRecord,
    caplog: pytest.LogCaptureFixture,
):
    champion = enthroned(run, older)

    with caplog.at_level(logging.INFO, comparison.__name__):
        evaluated(run, challenger, snapshot)

    first, second = (record.getMessage() for record in caplog.records if record.name == comparison.__name__)
    assert f"evaluated version={challenger.name} n_rows=4 macro_recall=0.8333" in first
    assert f"compared with champion={champion.name} macro_recall=0.8333" in second
    assert "difference=0.0 lower=-" in second


def test_a_model_that_was_trained_again_from_the_same_data_is_the_same_model(run: Run, snapshot: SnapshotRecord):
    champion = enthroned(run, snapshot, sharpness=20)
    lineage = run.store.get(f"{layout.version(run.classifier, champion.name)}{registry.LINEAGE}")
    again = publish_grey_version(run, snapshot=snapshot, files={registry.LINEAGE: lineage + b"\n"})

    record = evaluated(run, again, snapshot)

    assert again.name != champion.name
    assert record.is_same_model
    assert record.champion is not None
    assert record.champion.metrics == record.challenger.metrics
    found = difference_of(record, "macro_recall")
    assert (found.estimate, found.standard_error) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        pytest.param(
            {"files": {registry.MODEL: b"none"}}, r"model\.keras: expected a model of pictures", id="no_model"
        ),
        pytest.param({"labels": ("daisy", "poppy")}, r"labels\.json: expected the recipe's labels", id="labels"),
        pytest.param({"thresholds": {"daisy": 0.5}}, r"thresholds\.json: expected a positive number", id="thresholds"),
        pytest.param({"snapshot": None}, r"lineage\.json: expected snapshot \w+, the run's, got", id="snapshot"),
    ],
)
def test_a_challenger_that_cannot_be_scored_is_an_error(
    run: Run, snapshot: SnapshotRecord, version: dict[str, Any], sentence: str
):
    challenger = publish_grey_version(run, **{"snapshot": snapshot, **version})

    with pytest.raises(ArtifactIntegrityError, match=sentence):
        evaluated(run, challenger, snapshot)


def test_a_challenger_that_was_trained_on_a_test_row_stops_the_run(
    run: Run, snapshot: SnapshotRecord, challenger: VersionRecord, monkeypatch: pytest.MonkeyPatch
):
    rows = read_snapshot(run.store, snapshot.uri)
    leaked = rows[rows["image_id"] == "b" * 64].assign(split="train")
    monkeypatch.setattr(comparison, "read_snapshot", lambda *_: pd.concat([rows, leaked]))

    with pytest.raises(ConfigurationError, match=f"version {challenger.name} was trained on 1 of the 4 .*: {'b' * 64}"):
        evaluated(run, challenger, snapshot)


def test_a_challenger_whose_content_is_not_what_was_exported_is_refused(
    run: Run, snapshot: SnapshotRecord, challenger: VersionRecord
):
    with pytest.raises(ArtifactIntegrityError, match=f"expected content {'0' * 64}"):
        evaluated(run, dataclasses.replace(challenger, digest="0" * 64), snapshot)


def test_every_candidate_is_scored_on_the_same_rows_for_the_report(
    run: Run, snapshot: SnapshotRecord, challenger: VersionRecord
):
    selection = make_selection(
        [candidate(run, "smote", [[0, 0, 0], [0, 0, 1]]), candidate(run, "none", [[0, 0, 0], [1, 0, 0]])]
    )

    record = evaluated(run, challenger, snapshot, selection)

    assert list(record.candidates) == ["smote · linear", "none · linear"]
    assert record.candidates["smote · linear"].recall == {"daisy": 0.0, "poppy": 0.0, "orchid": 1.0}
    assert record.candidates["none · linear"].recall == {"daisy": 1.0, "poppy": 0.0, "orchid": 0.0}


def test_a_candidate_with_thresholds_is_scored_by_them(run: Run, snapshot: SnapshotRecord, challenger: VersionRecord):
    even = [[0, 0, 0], [0, 0, 0]]
    selection = make_selection([candidate(run, "smote", even, (0.5, 0.2, 0.4)), candidate(run, "none", even)])

    record = evaluated(run, challenger, snapshot, selection)

    assert record.candidates["smote · linear"].recall == {"daisy": 0.0, "poppy": 1.0, "orchid": 0.0}
    assert record.candidates["none · linear"].recall == {"daisy": 1.0, "poppy": 0.0, "orchid": 0.0}


def test_a_version_with_thresholds_decides_by_them_and_keeps_its_probabilities(run: Run, snapshot: SnapshotRecord):
    thresholds = {"daisy": 0.01, "poppy": 0.01, "orchid": 0.999}
    never_orchid = publish_grey_version(run, snapshot=snapshot, thresholds=thresholds)
    enthroned(run, snapshot, sharpness=20)

    record = evaluated(run, never_orchid, snapshot)

    assert record.champion is not None
    assert record.champion.metrics.recall == {"daisy": 0.5, "poppy": 1.0, "orchid": 1.0}
    assert record.challenger.metrics.recall == {"daisy": 0.5, "poppy": 1.0, "orchid": 0.0}
    assert record.challenger.metrics.ece == record.champion.metrics.ece
    assert not record.is_same_model  # one network, other decisions


def test_without_a_test_row_there_is_nothing_to_decide_on(run: Run):
    empty = publish_snapshot(run, LEARNED)

    with pytest.raises(InsufficientDataError, match="The test split needs at least 1 images a class; 'daisy' has 0"):
        evaluated(run, publish_grey_version(run, snapshot=empty), empty)


def test_a_class_without_test_rows_leaves_undefined_what_gates_ask_for(run: Run, older: SnapshotRecord):
    rows = [grey_row(run, *one) for one in TESTED if one[1] != "poppy"]
    store_vectors(run, rows, np.ones((3, 2), np.float32))
    snapshot = publish_snapshot(run, rows)
    enthroned(run, older)

    record = evaluated(run, publish_grey_version(run, snapshot=snapshot), snapshot)

    metrics = record.challenger.metrics
    assert metrics.n_rows["poppy"] == 0
    assert (metrics.macro_recall, metrics.minimum_recall, record.chance.p_value) == (None, None, None)
    assert difference_of(record, "macro_recall").estimate is None
    assert difference_of(record, "recall:daisy").estimate == 0.0


def test_the_digest_of_the_test_rows_is_kept(run: Run, snapshot: SnapshotRecord, challenger: VersionRecord):
    record = evaluated(run, challenger, snapshot)

    fewer = publish_snapshot(run, [grey_row(run, *one) for one in TESTED[:3]])
    other = evaluated(run, publish_grey_version(run, snapshot=fewer), fewer)

    assert record.test_digest != other.test_digest
