"""A version that was exported for tests: the first blocks of EfficientNet-Lite0 with a head that nobody trained."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from include.retraining.artifacts import (
    CandidateRecord,
    EmbeddingRecord,
    ResamplingRecord,
    SnapshotRecord,
    VersionRecord,
)
from include.retraining.config import ClassifierConfig
from include.retraining.dataset.snapshot import read_snapshot
from include.retraining.embedding.extraction.extraction import extract
from include.retraining.embedding.extraction.shards import plan
from include.retraining.embedding.features import read_features
from include.retraining.embedding.fine_tuning.choice import choose_extractor
from include.retraining.embedding.gathering import gather
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import publish
from include.retraining.training.candidates import HEAD
from include.retraining.training.export import export
from include.retraining.training.head import Head, Layer
from tests.builders import LABELS, make_candidate, make_config, make_resampling, make_run
from tests.datasets import pictured, publish_snapshot, split_rows

CONFIG = make_config(
    embedding={"image_size": 32, "layers": ["block_2"], "batch_size": 8},
    training={"heads": {"linear": {"weight_decay": 0.01}, "mlp": {"weight_decay": 0.01, "hidden_units": [5]}}},
)
THRESHOLDS = np.array([0.2, 0.6, 0.35], np.float32)


@dataclasses.dataclass(frozen=True)
class Exported:
    run: Run
    snapshot: SnapshotRecord
    embedding: EmbeddingRecord
    resampling: ResamplingRecord
    candidate: CandidateRecord
    head: Head
    before: dict[str, bytes]
    version: VersionRecord

    def again(self, store) -> VersionRecord:
        run = dataclasses.replace(self.run, store=store)
        return export(run, self.candidate, self.snapshot, self.embedding, self.resampling)


def embedded(config: ClassifierConfig = CONFIG) -> tuple[Run, SnapshotRecord, EmbeddingRecord]:
    run = make_run(config=config)
    counts = {
        "train": dict(zip(LABELS, (8, 5, 4), strict=True)),
        "validation": dict.fromkeys(LABELS, 7),
        "test": dict.fromkeys(LABELS, 1),
    }
    snapshot = publish_snapshot(run, pictured(run.store, split_rows(counts)))
    extractor = choose_extractor(run)
    for shard in plan(run, snapshot.uri, extractor)[1]:
        extract(run, shard, extractor, progress=None)
    return run, snapshot, gather(run, snapshot.uri, extractor)


def random_head(X: np.ndarray, hidden_units: tuple[int, ...], **fields) -> Head:
    """A head that tells images from each other, without training."""
    rng = np.random.default_rng(0)
    sizes = [X.shape[1], *hidden_units, len(LABELS)]
    layers = tuple(
        Layer(rng.normal(0, n_inputs**-0.5, (n_inputs, n_units)).astype(np.float32), rng.normal(size=n_units))
        for n_inputs, n_units in itertools.pairwise(sizes)
    )
    return Head(fit_scaler(X), layers, **fields)


def exported(
    hidden_units: tuple[int, ...], config: ClassifierConfig = CONFIG, strategy: str = "smote", **fields
) -> Exported:
    run, snapshot, embedding = embedded(config)
    rows = read_snapshot(run.store, snapshot.uri)
    head = random_head(read_features(run.store, embedding, list(rows["image_id"])), hidden_units, **fields)
    prefix = layout.candidate(run.classifier, "c0de")
    publish(run.store, prefix, {HEAD: head.to_npz()})
    candidate = make_candidate(strategy, "mlp", uri=uri_of(run.store, prefix))
    before = dict(run.store.objects)
    version = export(run, candidate, snapshot, embedding, make_resampling())
    return Exported(run, snapshot, embedding, make_resampling(), candidate, head, before, version)
