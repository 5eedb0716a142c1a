"""Challenger against champion: the same test rows in the same run."""

from __future__ import annotations

import logging

import numpy as np

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
from include.retraining.evaluation.scoring import test_digest, version_scores
from include.retraining.metrics import classification_metrics
from include.retraining.registry import MODEL
from include.retraining.registry import champion as read_champion
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.publishing import read_manifest
from include.retraining.training.candidates import class_ids, read_head

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
    labels = run.config.labels
    y_true = class_ids(rows, labels)
    pointer, _ = read_champion(run.store, run.classifier)
    challenger = classification_metrics(
        y_true, version_scores(run, version.name, rows, expected_digest=version.digest), labels
    )
    champion: ClassificationMetrics | None = None
    if pointer is not None:
        scores = version_scores(run, pointer.version, rows, expected_digest=pointer.digest)
        champion = classification_metrics(y_true, scores, labels)
    logger.info("evaluated version=%s champion=%s n_rows=%d", version.name, pointer and pointer.version, len(rows))
    return EvaluationRecord(
        version=version.name,
        window_end=run.window.end,
        test_digest=test_digest(rows),
        challenger=challenger,
        champion_version=pointer.version if pointer else None,
        champion_window_end=pointer.window_end if pointer else None,
        champion=champion,
        is_same_model=pointer is not None and _model_digest(run, pointer.version) == _model_digest(run, version.name),
        candidates=_all_candidates(
            run, selection.candidates, read_features(run.store, embeddings, list(rows["image_id"])), y_true
        ),
    )


def _model_digest(run: Run, version: str) -> str:
    return read_manifest(run.store, layout.version(run.classifier, version)).files[MODEL]


def _all_candidates(
    run: Run, records: tuple[CandidateRecord, ...], X_test: np.ndarray, y_true: np.ndarray
) -> dict[str, ClassificationMetrics]:
    """Returns the test metrics of every candidate from stored vectors. The challenger is chosen long before."""
    return {
        record.name: classification_metrics(
            y_true, read_head(run.store, record.uri).predict_proba(X_test), run.config.labels
        )
        for record in records
    }
