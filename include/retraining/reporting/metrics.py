"""The run's numbers for machines: one flat JSON object, names with dots."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from include.retraining.artifacts import (
    CandidateRecord,
    ClassificationMetrics,
    Difference,
    EvaluationRecord,
    ImageLevelRecord,
    IntakeRecord,
    LabelDoubtsRecord,
    PlanRecord,
    ReconstructionRecord,
    ScoredVersion,
    SnapshotRecord,
)
from include.retraining.reporting.comparison import DEPLOYMENT_SCORES
from include.retraining.reporting.difference_plot import bound_of
from include.retraining.reporting.gather import RunReport
from include.retraining.reporting.scores import SCORES

Number = int | float | None

SLICE_SCORES = ("macro_recall", "minimum_recall", "accuracy", "ece")


def metrics_json(report: RunReport) -> bytes:
    """Returns the run's numbers as JSON, equal for equal reports; null where a value is undefined."""
    return json.dumps(dict(flat_metrics(report)), indent=1, sort_keys=True, allow_nan=False).encode()


def flat_metrics(report: RunReport) -> Iterator[tuple[str, Number]]:
    """Yields every number by its name; stages that the run did not reach yield nothing."""
    yield from _counts(report)
    if report.reconstruction is not None:
        yield from _of_reconstruction(report.reconstruction)
    if report.selection is not None:
        yield "selection.bound", report.selection.bound
        for candidate in report.selection.candidates:
            yield from _of_candidate(candidate)
    if report.image_level is not None:
        yield from _of_image_level(report.image_level)
    if report.evaluation is None:
        return
    yield from _of_evaluation(report.evaluation)


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
        for plan in report.resampling.plans.values():
            yield from _of_plan(plan)


def _of_plan(plan: PlanRecord) -> Iterator[tuple[str, Number]]:
    columns: dict[str, Mapping[str, Number]] = {
        "before": plan.counts_before,
        "asked": plan.counts_asked,
        "after": plan.counts_after,
        "neighbours": plan.neighbours,
        "noise_share": plan.noise_share,
    }
    for what, by_label in columns.items():
        for label, number in by_label.items():
            yield f"balancing.{plan.strategy}.{what}.{label}", number


def _of_reconstruction(reconstruction: ReconstructionRecord) -> Iterator[tuple[str, Number]]:
    yield "reconstruction.decoder_error", reconstruction.decoder_error
    yield "reconstruction.mean_image_error", reconstruction.mean_image_error
    yield "reconstruction.explained_variance", reconstruction.explained_variance


def _of_candidate(candidate: CandidateRecord) -> Iterator[tuple[str, Number]]:
    name = f"candidate.{candidate.name}"
    yield f"{name}.cross_validation.mean", candidate.cross_validation.mean
    yield f"{name}.cross_validation.standard_error", candidate.cross_validation.standard_error
    yield f"{name}.temperature", candidate.temperature
    yield f"{name}.parameters", candidate.n_parameters
    yield f"{name}.train_rows", candidate.n_train_rows
    yield from _scores(f"{name}.validation", candidate.validation)


def _of_image_level(record: ImageLevelRecord) -> Iterator[tuple[str, Number]]:
    yield "image_level.train_images", record.n_train_images
    yield "image_level.parameters", record.n_parameters
    yield from _scores("image_level.validation", record.validation)
    if record.test is not None:
        yield from _scores("image_level.test", record.test)


def _of_evaluation(evaluation: EvaluationRecord) -> Iterator[tuple[str, Number]]:
    for name, metrics in evaluation.candidates.items():
        yield from _scores(f"candidate.{name}.test", metrics)
    yield from _of_model("challenger", evaluation.challenger)
    if evaluation.champion is not None:
        yield from _of_model("champion", evaluation.champion)
    for difference in evaluation.differences:
        yield from _of_difference(difference)
    chance, cost = evaluation.chance, evaluation.cost
    for name in ("observed", "null_mean", "null_95", "p_value", "permutations"):
        yield f"chance.{name}", getattr(chance, name)
    for name in ("size_bytes", "median_milliseconds", "slow_milliseconds", "calls"):
        yield f"cost.{name}", getattr(cost, name)


def _of_model(who: str, scored: ScoredVersion) -> Iterator[tuple[str, Number]]:
    yield from _scores(f"{who}.test", scored.metrics)
    for label, recall in scored.metrics.recall.items():
        yield f"{who}.test.recall.{label}", recall
    if scored.deployment is not None:
        for name in DEPLOYMENT_SCORES:
            yield f"{who}.deployment.{name}", getattr(scored.deployment, name)
        for label, precision in scored.deployment.precision.items():
            yield f"{who}.deployment.precision.{label}", precision
    for part in scored.slices:
        yield f"{who}.slice.{part.name}.rows", part.total
        for name in SLICE_SCORES:
            yield f"{who}.slice.{part.name}.{name}", getattr(part, name)


def _of_difference(difference: Difference) -> Iterator[tuple[str, Number]]:
    """Yields the difference and its bounds of 95 % confidence each, under the gate's name for the metric."""
    where = f"slice.{difference.slice}" if difference.slice else difference.prior
    name = f"difference.{where}.{difference.metric}"
    bound = bound_of(difference)
    yield f"{name}.estimate", difference.estimate
    yield f"{name}.standard_error", difference.standard_error
    yield f"{name}.lower_95", bound.lower if bound else None
    yield f"{name}.upper_95", bound.upper if bound else None


def _scores(prefix: str, metrics: ClassificationMetrics) -> Iterator[tuple[str, Number]]:
    for name in SCORES:
        yield f"{prefix}.{name}", getattr(metrics, name)
