"""Challenger against champion: the same test rows in the same run, both from the bytes that would be served.

A champion that cannot be scored is a finding, not a failure: its problem is recorded, and gates and decision say what
follows from it. What only a person can judge stops the run: a test row that a version was trained on, or a pointer that
cannot be read, so that nobody knows what is in production.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from include.retraining.artifacts import (
    CandidateRecord,
    ChampionPointer,
    ChanceTest,
    ClassificationMetrics,
    Difference,
    EmbeddingRecord,
    EvaluationRecord,
    Incumbent,
    ScoredVersion,
    SelectionRecord,
    SnapshotRecord,
    VersionRecord,
)
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.features import read_features
from include.retraining.errors import ArtifactIntegrityError, InsufficientDataError
from include.retraining.evaluation.bootstrap import Predictions, TestRows, differences
from include.retraining.evaluation.chance import chance_test
from include.retraining.evaluation.priors import prior_metrics
from include.retraining.evaluation.reliability import reliability
from include.retraining.evaluation.scoring import OpenVersion, open_version, test_digest, version_scores
from include.retraining.evaluation.serving_cost import serving_cost
from include.retraining.evaluation.slices import slice_metrics, slice_values
from include.retraining.evaluation.unseen import images_of_lineage, require_own_snapshot, require_unseen, trained_images
from include.retraining.metrics import classification_metrics
from include.retraining.registry import LINEAGE
from include.retraining.registry import champion as read_champion
from include.retraining.run import Run
from include.retraining.training.candidates import read_head
from include.retraining.training.head import decide
from include.retraining.training.rows import class_ids

logger = logging.getLogger(__name__)

LOGGED_METRIC, LOGGED_CONFIDENCE = "macro_recall", 0.95


@dataclass(frozen=True, eq=False)
class _Scored:
    """A version on the test rows, with its predictions, which no record holds."""

    record: ScoredVersion
    predictions: Predictions
    model_digests: tuple[str | None, ...]


def evaluate(
    run: Run,
    version: VersionRecord,
    selection: SelectionRecord,
    snapshot: SnapshotRecord,
    embeddings: EmbeddingRecord,
) -> EvaluationRecord:
    """Scores the challenger, the champion and, for the report only, every candidate on the snapshot's test rows.

    Side effects:
        Keeps each version's probabilities and the challenger's serving cost, so that a repeat finds the same numbers.

    Raises:
        InsufficientDataError: If there is no test row at all.
        ArtifactIntegrityError: If the challenger cannot be scored, a test image is not what was accepted, or
            `champion.json` cannot be read.
        ConfigurationError: If a version was trained on a test row.
    """
    everything = read_snapshot(run.store, snapshot.uri)
    rows = rows_of(everything, "test")
    if rows.empty:
        raise InsufficientDataError("The test split", snapshot.counts["test"], 1)
    opened = open_version(run, version.name, expected_digest=version.digest)
    require_own_snapshot(opened.lineage, snapshot.digest, uri=opened.files.uri(LINEAGE))
    require_unseen(run, rows, trained_images(everything), version=version.name)
    challenger = _scored(run, opened, rows, window_end=run.window.end)
    incumbent, champion = _meet_champion(run, rows)
    record = EvaluationRecord(
        window_end=run.window.end,
        test_digest=test_digest(rows),
        challenger=challenger.record,
        incumbent=incumbent,
        champion=champion.record if champion else None,
        is_same_model=champion is not None and champion.model_digests == challenger.model_digests,
        differences=_differences(run, rows, challenger, champion) if champion else (),
        chance=_chance(run, rows, challenger),
        cost=serving_cost(run, version.name, expected_digest=version.digest),
        candidates=_all_candidates(run, rows, selection.candidates, embeddings),
    )
    _log(record)
    return record


def _meet_champion(run: Run, rows: pd.DataFrame) -> tuple[Incumbent | None, _Scored | None]:
    """Returns the champion, if there is one, and how it does on the test rows; or, in the former, why nobody can tell.

    Only what lies in the champion's own files, or in the snapshot that it was trained from, is a problem of its own.
    """
    pointer, _ = read_champion(run.store, run.classifier)
    if pointer is None:
        return None, None
    try:
        opened = open_version(run, pointer.version, expected_digest=pointer.digest)
        trained = images_of_lineage(run, opened.lineage)
    except ArtifactIntegrityError as error:
        return _incumbent(pointer, error), None
    require_unseen(run, rows, trained, version=opened.name)
    try:
        scored = _scored(run, opened, rows, window_end=pointer.window_end)
    except ArtifactIntegrityError as error:
        if error.uri != opened.model_uri:
            raise
        return _incumbent(pointer, error), None
    return _incumbent(pointer, None), scored


def _incumbent(pointer: ChampionPointer, error: ArtifactIntegrityError | None) -> Incumbent:
    # Without the cure that the error ends with: it is for what can be computed again.
    problem = f"{error.uri}: expected {error.expected}, got {error.got}" if error else ""
    return Incumbent(pointer.version, pointer.digest, pointer.window_end, problem)


def _scored(run: Run, version: OpenVersion, rows: pd.DataFrame, *, window_end: datetime) -> _Scored:
    """Returns how a version does on test rows, decided as it is where it is served."""
    labels, settings = run.config.labels, run.config.evaluation
    y_true = class_ids(rows, labels)
    y_score = version_scores(run, version, rows)
    y_pred = decide(y_score, version.thresholds)
    prior = settings.deployment_prior
    record = ScoredVersion(
        version=version.name,
        digest=version.files.manifest.digest,
        window_end=window_end,
        metrics=classification_metrics(y_true, y_score, labels, y_pred),
        deployment=None if prior is None else prior_metrics(y_true, y_score, y_pred, labels, prior),
        reliability=reliability(y_true, y_score),
        slices=slice_metrics(rows, y_true, y_score, y_pred, labels=labels, columns=settings.slices),
    )
    return _Scored(record, Predictions(y_score, y_pred), version.files.model_digests)


def _differences(run: Run, rows: pd.DataFrame, challenger: _Scored, champion: _Scored) -> tuple[Difference, ...]:
    """Returns challenger less champion, over all test rows and over each slice that is shown."""
    values = {column: slice_values(rows, column) for column in run.config.evaluation.slices}
    test = TestRows(
        y_true=class_ids(rows, run.config.labels),
        labels=run.config.labels,
        slices={it.name: values[it.column] == it.value for it in challenger.record.slices},
    )
    return differences(test, challenger.predictions, champion.predictions, run.config.evaluation)


def _chance(run: Run, rows: pd.DataFrame, challenger: _Scored) -> ChanceTest:
    labels, settings = run.config.labels, run.config.evaluation
    return chance_test(
        class_ids(rows, labels),
        challenger.predictions.y_pred,
        len(labels),
        permutations=settings.permutations,
        rng=np.random.default_rng(settings.seed),
    )


def _all_candidates(
    run: Run, rows: pd.DataFrame, candidates: tuple[CandidateRecord, ...], embeddings: EmbeddingRecord
) -> dict[str, ClassificationMetrics]:
    """Returns the test metrics of every candidate from stored vectors. The challenger is chosen long before."""
    X_test = read_features(run.store, embeddings, list(rows["image_id"]))
    y_true = class_ids(rows, run.config.labels)
    metrics = {}
    for candidate in candidates:
        head = read_head(run.store, candidate.uri)
        y_score = head.predict_proba(X_test)
        y_pred = decide(y_score, head.thresholds)
        metrics[candidate.name] = classification_metrics(y_true, y_score, run.config.labels, y_pred)
    return metrics


def _log(record: EvaluationRecord) -> None:
    logger.info(
        "evaluated version=%s n_rows=%d macro_recall=%s is_same_model=%s latency_ms=%.1f size_bytes=%d",
        record.challenger.version,
        sum(record.challenger.metrics.n_rows.values()),
        record.challenger.metrics.macro_recall,
        record.is_same_model,
        record.cost.median_milliseconds,
        record.cost.size_bytes,
    )
    if record.incumbent is None:
        logger.info("there is no champion to compare with")
    elif record.champion is None:
        logger.warning("champion=%s cannot be scored: %s", record.incumbent.version, record.incumbent.problem)
    else:
        _log_difference(record.champion, record.differences)


def _log_difference(champion: ScoredVersion, found: tuple[Difference, ...]) -> None:
    name = LOGGED_METRIC
    difference = next(it for it in found if (it.metric, it.slice, it.prior) == (name, "", "test"))
    bound = next(it for it in difference.bounds if it.confidence == LOGGED_CONFIDENCE)
    logger.info(
        "compared with champion=%s macro_recall=%s difference=%s lower=%s upper=%s confidence=%s",
        champion.version,
        champion.metrics.macro_recall,
        difference.estimate,
        bound.lower,
        bound.upper,
        bound.confidence,
    )
