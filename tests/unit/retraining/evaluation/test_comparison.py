from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from include.retraining import registry
from include.retraining.artifacts import CandidateRecord, SelectionRecord, SnapshotRecord, VersionRecord
from include.retraining.embedding.scaling import Scaler
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, InsufficientDataError
from include.retraining.evaluation import comparison
from include.retraining.evaluation.comparison import evaluate
from include.retraining.metrics import classification_metrics
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import publish
from include.retraining.training.head import Head, Layer
from tests.builders import LABELS, WINDOW, crown, make_candidate, make_run, make_selection
from tests.datasets import embedding_of, publish_snapshot, row, store_vectors
from tests.unit.retraining.evaluation.grey import BRIGHT, DARK, MIDDLE, grey_model, grey_row, publish_grey_version

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves

# One test image of each label is judged right, and one daisy wrong.
TESTED = (
    ("a" * 64, "daisy", DARK),
    ("b" * 64, "orchid", BRIGHT),
    ("c" * 64, "poppy", MIDDLE),
    ("d" * 64, "daisy", BRIGHT),
)


@pytest.fixture
def run() -> Run:
    return make_run()


@pytest.fixture
def snapshot(run: Run) -> SnapshotRecord:
    """Test images, and images of other splits whose pictures are not there: whoever scores those fails."""
    rows = [grey_row(run, *one) for one in TESTED] + [row("e" * 64, split="train"), row("f" * 64, split="validation")]
    vectors = np.array([[grey, 1.0] for *_, grey in TESTED] + [[0, 0], [0, 0]], np.float32)
    store_vectors(run, rows, vectors)
    return publish_snapshot(run, rows)


def candidate(
    run: Run, name: str, kernel: list[list[float]], thresholds: tuple[float, ...] | None = None
) -> CandidateRecord:
    """A published candidate that looks at the two numbers of a vector."""
    scaler = Scaler(np.zeros(2, np.float32), np.ones(2, np.float32))
    layer = Layer(np.array(kernel, np.float32), np.zeros(3, np.float32))
    head = Head(scaler, (layer,), thresholds=None if thresholds is None else np.array(thresholds, np.float32))
    prefix = layout.candidate(run.classifier, name)
    publish(run.store, prefix, {"head.npz": head.to_npz()})
    return make_candidate(name, uri=uri_of(run.store, prefix))


def evaluated(run: Run, version: VersionRecord, snapshot: SnapshotRecord, selection: SelectionRecord | None = None):
    selection = selection or make_selection([candidate(run, "smote", [[0, 0, 0], [0, 0, 1]])])
    return evaluate(run, version, selection, snapshot, embedding_of(run))


def test_without_a_champion_the_challenger_is_scored_alone(run: Run, snapshot: SnapshotRecord):
    version = publish_grey_version(run)
    record = evaluated(run, version, snapshot)
    assert (record.version, record.window_end) == (version.name, WINDOW.end)
    assert (record.champion_version, record.champion_window_end, record.champion) == (None, None, None)
    assert not record.is_same_model
    assert record.challenger.n_rows == {"daisy": 2, "poppy": 1, "orchid": 1}
    assert record.challenger.recall == {"daisy": 0.5, "poppy": 1.0, "orchid": 1.0}
    assert record.challenger.confusion == ((1, 0, 1), (0, 1, 0), (0, 0, 1))


def test_challenger_and_champion_are_scored_on_the_same_rows(
    run: Run, snapshot: SnapshotRecord, monkeypatch: pytest.MonkeyPatch
):
    asked = []
    scores = comparison.version_scores

    def watched(run, version, rows, **options):
        asked.append((version, list(rows["image_id"])))
        return scores(run, version, rows, **options)

    monkeypatch.setattr(comparison, "version_scores", watched)
    old, new = publish_grey_version(run, sharpness=5), publish_grey_version(run)
    crown(run.store, old, window_end=WINDOW.start)
    record = evaluated(run, new, snapshot)
    assert sorted(asked) == sorted([(old.name, [one[0] for one in TESTED]), (new.name, [one[0] for one in TESTED])])
    assert (record.champion_version, record.champion_window_end) == (old.name, WINDOW.start)
    assert record.champion.n_rows == record.challenger.n_rows
    pixels = np.stack([np.full((2, 2, 3), grey, np.uint8) for *_, grey in TESTED])
    y_true = np.array([LABELS.index(label) for _, label, _ in TESTED])
    for metrics, sharpness in ((record.challenger, 20.0), (record.champion, 5.0)):
        expected = classification_metrics(y_true, np.asarray(grey_model(sharpness)(pixels)), LABELS)
        assert metrics.confusion == expected.confusion
        assert metrics.ece == pytest.approx(expected.ece, abs=1e-6)
    assert record.challenger.ece != record.champion.ece
    assert not record.is_same_model


def test_a_model_that_was_trained_again_from_the_same_data_is_the_same_model(run: Run, snapshot: SnapshotRecord):
    champion = publish_grey_version(run)
    crown(run.store, champion)
    version = registry.read_version(run.store, run.classifier, champion.name)
    prefix = layout.version(run.classifier, champion.name)
    files = {name: run.store.get(f"{prefix}{name}") for name in version.manifest.files}
    files[registry.LINEAGE] += b"\n"  # another run's, another window's
    registry.publish_version(run.store, run.classifier, "20260104T0200-0", files)
    again = registry.read_manifest(run.store, layout.version(run.classifier, "20260104T0200-0"))
    record = evaluated(run, VersionRecord("20260104T0200-0", "", again.digest, 0.0), snapshot)
    assert record.is_same_model
    assert record.champion == record.challenger


def test_a_champion_whose_content_is_not_what_its_pointer_says_is_refused(run: Run, snapshot: SnapshotRecord):
    version, champion = publish_grey_version(run), publish_grey_version(run, sharpness=5)
    crown(run.store, dataclasses.replace(champion, digest="0" * 64))
    with pytest.raises(ArtifactIntegrityError, match=f"expected content {'0' * 64}"):
        evaluated(run, version, snapshot)


def test_a_challenger_whose_content_is_not_what_was_exported_is_refused(run: Run, snapshot: SnapshotRecord):
    version = dataclasses.replace(publish_grey_version(run), digest="0" * 64)
    with pytest.raises(ArtifactIntegrityError, match=f"expected content {'0' * 64}"):
        evaluated(run, version, snapshot)


def test_a_champion_of_other_labels_is_refused_and_not_compared_label_by_position(run: Run, snapshot: SnapshotRecord):
    version = publish_grey_version(run)
    crown(run.store, publish_grey_version(run, labels=("orchid", "poppy", "daisy")))
    with pytest.raises(ConfigurationError, match="cannot be compared"):
        evaluated(run, version, snapshot)


def test_every_candidate_is_scored_on_the_same_rows_for_the_report(run: Run, snapshot: SnapshotRecord):
    selection = make_selection(
        [candidate(run, "smote", [[0, 0, 0], [0, 0, 1]]), candidate(run, "none", [[0, 0, 0], [1, 0, 0]])]
    )
    record = evaluated(run, publish_grey_version(run), snapshot, selection)
    assert list(record.candidates) == ["smote · linear", "none · linear"]
    assert record.candidates["smote · linear"].recall == {"daisy": 0.0, "poppy": 0.0, "orchid": 1.0}
    assert record.candidates["none · linear"].recall == {"daisy": 1.0, "poppy": 0.0, "orchid": 0.0}


def test_a_candidate_with_thresholds_is_scored_by_them(run: Run, snapshot: SnapshotRecord):
    even = [[0, 0, 0], [0, 0, 0]]
    selection = make_selection([candidate(run, "smote", even, (0.5, 0.2, 0.4)), candidate(run, "none", even)])

    record = evaluated(run, publish_grey_version(run), snapshot, selection)

    assert record.candidates["smote · linear"].recall == {"daisy": 0.0, "poppy": 1.0, "orchid": 0.0}
    assert record.candidates["none · linear"].recall == {"daisy": 1.0, "poppy": 0.0, "orchid": 0.0}


def test_a_version_with_thresholds_decides_by_them_and_keeps_its_probabilities(run: Run, snapshot: SnapshotRecord):
    plain = publish_grey_version(run)
    never_orchid = publish_grey_version(run, thresholds={"daisy": 0.01, "poppy": 0.01, "orchid": 0.999})
    crown(run.store, plain)

    record = evaluated(run, never_orchid, snapshot)

    assert record.champion.recall == {"daisy": 0.5, "poppy": 1.0, "orchid": 1.0}
    assert record.challenger.recall == {"daisy": 0.5, "poppy": 1.0, "orchid": 0.0}
    assert record.challenger.ece == record.champion.ece
    assert not record.is_same_model  # one network, other decisions


def test_without_a_test_row_there_is_nothing_to_decide_on(run: Run):
    empty = publish_snapshot(run, [row("e" * 64, split="train"), row("f" * 64, split="validation")])
    with pytest.raises(InsufficientDataError, match="The test split needs at least 1 images a class; 'daisy' has 0"):
        evaluated(run, publish_grey_version(run), empty)


def test_a_class_without_test_rows_leaves_undefined_what_gates_ask_for(run: Run):
    rows = [grey_row(run, *one) for one in TESTED if one[1] != "poppy"]
    store_vectors(run, rows, np.ones((3, 2), np.float32))
    record = evaluated(run, publish_grey_version(run), publish_snapshot(run, rows))
    assert record.challenger.n_rows["poppy"] == 0
    assert (record.challenger.macro_recall, record.challenger.minimum_recall) == (None, None)


def test_the_digest_of_the_test_rows_is_kept(run: Run, snapshot: SnapshotRecord):
    record = evaluated(run, publish_grey_version(run), snapshot)
    fewer = publish_snapshot(run, [grey_row(run, *one) for one in TESTED[:3]])
    assert record.test_digest != evaluated(run, publish_grey_version(run), fewer).test_digest
