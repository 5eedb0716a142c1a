from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pandas as pd
import pytest

from include.retraining import registry
from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.evaluation.scoring import open_version, version_scores
from include.retraining.evaluation.scoring import test_digest as digest_of  # pytest would collect its own name
from include.retraining.packs import FEWEST_IMAGES, keep_small
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import key_of
from include.retraining.storage.publishing import MANIFEST, manifest_of
from include.retraining.training import keras_file
from tests.builders import make_config, make_run
from tests.datasets import DAY
from tests.stores import DyingStore, holding
from tests.unit.retraining.evaluation.grey import BRIGHT, DARK, MIDDLE, grey_model, grey_row, publish_grey_version

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves

GREYS = {"a": DARK, "b": BRIGHT, "c": MIDDLE, "d": DARK, "e": BRIGHT - 60}
SIZES = {"b": (20, 9), "d": (20, 9), "e": (31, 32)}


def model_of(
    *, n_outputs: int = 3, channels: int = 3, activation: str = "softmax", kernel: float = 1.0, bias: float = 0.0
) -> bytes:
    """A model with a constant kernel, and biases of which the first is given and which sum to 1."""
    keras.utils.clear_session()
    pixels = keras.Input((None, None, channels), dtype="uint8")
    dense = keras.layers.Dense(n_outputs, activation)
    model = keras.Model(pixels, dense(keras.layers.GlobalAveragePooling2D()(pixels)))
    biases = np.array([bias, 1 - bias, *[0.0] * (n_outputs - 2)], np.float32)
    dense.set_weights([np.full((channels, n_outputs), kernel, np.float32), biases])
    return keras_file.to_bytes(model)


def model_with_code() -> bytes:
    """A model with a layer that holds code of whoever made it."""
    keras.utils.clear_session()
    pixels = keras.Input((None, None, 3), dtype="uint8")
    values = keras.layers.Lambda(lambda values: values / 2)(keras.layers.GlobalAveragePooling2D()(pixels))
    return keras_file.to_bytes(keras.Model(pixels, keras.layers.Dense(3, "softmax")(values)))


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


def scores_of(run: Run, name: str, rows: pd.DataFrame, *, expected_digest: str | None = None) -> np.ndarray:
    return version_scores(run, open_version(run, name, expected_digest=expected_digest), rows)


def thresholds_of(run: Run, name: str) -> np.ndarray | None:
    return open_version(run, name).thresholds


def expected_scores(sharpness: float = 20.0) -> np.ndarray:
    pixels = np.concatenate([np.full((1, 4, 4, 3), grey, np.uint8) for grey in GREYS.values()])
    return np.asarray(grey_model(sharpness)(pixels, training=False))


def test_the_scores_are_those_of_the_published_bytes_in_the_order_of_the_rows_whatever_their_sizes(
    run: Run, rows: pd.DataFrame
):
    scores = scores_of(run, publish_grey_version(run).name, rows)
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
        scores = scores_of(run, publish_grey_version(run).name, rows)

    np.testing.assert_allclose(scores, expected_scores(), atol=1e-4)


def test_scores_are_computed_once_for_a_version_and_its_rows(run: Run, rows: pd.DataFrame, request):
    version = publish_grey_version(run)
    scores = scores_of(run, version.name, rows)
    request.getfixturevalue("no_model")
    for key in rows["key"]:
        run.store.delete(key)
    later = dataclasses.replace(run, run_id="manual__2", store=DyingStore(0, run.store.objects))
    assert np.array_equal(scores_of(later, version.name, rows, expected_digest=version.digest), scores)


def test_other_rows_other_labels_of_rows_and_other_versions_are_scored_anew(run: Run, rows: pd.DataFrame, request):
    version, other = publish_grey_version(run), publish_grey_version(run, sharpness=5)
    scores_of(run, version.name, rows)
    request.getfixturevalue("no_model")
    relabelled = rows.assign(label=["poppy", *rows["label"][1:]])
    for name, asked in ((version.name, rows[1:]), (version.name, relabelled), (other.name, rows)):
        with pytest.raises(ArtifactIntegrityError, match="got AssertionError: a model was loaded"):
            scores_of(run, name, asked)


def test_scores_of_a_model_that_was_replaced_under_its_name_are_not_taken(run: Run, rows: pd.DataFrame):
    version, other = publish_grey_version(run), publish_grey_version(run, sharpness=5)
    scores_of(run, version.name, rows)
    files = {}
    for name in (registry.MODEL, registry.LABELS, registry.LINEAGE):
        files[name] = run.store.get(f"{key_of(run.store, other.uri)}{name}")
        run.store.put(f"{key_of(run.store, version.uri)}{name}", files[name])
    run.store.put(f"{key_of(run.store, version.uri)}{MANIFEST}", manifest_of(files).to_json())
    np.testing.assert_allclose(scores_of(run, version.name, rows), expected_scores(5), atol=1e-4)


def test_a_version_that_is_not_the_one_expected_is_refused(run: Run, rows: pd.DataFrame, no_model: None):
    version = publish_grey_version(run)
    with pytest.raises(ArtifactIntegrityError, match=f"expected content {'0' * 64}, got content {version.digest}"):
        scores_of(run, version.name, rows, expected_digest="0" * 64)


@pytest.mark.parametrize(
    "labels", [("poppy", "daisy", "orchid"), ("daisy", "poppy"), ("daisy", "poppy", "orchid", "rose")]
)
def test_a_version_that_knows_other_labels_or_another_order_is_refused(
    run: Run, rows: pd.DataFrame, no_model: None, labels: tuple[str, ...]
):
    version = publish_grey_version(run, labels=labels)
    with pytest.raises(
        ArtifactIntegrityError, match=r"labels\.json: expected the recipe's labels \['daisy', 'poppy', 'orchid'\]"
    ):
        scores_of(run, version.name, rows)


def test_a_version_is_refused_by_a_recipe_with_other_labels_though_its_scores_are_stored(run: Run, rows: pd.DataFrame):
    version = publish_grey_version(run)
    scores_of(run, version.name, rows)
    other = dataclasses.replace(run, config=make_config(labels=("orchid", "poppy", "daisy")))
    with pytest.raises(ArtifactIntegrityError, match=r"labels\.json: expected the recipe's labels \['orchid', "):
        scores_of(other, version.name, rows)


def test_a_version_that_was_never_published_is_refused(run: Run, rows: pd.DataFrame):
    with pytest.raises(ArtifactIntegrityError, match="expected a published artifact, got nothing"):
        scores_of(run, "20260101T0000-000000000000", rows)


def test_a_model_with_a_flipped_bit_is_not_loaded(run: Run, rows: pd.DataFrame, no_model: None):
    version = publish_grey_version(run)
    key = f"{key_of(run.store, version.uri)}{registry.MODEL}"
    run.store.put(key, run.store.get(key)[:-1] + b"\x01")
    with pytest.raises(ArtifactIntegrityError, match=r"model\.keras: expected sha256"):
        scores_of(run, version.name, rows)


def test_a_model_that_was_damaged_since_its_scores_were_kept_is_refused(run: Run, rows: pd.DataFrame):
    version = publish_grey_version(run)
    scores_of(run, version.name, rows)
    run.store.delete(f"{key_of(run.store, version.uri)}{registry.MODEL}")

    with pytest.raises(ArtifactIntegrityError, match=r"model\.keras: expected sha256 .*, got no object"):
        scores_of(run, version.name, rows)


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        pytest.param(b"no zip file", "expected a model of pictures that Keras loads in safe mode, got ", id="no_model"),
        pytest.param(
            model_with_code(), "expected a model of pictures that Keras loads in safe mode, got .*[Ll]ambda", id="code"
        ),
        pytest.param(model_of(n_outputs=2), r"expected 3 probabilities an image, got \(2,\)", id="other_outputs"),
        pytest.param(model_of(activation="linear"), "expected probabilities that sum to 1", id="logits"),
        pytest.param(
            model_of(activation="linear", kernel=0.0, bias=2.0), "expected probabilities that sum to 1", id="negative"
        ),
        pytest.param(model_of(kernel=np.nan), "expected probabilities that sum to 1, got other", id="nan"),
        pytest.param(
            model_of(channels=1), "expected a model of pictures that Keras loads in safe mode, got ", id="other_input"
        ),
    ],
)
def test_a_model_that_gives_no_probabilities_of_pictures_is_an_error_that_names_it(
    run: Run, rows: pd.DataFrame, model: bytes, sentence: str
):
    version = publish_grey_version(run, files={registry.MODEL: model})

    with pytest.raises(ArtifactIntegrityError, match=sentence) as caught:
        scores_of(run, version.name, rows)

    assert caught.value.uri == f"{version.uri}{registry.MODEL}"
    assert list(run.store.list("evaluations/")) == []


def test_a_worker_without_memory_is_no_problem_of_the_version(
    run: Run, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
):
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("include.retraining.training.inference.predict_proba", exhausted)

    with pytest.raises(MemoryError):
        scores_of(run, publish_grey_version(run).name, rows)


def test_an_image_that_changed_since_it_was_accepted_is_not_scored(run: Run, rows: pd.DataFrame):
    version = publish_grey_version(run)
    run.store.put(rows["key"][2], run.store.get(rows["key"][0]))
    with pytest.raises(ArtifactIntegrityError, match="as when it was accepted"):
        scores_of(run, version.name, rows)
    assert list(run.store.list("evaluations/")) == []


def test_stored_scores_that_were_changed_are_refused(run: Run, rows: pd.DataFrame):
    version = publish_grey_version(run)
    scores_of(run, version.name, rows)
    prefix = layout.evaluation(run.classifier, f"{version.name}-{version.digest[:12]}", digest_of(rows))
    (kept,) = (found.key for found in run.store.list(prefix) if not found.key.endswith(MANIFEST))
    run.store.put(kept, b"other")
    with pytest.raises(ArtifactIntegrityError, match=r"scores\.npy: expected sha256"):
        scores_of(run, version.name, rows)


@pytest.mark.parametrize("writes", [0, 1])
def test_a_scoring_that_is_killed_is_done_again_to_the_same_bytes(run: Run, rows: pd.DataFrame, writes: int):
    version = publish_grey_version(run)
    dying = DyingStore(writes, run.store.objects)
    with pytest.raises(StorageUnavailableError):
        scores_of(dataclasses.replace(run, store=dying), version.name, rows)
    left = dataclasses.replace(run, store=holding(dying.objects))
    assert np.array_equal(scores_of(left, version.name, rows), scores_of(run, version.name, rows))
    assert left.store.objects == run.store.objects


def test_a_version_without_thresholds_has_none(run: Run):
    assert thresholds_of(run, publish_grey_version(run).name) is None


def test_thresholds_come_in_the_order_of_the_recipe_s_labels_whatever_theirs(run: Run):
    version = publish_grey_version(run, thresholds={"orchid": 0.1, "daisy": 0.5, "poppy": 0.25})

    thresholds = thresholds_of(run, version.name)

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
        thresholds_of(run, version.name)


def test_thresholds_that_were_changed_are_refused(run: Run):
    version = publish_grey_version(run, thresholds=dict.fromkeys(("daisy", "poppy", "orchid"), 0.5))
    run.store.put(f"{key_of(run.store, version.uri)}{registry.THRESHOLDS}", b"{}")

    with pytest.raises(ArtifactIntegrityError, match=r"thresholds\.json: expected sha256"):
        thresholds_of(run, version.name)


def test_the_digest_of_test_rows_is_that_of_their_images_and_labels(rows: pd.DataFrame):
    assert digest_of(rows.assign(key="elsewhere", group="g")) == digest_of(rows)
    others = (rows[1:], rows[::-1], rows.assign(label="poppy"), rows.assign(image_id=["z", *rows["image_id"][1:]]))
    assert len({digest_of(rows), *map(digest_of, others)}) == 5
