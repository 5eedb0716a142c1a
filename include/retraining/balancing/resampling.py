"""From a frozen dataset to published resampling plans, one a strategy that resamples."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd

from include.retraining.artifacts import EmbeddingRecord, PlanRecord, ResamplingRecord
from include.retraining.balancing.hygiene import noise_share, require_parents_from_train, require_sound_vectors
from include.retraining.balancing.plan import publish_plan
from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers import plan_rows
from include.retraining.balancing.samplers.sampling import counts_after
from include.retraining.balancing.targets import asked_counts
from include.retraining.config import ResamplingStrategy
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.features import read_train_features
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.run import Run

logger = logging.getLogger(__name__)


def resample(run: Run, snapshot_uri: str, embeddings: EmbeddingRecord) -> ResamplingRecord:
    """Plans synthetic rows over the standard scores of the train vectors, and publishes the plans.

    Augmented views of train images, where the recipe asks for them, are rows like others: they may be parents.

    Neighbours are searched among standard scores, so that no feature outweighs the others by its unit.

    Side effects:
        Publishes each plan (schemas `PLAN` and `PLANNED_ROWS`) under the digest of its content; a repeat writes
        nothing.

    Raises:
        ArtifactIntegrityError: If a vector is not finite or constant, a row is not of the train split, or a class did
            not reach its count.
        ConfigurationError: If a strategy asks for counts that cannot be.
    """
    strategies = run.config.training.resampling
    if not strategies:
        return ResamplingRecord({})
    snapshot = read_snapshot(run.store, snapshot_uri)
    rows = _read(run, snapshot, embeddings)
    return ResamplingRecord({name: _plan(run, snapshot, rows, name, strategy) for name, strategy in strategies.items()})


@dataclass(frozen=True, eq=False)
class _Rows:
    """Train rows, ascending by id: standard scores, labels and ids."""

    X: np.ndarray
    labels: np.ndarray
    ids: np.ndarray


def _read(run: Run, snapshot: pd.DataFrame, embeddings: EmbeddingRecord) -> _Rows:
    train = rows_of(snapshot, "train")
    features = read_train_features(run.store, embeddings, list(train["image_id"]))
    require_sound_vectors(features.X, features.row_ids)
    order = np.argsort(features.row_ids)
    return _Rows(
        X=fit_scaler(features.X).transform(features.X)[order],
        labels=train["label"].to_numpy()[features.image[order]],
        ids=features.row_ids[order],
    )


def _plan(run: Run, snapshot: pd.DataFrame, rows: _Rows, name: str, strategy: ResamplingStrategy) -> PlanRecord:
    """Makes one strategy's plan, checks it in every run and not only in tests, publishes it and tells of it."""
    balancing = run.config.balancing
    streams = Streams(balancing.seed, balancing.random_streams)
    plan, sampled = plan_rows(rows.X, rows.labels, rows.ids, strategy, streams)
    require_parents_from_train(plan, snapshot, rows.labels)
    noise = noise_share(rows.X, rows.labels, plan.pairs, seed=balancing.seed)
    uri, digest = publish_plan(run.store, run.classifier, plan)
    asked, after = asked_counts(rows.labels, strategy.sampling_strategy), counts_after(rows.labels, sampled)
    labels = run.config.labels
    record = PlanRecord(
        strategy=name,
        uri=uri,
        digest=digest,
        counts_before={label: int(np.count_nonzero(rows.labels == label)) for label in labels},
        counts_asked={label: asked.get(label, 0) for label in labels},
        counts_after={label: after.get(label, 0) for label in labels},
        neighbours=sampled.neighbours,
        noise_share={label: noise.get(label) for label in labels},
        warnings=sampled.warnings,
    )
    _tell(record)
    return record


def _tell(record: PlanRecord) -> None:
    for warning in record.warnings:
        logger.warning("%s: %s", record.strategy, warning)
    for label, share in record.noise_share.items():
        if share is not None:
            n_new = record.counts_after[label] - record.counts_before[label]
            logger.info("noise strategy=%s label=%s added=%d share=%.3f", record.strategy, label, n_new, share)
