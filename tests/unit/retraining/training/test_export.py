from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from include.retraining import registry
from include.retraining.artifacts import Provenance
from include.retraining.config import ClassifierConfig
from include.retraining.dataset.snapshot import read_snapshot
from include.retraining.embedding.features import read_features
from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.lineage import code_digest, config_digest, environment_digest
from include.retraining.pictures import decode_image
from include.retraining.storage.base import key_of
from include.retraining.storage.publishing import problems_of, read_published
from include.retraining.training import export as module
from include.retraining.training import keras_file, saved_model
from include.retraining.training.golden import from_npz
from include.retraining.training.head import Head
from tests.builders import CLASSIFIER, LABELS
from tests.datasets import picture
from tests.stores import DyingStore, holding
from tests.unit.retraining.training.exported import CONFIG, THRESHOLDS, Exported, exported

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves


@pytest.fixture(scope="module")
def made() -> Exported:
    return exported((5,), temperature=0.4, thresholds=THRESHOLDS)


def file_of(made: Exported, name: str) -> bytes:
    return read_published(made.run.store, key_of(made.run.store, made.version.uri), name)


def model_of(made: Exported):
    return keras_file.from_bytes(file_of(made, registry.MODEL))


def served_of(made: Exported) -> dict[str, bytes]:
    """The files of the SavedModel."""
    names = registry.read_version(made.run.store, CLASSIFIER, made.version.name).manifest.files
    start = registry.SAVED_MODEL
    return {name.removeprefix(start): file_of(made, name) for name in names if name.startswith(start)}


def test_a_version_is_published_whole_and_tells_what_it_was_made_from(made: Exported):
    store = made.run.store
    version = registry.read_version(store, CLASSIFIER, made.version.name)
    assert problems_of(store, key_of(store, made.version.uri)) == []
    assert version.manifest.digest == made.version.digest
    assert version.candidate == made.candidate
    lineage = version.lineage
    assert (lineage.classifier, lineage.window_end) == (CLASSIFIER, made.run.window.end)
    assert (lineage.snapshot_digest, lineage.resampling_digest) == (
        made.snapshot.digest,
        made.resampling.plans["smote"].digest,
    )
    assert (lineage.code_digest, lineage.config_digest) == (code_digest(), config_digest(CONFIG))
    assert lineage.environment_digest == environment_digest() != ""
    assert lineage.seeds == {"balancing": 0, "training": 0, "evaluation": 0}
    assert lineage.candidate == made.candidate.name
    assert version.provenance == Provenance(made.run.run_id, made.run.started_at, by=made.run.started_by)
    prefix = key_of(store, made.version.uri)
    assert tuple(json.loads(read_published(store, prefix, registry.LABELS))) == LABELS
    assert ClassifierConfig.model_validate_json(read_published(store, prefix, registry.RECIPE)) == CONFIG


def test_a_strategy_without_a_plan_has_none_in_its_lineage_and_no_thresholds_are_no_file():
    made = exported((), strategy="none")

    version = registry.read_version(made.run.store, CLASSIFIER, made.version.name)

    assert version.lineage.resampling_digest == ""
    assert registry.THRESHOLDS not in version.manifest.files
    assert made.version.largest_difference < 1e-4


def pixels_and_probabilities(made: Exported) -> tuple[np.ndarray, np.ndarray]:
    """Of every image of the snapshot; the latter as the candidate gives them to stored vectors."""
    rows = read_snapshot(made.run.store, made.snapshot.uri)
    vectors = read_features(made.run.store, made.embedding, list(rows["image_id"]))
    pixels = np.stack([decode_image(made.run.store.get(key)) for key in rows["key"]])
    return pixels, made.head.predict_proba(vectors)


def test_the_exported_model_gives_the_candidate_s_probabilities_from_the_pixels_of_every_image(made: Exported):
    pixels, expected = pixels_and_probabilities(made)

    probabilities = np.asarray(model_of(made)(pixels, training=False))

    np.testing.assert_allclose(probabilities, expected, atol=1e-4)
    untempered = dataclasses.replace(made, head=dataclasses.replace(made.head, temperature=1.0))
    assert np.abs(probabilities - pixels_and_probabilities(untempered)[1]).max() > 0.05
    assert np.ptp(expected[:, 0]) > 0.1  # else any model would do


def test_principal_components_are_a_layer_of_the_exported_model():
    config = CONFIG.model_copy(update={"embedding": CONFIG.embedding.model_copy(update={"pca": 4})})
    made = exported((), config)

    pixels, expected = pixels_and_probabilities(made)

    assert made.head.layers[0].kernel.shape[0] == 4
    np.testing.assert_allclose(np.asarray(model_of(made)(pixels, training=False)), expected, atol=1e-4)


def test_the_saved_model_gives_the_candidate_s_probabilities_and_labels_from_files(made: Exported):
    rows = read_snapshot(made.run.store, made.snapshot.uri)

    served = saved_model.predict(served_of(made), [made.run.store.get(key) for key in rows["key"]])

    vectors = read_features(made.run.store, made.embedding, list(rows["image_id"]))
    np.testing.assert_allclose(served.probabilities, made.head.predict_proba(vectors), atol=1e-4)
    assert served.labels == tuple(LABELS[index] for index in made.head.predict(vectors))
    assert made.head.predict(vectors).tolist() != served.probabilities.argmax(axis=1).tolist()


def test_thresholds_are_kept_by_label(made: Exported):
    thresholds = json.loads(file_of(made, registry.THRESHOLDS))

    assert thresholds == dict(zip(LABELS, THRESHOLDS.tolist(), strict=True))


def test_golden_images_lie_in_the_version_with_what_they_must_give(made: Exported):
    golden = from_npz(file_of(made, registry.GOLDEN))

    rows = read_snapshot(made.run.store, made.snapshot.uri)
    validation = [made.run.store.get(key) for key in rows["key"][rows["split"] == "validation"]]
    assert len(golden.images) == 16
    assert set(golden.images) <= set(validation)
    served = saved_model.predict(served_of(made), golden.images)
    np.testing.assert_allclose(served.probabilities, golden.probabilities, atol=1e-4)


def test_the_exported_model_takes_images_of_any_size(made: Exported):
    pixels = decode_image(picture("daisy", 1, side=50))[np.newaxis, :40]
    probabilities = np.asarray(model_of(made)(pixels, training=False))
    assert probabilities.shape == (1, 3)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_the_largest_difference_is_measured_and_small(made: Exported):
    assert 0 <= made.version.largest_difference < 1e-4


def test_a_repeat_gives_the_same_version_and_writes_nothing(made: Exported):
    assert made.again(DyingStore(0, made.run.store.objects)) == made.version


def test_an_export_from_the_same_inputs_elsewhere_has_the_same_bytes(made: Exported):
    store = holding(made.before)
    assert made.again(store) == made.version
    assert store.objects == made.run.store.objects


def test_another_run_with_the_same_inputs_makes_the_same_version_and_finds_it_made(made: Exported):
    run = dataclasses.replace(made.run, run_id="manual__2", started_by="ada")
    other, elsewhere = dataclasses.replace(made, run=run), holding(made.before)

    assert other.again(DyingStore(0, made.run.store.objects)) == made.version
    assert other.again(elsewhere).name == made.version.name

    made_elsewhere = registry.read_version(elsewhere, CLASSIFIER, made.version.name)
    assert made_elsewhere.provenance == Provenance("manual__2", made.run.started_at, by="ada")


def test_an_export_that_is_killed_before_its_manifest_is_completed_by_a_repeat(made: Exported):
    dying = DyingStore(len(made.run.store.objects) - len(made.before) - 1, made.before)
    with pytest.raises(StorageUnavailableError):
        made.again(dying)
    left = holding(dying.objects)
    assert registry.version_names(left, CLASSIFIER) == []
    assert made.again(left) == made.version
    assert left.objects == made.run.store.objects


def spoil(model):
    layer = model.get_layer("logits")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, bias + [0.1, 0, 0]])
    return model


@pytest.mark.parametrize("broken", ["before it is saved", "when it is loaded", "in the SavedModel alone"])
def test_a_model_that_predicts_otherwise_than_its_candidate_is_not_published(
    made: Exported, monkeypatch: pytest.MonkeyPatch, broken: str
):
    compose, from_bytes, to_files = module.compose, keras_file.from_bytes, saved_model.to_files
    if broken == "before it is saved":
        monkeypatch.setattr(module, "compose", lambda *arguments: spoil(compose(*arguments)))
    elif broken == "when it is loaded":
        monkeypatch.setattr(keras_file, "from_bytes", lambda body: spoil(from_bytes(body)))
    else:
        other = spoil(model_of(made))
        monkeypatch.setattr(saved_model, "to_files", lambda _, *others, **options: to_files(other, *others, **options))
    store = holding(made.before)
    with pytest.raises(ArtifactIntegrityError, match=r"probabilities within 0\.001 of the candidate's"):
        made.again(store)
    assert store.objects == made.before


def test_a_probability_that_is_no_number_stops_the_export_though_the_first_images_agree(
    made: Exported, monkeypatch: pytest.MonkeyPatch
):
    predict_proba = Head.predict_proba

    def spoilt(self: Head, X: np.ndarray) -> np.ndarray:
        probabilities = predict_proba(self, X)
        probabilities[3, 1] = np.nan
        return probabilities

    monkeypatch.setattr(Head, "predict_proba", spoilt)
    store = holding(made.before)
    with pytest.raises(ArtifactIntegrityError, match="a difference of nan"):
        made.again(store)
    assert store.objects == made.before
