from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from include.retraining import registry
from include.retraining.artifacts import (
    CandidateRecord,
    EmbeddingRecord,
    ResamplingRecord,
    SnapshotRecord,
    VersionRecord,
)
from include.retraining.balancing.resampling import resample
from include.retraining.config import Candidate, ClassifierConfig
from include.retraining.dataset.snapshot import read_snapshot
from include.retraining.embedding.extraction.extraction import extract
from include.retraining.embedding.extraction.shards import plan
from include.retraining.embedding.features import read_features
from include.retraining.embedding.fine_tuning.choice import choose_extractor
from include.retraining.embedding.gathering import gather
from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.lineage import code_digest, config_digest
from include.retraining.pictures import decode_image
from include.retraining.run import Run
from include.retraining.storage.base import key_of
from include.retraining.storage.publishing import problems_of, read_published
from include.retraining.training import export as module
from include.retraining.training import keras_file
from include.retraining.training.candidates import read_head, train
from include.retraining.training.export import export
from include.retraining.training.head import Head
from tests.builders import CLASSIFIER, LABELS, make_config, make_run
from tests.datasets import picture, pictured, publish_snapshot, split_rows
from tests.stores import DyingStore, holding

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves

CONFIG = make_config(
    embedding={"image_size": 32, "layers": ["block_2"], "batch_size": 8},
    training={
        "heads": {"linear": {"weight_decay": 0.01}, "mlp": {"weight_decay": 0.01, "hidden_units": [5]}},
        "epochs": 2,
        "learning_rate": 0.05,
    },
)


@dataclasses.dataclass(frozen=True)
class Exported:
    run: Run
    snapshot: SnapshotRecord
    embedding: EmbeddingRecord
    resampling: ResamplingRecord
    candidate: CandidateRecord
    before: dict[str, bytes]
    version: VersionRecord

    def again(self, store) -> VersionRecord:
        run = dataclasses.replace(self.run, store=store)
        return export(run, self.candidate, self.snapshot, self.embedding, self.resampling)


def exported(head: str) -> Exported:
    run = make_run(config=CONFIG)
    counts = {
        "train": dict(zip(LABELS, (8, 5, 4), strict=True)),
        "validation": dict.fromkeys(LABELS, 2),
        "test": dict.fromkeys(LABELS, 1),
    }
    snapshot = publish_snapshot(run, pictured(run.store, split_rows(counts)))
    extractor = choose_extractor(run)
    for shard in plan(run, snapshot.uri, extractor)[1]:
        extract(run, shard, extractor, progress=None)
    embedding = gather(run, snapshot.uri, extractor)
    resampling = resample(run, snapshot.uri, embedding)
    candidate = train(run, Candidate("smote", head), snapshot, embedding, resampling)
    before = dict(run.store.objects)
    version = export(run, candidate, snapshot, embedding, resampling)
    return Exported(run, snapshot, embedding, resampling, candidate, before, version)


@pytest.fixture(scope="module")
def made() -> Exported:
    return exported("mlp")


def model_of(made: Exported):
    return keras_file.from_bytes(
        read_published(made.run.store, key_of(made.run.store, made.version.uri), registry.MODEL)
    )


def test_a_version_is_published_whole_and_tells_what_it_was_made_from(made: Exported):
    store = made.run.store
    version = registry.read_version(store, CLASSIFIER, made.version.name)
    assert problems_of(store, key_of(store, made.version.uri)) == []
    assert version.manifest.digest == made.version.digest
    assert version.candidate == made.candidate
    lineage = version.lineage
    assert (lineage.classifier, lineage.window_end) == (CLASSIFIER, made.run.window.end)
    assert (lineage.snapshot_digest, lineage.resampling_digest) == (made.snapshot.digest, made.resampling.digest)
    assert (lineage.code_digest, lineage.config_digest) == (code_digest(), config_digest(CONFIG))
    assert lineage.candidate == made.candidate.name
    prefix = key_of(store, made.version.uri)
    assert tuple(json.loads(read_published(store, prefix, registry.LABELS))) == LABELS
    assert ClassifierConfig.model_validate_json(read_published(store, prefix, registry.RECIPE)) == CONFIG


@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_the_exported_model_gives_the_candidate_s_probabilities_from_the_pixels_of_every_image(
    made: Exported, head: str
):
    made = made if head == "mlp" else exported(head)
    model, rows = model_of(made), read_snapshot(made.run.store, made.snapshot.uri)
    pixels = np.stack([decode_image(made.run.store.get(key)) for key in rows["key"]])
    vectors = read_features(made.run.store, made.embedding, list(rows["image_id"]))
    expected = read_head(made.run.store, made.candidate.uri).predict_proba(vectors)
    np.testing.assert_allclose(np.asarray(model(pixels, training=False)), expected, atol=1e-4)
    np.testing.assert_allclose(np.asarray(model(pixels.astype(np.float32), training=False)), expected, atol=1e-4)
    assert np.ptp(expected[:, 0]) > 0.1  # else any model would do


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


def test_an_export_that_is_killed_before_its_manifest_is_completed_by_a_repeat(made: Exported):
    dying = DyingStore(5, made.before)
    with pytest.raises(StorageUnavailableError):
        made.again(dying)
    left = holding(dying.objects)
    assert registry.version_names(left, CLASSIFIER) == []
    assert made.again(left) == made.version
    assert left.objects == made.run.store.objects


@pytest.mark.parametrize("broken", ["before it is saved", "when it is loaded"])
def test_a_model_that_predicts_otherwise_than_its_candidate_is_not_published(
    made: Exported, monkeypatch: pytest.MonkeyPatch, broken: str
):
    owner, name = (module, "compose") if broken == "before it is saved" else (keras_file, "from_bytes")
    build = getattr(owner, name)

    def spoilt(*arguments):
        model = build(*arguments)
        layer = model.get_layer("probabilities")
        kernel, bias = layer.get_weights()
        layer.set_weights([kernel, bias + [0.1, 0, 0]])
        return model

    monkeypatch.setattr(owner, name, spoilt)
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
