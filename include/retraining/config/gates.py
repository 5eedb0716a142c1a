"""What the recipe asks of a challenger before it is promoted: one small language of gates.

A gate names a metric, and optionally where it is taken: in a slice of the test rows, or under the class distribution
of deployment. `*` stands for every label, or for every value of a slice's column: each is judged, and listed, alone.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from include.retraining.config.section import Section

Prior = Literal["test", "deployment"]

OVERALL_METRICS = (
    "macro_recall",
    "macro_f1",
    "geometric_mean",
    "geometric_mean_macro",
    "minimum_recall",
    "accuracy",
    "ece",
)
LABEL_METRICS = ("recall", "precision")
DEPLOYMENT_METRICS = ("accuracy", "macro_f1", "ece", "precision")
"""What depends on how common the classes are; recalls, and what is made of them alone, do not."""
SLICE_METRICS = ("macro_recall", "minimum_recall", "accuracy", "ece", "recall")
CONFIDENCES = (0.8, 0.9, 0.95, 0.975, 0.99)
"""Confidences that an evaluation keeps bounds for."""
EVERY = "*"


def metric_parts(metric: str) -> tuple[str, str]:
    """Returns a metric's name and its label; the label is empty for metrics of all classes together.

    Example:
        >>> metric_parts("recall:coat"), metric_parts("macro_recall")
        (('recall', 'coat'), ('macro_recall', ''))
    """
    name, _, label = metric.partition(":")
    return name, label


def slice_parts(of: str) -> tuple[str, str]:
    """Returns a slice's column and value; both empty where no slice is named."""
    column, _, value = of.partition("=")
    return column, value


def _is_metric(metric: str) -> str:
    name, label = metric_parts(metric)
    if metric in OVERALL_METRICS or (name in LABEL_METRICS and label):
        return metric
    known = [*OVERALL_METRICS, *(f"{it}:<label>" for it in LABEL_METRICS), *(f"{it}:*" for it in LABEL_METRICS)]
    raise ValueError(f"expected one of {', '.join(known)}")


def _is_confidence(confidence: float) -> float:
    if confidence not in CONFIDENCES:
        raise ValueError(f"expected one of {', '.join(map(str, CONFIDENCES))}")
    return confidence


GatedMetric = Annotated[str, AfterValidator(_is_metric)]
Confidence = Annotated[float, AfterValidator(_is_confidence)]
SliceName = Annotated[str, Field(pattern=r"^[^=]+=.+$")]


class FloorGate(Section):
    """Refuses a challenger whose metric is under an absolute minimum."""

    gate: Literal["floor"]
    metric: GatedMetric
    minimum: float = Field(ge=0, le=1)
    slice: SliceName | None = Field(None, description="Test rows to take it over, such as camera=north or camera=*.")
    prior: Prior = "test"

    @field_validator("metric")
    @classmethod
    def _is_better_when_larger(cls, metric: str) -> str:
        if metric == "ece":
            raise ValueError("of ece less is better, and a floor asks for more: use the gate calibration")
        return metric


class NonInferiorGate(Section):
    """Refuses a challenger that is not shown to be at most a tolerance worse than the champion.

    It passes where the one-sided lower confidence bound of the difference is not under minus the tolerance. Of the
    calibration error, where less is better, it is the upper bound that may not be over the tolerance.
    """

    gate: Literal["non_inferior"]
    metric: GatedMetric
    tolerance: float = Field(ge=0, le=1)
    confidence: Confidence = 0.95
    slice: SliceName | None = None
    prior: Prior = "test"


class MaximumRegressionGate(Section):
    """Refuses a challenger whose metric fell by more than a maximum, as it is measured; no interval is asked.

    For rare classes, whose few test rows could never show non-inferiority.
    """

    gate: Literal["maximum_regression"]
    metric: GatedMetric
    maximum: float = Field(ge=0, le=1)
    slice: SliceName | None = None
    prior: Prior = "test"


class CalibrationGate(Section):
    """Refuses a challenger whose expected calibration error is over a maximum."""

    gate: Literal["calibration"]
    maximum_ece: float = Field(gt=0, le=1)
    prior: Prior = "test"


class BetterThanChanceGate(Section):
    """Refuses a challenger that could as well have been trained on shuffled labels."""

    gate: Literal["better_than_chance"]
    maximum_p: float = Field(0.01, gt=0, lt=1, description="Largest p-value of the permutation test.")


class TestRowsGate(Section):
    """Refuses an evaluation with too few test images of a class."""

    gate: Literal["test_rows"]
    minimum_per_class: int = Field(ge=1)


class DataChecksGate(Section):
    """Refuses a challenger of a run whose delivery broke expectations of severity `warn`."""

    gate: Literal["data_checks"]
    maximum_warnings: int = Field(0, ge=0)


class ModelSizeGate(Section):
    """Refuses a version whose files are too large together."""

    gate: Literal["model_size"]
    maximum_megabytes: float = Field(gt=0, allow_inf_nan=False, description="Of a million bytes each.")


class LatencyGate(Section):
    """Refuses a version that is too slow on the CPU of the worker that evaluated it, one image at a time."""

    gate: Literal["latency"]
    maximum_milliseconds: float = Field(
        gt=0, allow_inf_nan=False, description="Median over calls, from the bytes of a file to a label."
    )


class NewerDataGate(Section):
    """Refuses a challenger whose data window does not end after the champion's."""

    gate: Literal["newer_data"]


GateConfig = Annotated[
    FloorGate
    | NonInferiorGate
    | MaximumRegressionGate
    | CalibrationGate
    | BetterThanChanceGate
    | TestRowsGate
    | DataChecksGate
    | ModelSizeGate
    | LatencyGate
    | NewerDataGate,
    Field(discriminator="gate"),
]
MetricGate = FloorGate | NonInferiorGate | MaximumRegressionGate
"""The gates that name a metric."""
