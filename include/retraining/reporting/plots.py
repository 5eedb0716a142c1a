"""The geometry of the report's plots, as numbers. Templates draw them as HTML and SVG in the page's own colours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from include.retraining.artifacts import CandidateRecord, ClassificationMetrics

STRONG_SHARE = 0.55  # from here on the cell's ground is dark enough to need inverted text

PANEL_WIDTH, PANEL_HEIGHT = 300.0, 112.0
LEFT, RIGHT, TOP, BOTTOM = 36.0, 8.0, 8.0, 20.0


@dataclass(frozen=True)
class Tick:
    """A mark on an axis.

    Attributes:
        position: Where along the axis: percent of a bar's track, or a coordinate of a panel.
        label: Its text.
    """

    position: float
    label: str


@dataclass(frozen=True)
class Bar:
    """One bar.

    Attributes:
        percent: Its length in percent of the track.
        label: The number it stands for.
    """

    percent: float
    label: str


@dataclass(frozen=True)
class BarRow:
    """The bars of one class; None where a series has no value for it."""

    label: str
    bars: tuple[Bar | None, ...]


@dataclass(frozen=True)
class BarPlot:
    """Horizontal bars by class, one bar a series."""

    rows: tuple[BarRow, ...]
    ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Panel:
    """One curve over epochs, in a box of `PANEL_WIDTH` by `PANEL_HEIGHT`.

    Attributes:
        points: The curve, as SVG's `points`.
        kept: Coordinates of the kept epoch.
        y_ticks: Marks of the vertical axis.
        x_ticks: Marks of the horizontal axis.
    """

    points: str
    kept: tuple[float, float]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]


@dataclass(frozen=True)
class Whisker:
    """A mean with one standard error on both sides; coordinates in percent of the track.

    Attributes:
        low: Where the whisker begins.
        mean: Where the dot is.
        high: Where it ends.
        reaches_bound: Whether the mean is at least the bound.
    """

    low: float
    mean: float
    high: float
    reaches_bound: bool


@dataclass(frozen=True)
class WhiskerPlot:
    """Dots with whiskers, one a candidate, all on one axis.

    Attributes:
        rows: In the order of the candidates.
        ticks: Marks of the axis.
        bound: Where the line is that a mean had to reach.
    """

    rows: tuple[Whisker, ...]
    ticks: tuple[Tick, ...]
    bound: float


class Curves(Protocol):
    """What was trained epoch by epoch: a candidate, or the image-level CNN."""

    @property
    def best_epoch(self) -> int:
        """Epoch whose weights were kept, from 1."""
        ...

    @property
    def loss(self) -> tuple[float, ...]:
        """Mean training loss by epoch."""
        ...

    @property
    def validation_macro_recall(self) -> tuple[float, ...]:
        """Macro recall on validation by epoch."""
        ...


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion matrix.

    Attributes:
        count: Rows in it.
        share: Their share of the row's sum, in [0, 1].
        is_strong: Whether its text needs the inverted colour.
    """

    count: int
    share: float
    is_strong: bool


def count_bars(labels: Sequence[str], *series: Mapping[str, int]) -> BarPlot:
    """Lays out counts on a logarithmic scale that begins at 1; a count of 0 has no length."""
    largest = max((count for counts in series for count in counts.values()), default=1)
    decades = max(1.0, math.log10(max(largest, 1)))
    rows = tuple(
        BarRow(label, tuple(_count_bar(counts.get(label), decades) for counts in series))
        for label in _with_strangers(labels, *series)
    )
    powers = range(math.floor(decades + 1e-9) + 1)
    return BarPlot(rows, tuple(Tick(round(100 * power / decades, 2), f"{10**power:,}") for power in powers))


def share_bars(labels: Sequence[str], *series: Mapping[str, float | None]) -> BarPlot:
    """Lays out shares on a linear scale from 0 to 1."""
    rows = tuple(
        BarRow(label, tuple(_share_bar(shares.get(label)) for shares in series))
        for label in _with_strangers(labels, *series)
    )
    return BarPlot(rows, tuple(Tick(100.0 * step, f"{step:g}") for step in (0.0, 0.25, 0.5, 0.75, 1.0)))


def whisker_plot(candidates: Sequence[CandidateRecord], bound: float) -> WhiskerPlot:
    """Lays out the cross-validated means of candidates, with their standard errors and the bound."""
    scores = [candidate.cross_validation for candidate in candidates]
    lows, highs = [it.mean - it.standard_error for it in scores], [it.mean + it.standard_error for it in scores]
    marks = round_marks(min([*lows, bound]), max([*highs, bound]))
    low, high = marks[0], marks[-1]

    def x(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    rows = (
        Whisker(x(least), x(it.mean), x(most), it.mean >= bound)
        for it, least, most in zip(scores, lows, highs, strict=True)
    )
    return WhiskerPlot(tuple(rows), tuple(Tick(x(mark), f"{mark:.2f}") for mark in marks), x(bound))


def recall_panels(candidates: Sequence[Curves]) -> list[Panel | None]:
    """Lays out every candidate's macro recall on validation, all on the same axes; None for one without epochs."""
    values = [value for candidate in candidates for value in candidate.validation_macro_recall]
    low = math.floor(min(values, default=0) * 20) / 20
    high = max(math.ceil(max(values, default=1) * 20) / 20, low + 0.05)
    return [_panel(candidate.validation_macro_recall, candidate.best_epoch, (low, high)) for candidate in candidates]


def loss_panels(candidates: Sequence[Curves]) -> list[Panel | None]:
    """Lays out every candidate's training loss, all on the same axes; None for one without epochs."""
    high = max((value for candidate in candidates for value in candidate.loss), default=1) or 1
    return [_panel(candidate.loss, candidate.best_epoch, (0.0, high)) for candidate in candidates]


def round_marks(low: float, high: float, finest: float = 0.01) -> list[float]:
    """Returns round numbers, equally far apart, that enclose a range: two to seven where it is at most 2.5 long.

    Args:
        low: Least value.
        high: Largest value.
        finest: Least distance of two marks, a power of ten; as many digits as it has are shown.
    """
    steps = (finest * scale * part for scale in (1, 10, 100) for part in (1, 2, 5))
    step = next((step for step in steps if step <= 0.5 and high - low <= 5 * step * (1 + 1e-9)), 0.5)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(place * step, 4) for place in range(first, max(last, first + 1) + 1)]


def confusion_cells(metrics: ClassificationMetrics) -> list[list[Cell]]:
    """Normalises a confusion matrix by its rows; a row without images has shares of 0."""
    return [
        [Cell(count, share := round(count / max(sum(row), 1), 3), share >= STRONG_SHARE) for count in row]
        for row in metrics.confusion
    ]


def _with_strangers(labels: Sequence[str], *series: Mapping[str, object]) -> list[str]:
    """Returns the labels in their order, then those that only a series knows."""
    return list(dict.fromkeys([*labels, *(label for values in series for label in values)]))


def _count_bar(count: int | None, decades: float) -> Bar | None:
    if count is None:
        return None
    length = 100 * math.log10(count) / decades if count > 1 else 0.0
    return Bar(round(length, 2), f"{count:,}")


def _share_bar(share: float | None) -> Bar | None:
    return None if share is None else Bar(round(100 * share, 2), f"{share:.3f}")


def _panel(values: Sequence[float], kept_epoch: int, domain: tuple[float, float]) -> Panel | None:
    if not values:
        return None
    low, high = domain
    width, height = PANEL_WIDTH - LEFT - RIGHT, PANEL_HEIGHT - TOP - BOTTOM

    def x(epoch: int) -> float:
        return round(LEFT + width * (epoch - 1) / max(len(values) - 1, 1), 1)

    def y(value: float) -> float:
        return round(TOP + height * (high - value) / (high - low), 1)

    kept = min(max(kept_epoch, 1), len(values))
    return Panel(
        points=" ".join(f"{x(epoch)},{y(value)}" for epoch, value in enumerate(values, start=1)),
        kept=(x(kept), y(values[kept - 1])),
        y_ticks=tuple(Tick(y(value), f"{value:.2f}") for value in (low, (low + high) / 2, high)),
        x_ticks=tuple(Tick(x(epoch), str(epoch)) for epoch in _apart(kept, len(values))),
    )


def _apart(kept: int, last: int) -> list[int]:
    """Returns the kept epoch and those of the first and the last whose labels would not touch its own."""
    ends = [epoch for epoch in (1, last) if 10 * abs(epoch - kept) > last]
    return sorted({kept, *ends})
