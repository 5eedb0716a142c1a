"""The run's numbers for machines: one flat JSON object, names with dots."""

from __future__ import annotations

import json
from collections.abc import Iterator

from include.retraining.artifacts import ClassificationMetrics, IntakeRecord, LabelDoubtsRecord, SnapshotRecord
from include.retraining.reporting.gather import RunReport

Number = int | float | None

SCORES = (
    "macro_recall",
    "macro_f1",
    "geometric_mean",
    "geometric_mean_macro",
    "minimum_recall",
    "accuracy",
    "ece",
)
"""The single numbers of `ClassificationMetrics`, in the order in which they are shown."""


def metrics_json(report: RunReport) -> bytes:
    """Returns the run's numbers as JSON, equal for equal reports; null where a value is undefined."""
    return json.dumps(dict(flat_metrics(report)), indent=1, sort_keys=True, allow_nan=False).encode()


def flat_metrics(report: RunReport) -> Iterator[tuple[str, Number]]:
    """Yields every number by its name; stages that the run did not reach yield nothing."""
    yield from _counts(report)
    for candidate in report.selection.candidates if report.selection else ():
        yield from _scores(f"candidate.{candidate.name}.validation", candidate.validation)
    if report.evaluation is None:
        return
    for name, metrics in report.evaluation.candidates.items():
        yield from _scores(f"candidate.{name}.test", metrics)
    yield from _of_model("challenger", report.evaluation.challenger)
    if report.evaluation.champion is not None:
        yield from _of_model("champion", report.evaluation.champion)


def _of_intake(intake: IntakeRecord) -> Iterator[tuple[str, Number]]:
    yield "intake.delivered", intake.delivered
    yield "intake.accepted", intake.accepted
    yield "intake.skipped", intake.skipped
    yield "intake.quarantined", sum(intake.quarantined.values())
    for outcome, counts in (("quarantined", intake.quarantined), ("skipped", intake.skipped_by)):
        for reason, count in counts.items():
            yield f"intake.{outcome}.{reason}", count


def _of_snapshot(snapshot: SnapshotRecord) -> Iterator[tuple[str, Number]]:
    for split, counts in snapshot.counts.items():
        for label, count in counts.items():
            yield f"dataset.{split}.{label}", count


def _of_label_doubts(doubts: LabelDoubtsRecord) -> Iterator[tuple[str, Number]]:
    yield "label_doubts.rows", doubts.n_rows
    yield "label_doubts.doubted", doubts.n_doubted
    for label, count in doubts.doubted.items():
        yield f"label_doubts.doubted.{label}", count


def _counts(report: RunReport) -> Iterator[tuple[str, Number]]:
    if report.intake is not None:
        yield from _of_intake(report.intake)
    if report.snapshot is not None:
        yield from _of_snapshot(report.snapshot)
    if report.embedding is not None:
        yield "embedding.images", report.embedding.n_images
        yield "embedding.vectors", report.embedding.n_vectors
        yield "embedding.stored", report.embedding.n_stored
        yield "embedding.computed", report.embedding.n_missing
        yield "embedding.damaged", report.embedding.n_damaged
    if report.label_doubts is not None:
        yield from _of_label_doubts(report.label_doubts)
    if report.resampling is not None:
        for label, count in report.resampling.counts_before.items():
            yield f"balancing.before.{label}", count
        for label, count in report.resampling.counts_after.items():
            yield f"balancing.after.{label}", count


def _of_model(who: str, metrics: ClassificationMetrics) -> Iterator[tuple[str, Number]]:
    yield from _scores(f"{who}.test", metrics)
    for label, recall in metrics.recall.items():
        yield f"{who}.test.recall.{label}", recall


def _scores(prefix: str, metrics: ClassificationMetrics) -> Iterator[tuple[str, Number]]:
    for name in SCORES:
        yield f"{prefix}.{name}", getattr(metrics, name)
