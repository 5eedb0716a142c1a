"""Challenger against champion: the same test rows in the same run."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from include.retraining.artifacts import (
    CandidateRecord,
    ClassificationMetrics,
    EmbeddingRecord,
    EvaluationRecord,
    SelectionRecord,
    SnapshotRecord,
    VersionRecord,
)
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.features import read_features
from include.retraining.errors import InsufficientDataError
from include.retraining.evaluation.scoring import test_digest, version_scores, version_thresholds
from include.retraining.metrics import classification_metrics
from include.retraining.registry import MODEL, THRESHOLDS
from include.retraining.registry import champion as read_champion
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.publishing import read_manifest
from include.retraining.training.candidates import read_head
from include.retraining.training.head import decide
from include.retraining.training.rows import class_ids

logger = logging.getLogger(__name__)


def evaluate(
    run: Run,
    version: VersionRecord,
    selection: SelectionRecord,
    snapshot: SnapshotRecord,
    embeddings: EmbeddingRecord,
) -> EvaluationRecord:
    """Scores the challenger, the champion and, for the report only, every candidate on the snapshot's test rows.

    Raises:
        InsufficientDataError: If there is no test row at all.
        ArtifactIntegrityError: If a version's bytes are not those that were published.
    """
    rows = rows_of(read_snapshot(run.store, snapshot.uri), "test")
    if rows.empty:
        raise InsufficientDataError("The test split", snapshot.counts["test"], 1)
    y_true = class_ids(rows, run.config.labels)
    pointer, _ = read_champion(run.store, run.classifier)
    challenger = _metrics(run, version.name, version.digest, rows, y_true)
    champion = _metrics(run, pointer.version, pointer.digest, rows, y_true) if pointer else None
    logger.info("evaluated version=%s champion=%s n_rows=%d", version.name, pointer and pointer.version, len(rows))
    return EvaluationRecord(
        version=version.name,
        window_end=run.window.end,
        test_digest=test_digest(rows),
        challenger=challenger,
        champion_version=pointer.version if pointer else None,
        champion_window_end=pointer.window_end if pointer else None,
        champion=champion,
        is_same_model=pointer is not None and _model_digests(run, pointer.version) == _model_digests(run, version.name),
        candidates=_all_candidates(
            run, selection.candidates, read_features(run.store, embeddings, list(rows["image_id"])), y_true
        ),
    )


def _metrics(run: Run, version: str, digest: str, rows: pd.DataFrame, y_true: np.ndarray) -> ClassificationMetrics:
    """Returns the metrics of what a version says of test rows, decided as it is where it is served."""
    y_score = version_scores(run, version, rows, expected_digest=digest)
    y_pred = decide(y_score, version_thresholds(run, version))
    return classification_metrics(y_true, y_score, run.config.labels, y_pred)


def _model_digests(run: Run, version: str) -> tuple[str | None, ...]:
    """Returns the digests of what decides a version's predictions."""
    files = read_manifest(run.store, layout.version(run.classifier, version)).files
    return tuple(files.get(name) for name in (MODEL, THRESHOLDS))


def _all_candidates(
    run: Run, records: tuple[CandidateRecord, ...], X_test: np.ndarray, y_true: np.ndarray
) -> dict[str, ClassificationMetrics]:
    """Returns the test metrics of every candidate from stored vectors. The challenger is chosen long before."""
    metrics = {}
    for record in records:
        head = read_head(run.store, record.uri)
        y_score = head.predict_proba(X_test)
        metrics[record.name] = classification_metrics(
            y_true, y_score, run.config.labels, decide(y_score, head.thresholds)
        )
    return metrics
