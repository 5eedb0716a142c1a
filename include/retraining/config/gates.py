"""What the recipe asks of a challenger before it is promoted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from include.retraining.config.section import Section

GatedMetric = Literal["macro_recall", "macro_f1", "geometric_mean", "geometric_mean_macro", "minimum_recall"]


class FloorGate(Section):
    """Refuses a challenger whose metric is under an absolute minimum."""

    gate: Literal["floor"]
    metric: GatedMetric
    minimum: float = Field(ge=0, le=1)


class NonInferiorGate(Section):
    """Refuses a challenger that is worse than the champion by more than a tolerance."""

    gate: Literal["non_inferior"]
    metric: GatedMetric
    tolerance: float = Field(ge=0, le=1)


class CalibrationGate(Section):
    """Refuses a challenger whose expected calibration error is over a maximum."""

    gate: Literal["calibration"]
    maximum_ece: float = Field(gt=0, le=1)


class TestRowsGate(Section):
    """Refuses an evaluation with too few test images of a class."""

    gate: Literal["test_rows"]
    minimum_per_class: int = Field(ge=1)


GateConfig = Annotated[FloorGate | NonInferiorGate | CalibrationGate | TestRowsGate, Field(discriminator="gate")]
