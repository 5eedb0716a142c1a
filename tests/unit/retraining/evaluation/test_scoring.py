from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from include.retraining import registry
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, StorageUnavailableError
from include.retraining.evaluation.scoring import test_digest as digest_of  # pytest would collect its own name
from include.retraining.evaluation.scoring import version_scores, version_thresholds
from include.retraining.packs import FEWEST_IMAGES, keep_small
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import key_of
from include.retraining.storage.publishing import MANIFEST, manifest_of
from tests.builders import make_config, make_run
from tests.datasets import DAY
from tests.stores import DyingStore, holding
from tests.unit.retraining.evaluation.grey import BRIGHT, DARK, MIDDLE, grey_model, grey_row, publish_grey_version

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves

GREYS = {"a": DARK, "b": BRIGHT, "c": MIDDLE, "d": DARK, "e": BRIGHT - 60}
SIZES = {"b": (20, 9), "d": (20, 9), "e": (31, 32)}


@pytest.fixture
def run() -> Run:
    return make_run()


@pytest.fixture
def rows(run: Run) -> pd.DataFrame:
    """Test rows in image id order, of three sizes."""
    found = [grey_row(run, image_id, "daisy", grey, SIZES.get(image_id, (8, 8))) for image_id, grey in GREYS.items()]
    return pd.DataFrame(found).assign(date=DAY)


@pytest.fixture
def no_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, no model may be loaded."""

    def never(_: bytes) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("include.retraining.training.keras_file.from_bytes", never)


def expected_scores(sharpness: float = 20.0) -> np.ndarray:
    pixels = np.concatenate([np.full((1, 4, 4, 3), grey, np.uint8) for grey in GREYS.values()])
    return np.asarray(grey_model(sharpness)(pixels, training=False))


def test_the_scores_are_those_of_the_published_bytes_in_the_order_of_the_rows_whatever_their_sizes(
    run: Run, rows: pd.DataFrame
):
    scores = version_scores(run, publish_grey_version(run).name, rows)
    np.testing.assert_allclose(scores, expected_scores(), atol=1e-4)
    assert scores.argmax(axis=1).tolist() == [0, 2, 1, 0, 1]
    assert scores.dtype == np.float32


def test_the_scores_are_in_the_order_of_the_rows_where_the_images_lie_otherwise_in_a_pack(run: Run, rows: pd.DataFrame):
    others = [f"another file {number}".encode() for number in range(FEWEST_IMAGES)]
    bodies = [*others, *(run.store.get(key) for key in rows["key"][::-1])]
    list(keep_small(run.store, run.classifier, [DAY] * len(bodies), bodies))
    run.store.delete(rows["key"][0])
    run.store.delete(rows["key"][4])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("include.retraining.dataset.fetching.WORTH_IMAGES", 2)
        scores = version_scores(run, publish_grey_version(run).name, rows)

    np.testing.assert_allclose(scores, expected_scores(), atol=1e-4)


def test_scores_are_computed_once_for_a_version_and_its_rows(run: Run, rows: pd.DataFrame, request):
    version = publish_grey_version(run)
    scores = version_scores(run, version.name, rows)
    request.getfixturevalue("no_model")
    for key in rows["key"]:
        run.store.delete(key)
    later = dataclasses.replace(run, run_id="manual__2", store=DyingStore(0, run.store.objects))
    assert np.array_equal(version_scores(later, version.name, rows, expected_digest=version.digest), scores)


def test_other_rows_other_labels_of_rows_and_other_versions_are_scored_anew(run: Run, rows: pd.DataFrame, request):
    version, other = publish_grey_version(run), publish_grey_version(run, sharpness=5)
    version_scores(run, version.name, rows)
    request.getfixturevalue("no_model")
    relabelled = rows.assign(label=["poppy", *rows["label"][1:]])
    for name, asked in ((version.name, rows[1:]), (version.name, relabelled), (other.name, rows)):
        with pytest.raises(AssertionError, match="a model was loaded"):
            version_scores(run, name, asked)


def test_scores_of_a_model_that_was_replaced_under_its_name_are_not_taken(run: Run, rows: pd.DataFrame):
    version, other = publish_grey_version(run), publish_grey_version(run, sharpness=5)
    version_scores(run, version.name, rows)
    files = {}
    for name in (registry.MODEL, registry.LABELS):
        files[name] = run.store.get(f"{key_of(run.store, other.uri)}{name}")
        run.store.put(f"{key_of(run.store, version.uri)}{name}", files[name])
    run.store.put(f"{key_of(run.store, version.uri)}{MANIFEST}", manifest_of(files).to_json())
    np.testing.assert_allclose(version_scores(run, version.name, rows), expected_scores(5), atol=1e-4)


def test_a_version_that_is_not_the_one_expected_is_refused(run: Run, rows: pd.DataFrame, no_model: None):
    version = publish_grey_version(run)
    with pytest.raises(ArtifactIntegrityError, match=f"expected content {'0' * 64}, got content {version.digest}"):
        version_scores(run, version.name, rows, expected_digest="0" * 64)


@pytest.mark.parametrize(
    "labels", [("poppy", "daisy", "orchid"), ("daisy", "poppy"), ("daisy", "poppy", "orchid", "rose")]
)
def test_a_version_that_knows_other_labels_or_another_order_is_refused(
    run: Run, rows: pd.DataFrame, no_model: None, labels: tuple[str, ...]
):
    version = publish_grey_version(run, labels=labels)
    with pytest.raises(ConfigurationError, match=r"the recipe has \['daisy', 'poppy', 'orchid'\], .*labels\.json has"):
        version_scores(run, version.name, rows)


def test_a_version_is_refused_by_a_recipe_with_other_labels_though_its_scores_are_stored(run: Run, rows: pd.DataFrame):
    version = publish_grey_version(run)
    version_scores(run, version.name, rows)
    other = dataclasses.replace(run, config=make_config(labels=("orchid", "poppy", "daisy")))
    with pytest.raises(ConfigurationError, match="cannot be compared"):
        version_scores(other, version.name, rows)


def test_a_version_that_was_never_published_is_refused(run: Run, rows: pd.DataFrame):
    with pytest.raises(ArtifactIntegrityError, match="expected a published artifact, got nothing"):
        version_scores(run, "20260101T0000-000000000000", rows)


def test_a_model_with_a_flipped_bit_is_not_loaded(run: Run, rows: pd.DataFrame, no_model: None):
    version = publish_grey_version(run)
    key = f"{key_of(run.store, version.uri)}{registry.MODEL}"
    run.store.put(key, run.store.get(key)[:-1] + b"\x01")
    with pytest.raises(ArtifactIntegrityError, match=r"model\.keras: expected sha256"):
        version_scores(run, version.name, rows)


def test_an_image_that_changed_since_it_was_accepted_is_not_scored(run: Run, rows: pd.DataFrame):
    version = publish_grey_version(run)
    run.store.put(rows["key"][2], run.store.get(rows["key"][0]))
    with pytest.raises(ArtifactIntegrityError, match="as when it was accepted"):
        version_scores(run, version.name, rows)
    assert list(run.store.list("evaluations/")) == []


def test_stored_scores_that_were_changed_are_refused(run: Run, rows: pd.DataFrame):
    version = publish_grey_version(run)
    version_scores(run, version.name, rows)
    prefix = layout.evaluation(run.classifier, f"{version.name}-{version.digest[:12]}", digest_of(rows))
    run.store.put(f"{prefix}scores.npy", b"other")
    with pytest.raises(ArtifactIntegrityError, match=r"scores\.npy: expected sha256"):
        version_scores(run, version.name, rows)


@pytest.mark.parametrize("writes", [0, 1])
def test_a_scoring_that_is_killed_is_done_again_to_the_same_bytes(run: Run, rows: pd.DataFrame, writes: int):
    version = publish_grey_version(run)
    dying = DyingStore(writes, run.store.objects)
    with pytest.raises(StorageUnavailableError):
        version_scores(dataclasses.replace(run, store=dying), version.name, rows)
    left = dataclasses.replace(run, store=holding(dying.objects))
    assert np.array_equal(version_scores(left, version.name, rows), version_scores(run, version.name, rows))
    assert left.store.objects == run.store.objects


def test_a_version_without_thresholds_has_none(run: Run):
    assert version_thresholds(run, publish_grey_version(run).name) is None


def test_thresholds_come_in_the_order_of_the_recipe_s_labels_whatever_theirs(run: Run):
    version = publish_grey_version(run, thresholds={"orchid": 0.1, "daisy": 0.5, "poppy": 0.25})

    thresholds = version_thresholds(run, version.name)

    assert thresholds.dtype == np.float64
    assert thresholds.tolist() == [0.5, 0.25, 0.1]


@pytest.mark.parametrize(
    "thresholds",
    [
        pytest.param({"daisy": 0.5, "poppy": 0.5}, id="too_few"),
        pytest.param({"daisy": 0.5, "poppy": 0.5, "rose": 0.5}, id="another_label"),
        pytest.param({"daisy": 0.5, "poppy": 0.0, "orchid": 0.5}, id="zero"),
        pytest.param({"daisy": 0.5, "poppy": float("nan"), "orchid": 0.5}, id="no_number"),
        pytest.param({}, id="empty"),
    ],
)
def test_thresholds_that_are_no_positive_number_for_each_label_are_refused(run: Run, thresholds: dict[str, float]):
    version = publish_grey_version(run, thresholds=thresholds)

    with pytest.raises(ArtifactIntegrityError, match=r"thresholds\.json: expected a positive number for each of"):
        version_thresholds(run, version.name)


def test_thresholds_that_were_changed_are_refused(run: Run):
    version = publish_grey_version(run, thresholds=dict.fromkeys(("daisy", "poppy", "orchid"), 0.5))
    run.store.put(f"{key_of(run.store, version.uri)}{registry.THRESHOLDS}", b"{}")

    with pytest.raises(ArtifactIntegrityError, match=r"thresholds\.json: expected sha256"):
        version_thresholds(run, version.name)


def test_the_digest_of_test_rows_is_that_of_their_images_and_labels(rows: pd.DataFrame):
    assert digest_of(rows.assign(key="elsewhere", group="g")) == digest_of(rows)
    others = (rows[1:], rows[::-1], rows.assign(label="poppy"), rows.assign(image_id=["z", *rows["image_id"][1:]]))
    assert len({digest_of(rows), *map(digest_of, others)}) == 5
