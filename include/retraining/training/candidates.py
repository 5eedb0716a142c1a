"""The candidates: every strategy with every head, from the same vectors, compared on the same validation rows."""

from __future__ import annotations

import dataclasses
import json
import logging

import numpy as np
import pandas as pd

from include.retraining.artifacts import (
    CandidateRecord,
    EmbeddingRecord,
    ResamplingRecord,
    SelectionRecord,
    SnapshotRecord,
)
from include.retraining.balancing.plan import read_plan
from include.retraining.config import Candidate, ClassifierConfig
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.features import read_features, read_train_features
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.errors import ConfigurationError
from include.retraining.lineage import code_digest, library_versions
from include.retraining.metrics import classification_metrics
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, key_of, uri_of
from include.retraining.storage.publishing import publish, read_manifest_if_any, read_published, sha256
from include.retraining.storage.records import from_json, to_json
from include.retraining.training.head import Head, from_npz
from include.retraining.training.strategies import apply_strategy

logger = logging.getLogger(__name__)

HEAD = "head.npz"
RECORD = "candidate.json"


def candidate_of(config: ClassifierConfig, name: str) -> Candidate:
    """Returns the candidate of a name.

    Raises:
        ConfigurationError: If the recipe has none: it was changed while the run went on.
    """
    by_name = {candidate.name: candidate for candidate in config.candidates}
    if name not in by_name:
        raise ConfigurationError(
            f"classifier {config.name}, key training",
            f"there is no candidate {name!r} (any more); the recipe has {', '.join(by_name)}",
            "Start a new run, which plans the candidates anew",
        )
    return by_name[name]


def train(
    run: Run,
    candidate: Candidate,
    snapshot: SnapshotRecord,
    embeddings: EmbeddingRecord,
    resampling: ResamplingRecord,
) -> CandidateRecord:
    """Trains a candidate and scores it on the validation split, or returns it if it was trained from the same before.

    Side effects:
        Publishes the head's weights and the record under a digest of all that the training depends on.

    Raises:
        TrainingDivergedError: If the loss is not finite.
    """
    prefix = layout.candidate(run.classifier, _inputs_digest(run, candidate, snapshot, embeddings, resampling))
    if read_manifest_if_any(run.store, prefix) is not None:
        logger.info("candidate %s was trained from the same inputs before: uri=%s", candidate.name, prefix)
        return read_candidate(run.store, uri_of(run.store, prefix))
    head, record = _fit(run, candidate, snapshot, embeddings, resampling)
    record = dataclasses.replace(record, uri=uri_of(run.store, prefix))
    publish(run.store, prefix, {HEAD: head.to_npz(), RECORD: to_json(record)})
    return record


def select(records: list[CandidateRecord]) -> SelectionRecord:
    """Chooses the challenger: highest macro recall on validation; of equals the smaller head, then by name."""
    ranked = sorted(records, key=lambda it: (-(it.validation.macro_recall or 0.0), it.n_parameters, it.name))
    return SelectionRecord(challenger=ranked[0].name, candidates=tuple(ranked))


def read_candidate(store: ObjectStore, uri: str) -> CandidateRecord:
    """Returns a published candidate's record, verified."""
    return from_json(CandidateRecord, read_published(store, key_of(store, uri), RECORD), uri)


def read_head(store: ObjectStore, uri: str) -> Head:
    """Returns a published candidate's head, verified."""
    return from_npz(read_published(store, key_of(store, uri), HEAD))


def class_ids(rows: pd.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
    """Returns the class ids of rows, shape `(n_samples,)`, int64, in the order of the recipe's labels."""
    ids: np.ndarray = pd.Index(labels).get_indexer(rows["label"]).astype(np.int64)
    return ids


def _fit(
    run: Run,
    candidate: Candidate,
    snapshot: SnapshotRecord,
    embeddings: EmbeddingRecord,
    resampling: ResamplingRecord,
) -> tuple[Head, CandidateRecord]:
    from include.retraining.training.fitting import fit_head  # loads TensorFlow: seconds

    labels = run.config.labels
    rows = read_snapshot(run.store, snapshot.uri)
    train_rows, validation_rows = rows_of(rows, "train"), rows_of(rows, "validation")
    features = read_train_features(run.store, embeddings, list(train_rows["image_id"]))
    X_validation = read_features(run.store, embeddings, list(validation_rows["image_id"]))
    scaler = fit_scaler(features.X)
    fitted_on = apply_strategy(
        candidate.strategy,
        scaler.transform(features.X),
        class_ids(train_rows, labels)[features.image],
        features.row_ids,
        plan=read_plan(run.store, resampling.uri),
        labels=labels,
    )
    y_validation = class_ids(validation_rows, labels)
    fit = fit_head(
        candidate.name,
        fitted_on,
        scaler.transform(X_validation),
        y_validation,
        scaler=scaler,
        head=run.config.training.heads[candidate.head],
        training=run.config.training,
    )
    validation = classification_metrics(y_validation, fit.head.predict_proba(X_validation), labels)
    logger.info(
        "candidate %s n_train_rows=%d macro_recall=%s", candidate.name, len(fitted_on.y), validation.macro_recall
    )
    return fit.head, CandidateRecord(
        name=candidate.name,
        strategy=candidate.strategy,
        head=candidate.head,
        uri="",
        n_train_rows=len(fitted_on.y),
        n_parameters=fit.head.n_parameters,
        best_epoch=fit.best_epoch,
        loss=fit.loss,
        validation_macro_recall=fit.validation_macro_recall,
        validation=validation,
    )


def _inputs_digest(
    run: Run,
    candidate: Candidate,
    snapshot: SnapshotRecord,
    embeddings: EmbeddingRecord,
    resampling: ResamplingRecord,
) -> str:
    """Returns a digest of everything that decides a candidate's weights."""
    training = run.config.training
    inputs = {
        "snapshot": snapshot.digest,
        "resampling": resampling.digest if candidate.strategy == "smote" else "",
        "embedding": embeddings.digest,
        "strategy": candidate.strategy,
        "head": training.heads[candidate.head].model_dump(mode="json"),
        "training": training.model_dump(mode="json", exclude={"heads", "strategies"}),
        "labels": run.config.labels,
        "code": code_digest(),
        "versions": library_versions(),
    }
    return sha256(json.dumps(inputs, sort_keys=True).encode())[:16]
