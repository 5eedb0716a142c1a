"""The reliability diagram: how often predictions are right, by how sure they are. Coordinates are those of its SVG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.retraining.artifacts import ReliabilityBin
from include.retraining.reporting.plots import Tick

WIDTH, HEIGHT = 420.0, 330.0
LEFT, RIGHT, TOP = 44.0, 12.0, 10.0
SQUARE = 200.0
"""Height of the diagram itself."""
COUNTS_TOP, COUNTS = 240.0, 56.0
"""Where the bars of counts begin, and how high the largest is."""
SMALLEST, LARGEST = 2.5, 8.0
"""Radius of the dots of no row, and of all rows."""


@dataclass(frozen=True)
class Dot:
    """Rows of like confidence: mean confidence to the right, accuracy upwards; its area grows with their share."""

    x: float
    y: float
    radius: float
    told: str


@dataclass(frozen=True)
class CountBar:
    """How many rows are in a bin."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Reliability:
    """One model.

    Attributes:
        dots: Of the bins that have rows.
        line: The dots joined, as SVG's `points`.
        bars: Rows by bin.
    """

    dots: tuple[Dot, ...]
    line: str
    bars: tuple[CountBar, ...]


@dataclass(frozen=True)
class ReliabilityPlot:
    """One or two models over the same rows.

    Attributes:
        models: The challenger, then the champion.
        diagonal: Both ends of the line of perfect calibration: x, y, x, y.
        x_ticks: Marks of the confidence.
        y_ticks: Marks of the accuracy.
        most_rows: Rows of the fullest bin.
    """

    models: tuple[Reliability, ...]
    diagonal: tuple[float, float, float, float]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    most_rows: int


def reliability_plot(*models: Sequence[ReliabilityBin]) -> ReliabilityPlot | None:
    """Lays out the bins of one or two models; None where no bin has rows."""
    most = max((it.n_rows for bins in models for it in bins), default=0)
    if not most:
        return None
    shares = (0.0, 0.25, 0.5, 0.75, 1.0)
    drawn = tuple(_reliability(bins, most, place, len(models)) for place, bins in enumerate(models))
    return ReliabilityPlot(
        models=drawn,
        diagonal=(_x(0), _y(0), _x(1), _y(1)),
        x_ticks=tuple(Tick(_x(share), f"{share:g}") for share in shares),
        y_ticks=tuple(Tick(_y(share), f"{share:g}") for share in shares),
        most_rows=most,
    )


def _reliability(bins: Sequence[ReliabilityBin], most: int, place: int, n_models: int) -> Reliability:
    total = max(sum(it.n_rows for it in bins), 1)
    dots = [
        Dot(
            x=_x(it.confidence),
            y=_y(it.accuracy),
            radius=round(SMALLEST + (LARGEST - SMALLEST) * (it.n_rows / total) ** 0.5, 1),
            told=f"{it.n_rows:,} images, confidence {it.confidence:.3f}, accuracy {it.accuracy:.3f}",
        )
        for it in bins
        if it.n_rows and it.confidence is not None and it.accuracy is not None
    ]
    bars = [_bar(it, most, place, n_models) for it in bins if it.n_rows]
    return Reliability(tuple(dots), " ".join(f"{dot.x},{dot.y}" for dot in dots), tuple(bars))


def _bar(it: ReliabilityBin, most: int, place: int, n_models: int) -> CountBar:
    """Places a bar in its bin, side by side with the other model's."""
    whole = _x(it.upper) - _x(it.lower)
    width = (whole - 2) / n_models
    height = max(COUNTS * it.n_rows / most, 1.0)
    x = _x(it.lower) + 1 + place * width
    return CountBar(round(x, 1), round(COUNTS_TOP + COUNTS - height, 1), round(width, 1), round(height, 1))


def _x(share: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * share, 1)


def _y(share: float) -> float:
    return round(TOP + SQUARE * (1 - share), 1)
