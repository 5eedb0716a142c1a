"""Challenger and champion side by side, as the report shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.retraining.artifacts import Difference, EvaluationRecord, ScoredVersion, SliceMetrics
from include.retraining.config import GateConfig
from include.retraining.reporting.difference_plot import (
    DifferencePlot,
    bound_of,
    class_differences,
    overall_differences,
)
from include.retraining.reporting.plots import BarPlot, Cell, confusion_cells, share_bars
from include.retraining.reporting.reliability_plot import ReliabilityPlot, reliability_plot
from include.retraining.reporting.scores import SCORE_NAMES, ScoreName

DEPLOYMENT_SCORES = ("accuracy", "macro_f1", "ece")
SLICE_METRIC = "macro_recall"
MOST_SHOWN = 12
"""Values of a column that are shown at once, the largest; the others on demand."""


@dataclass(frozen=True)
class ScoreRow:
    """A metric of both models.

    Attributes:
        score: Which.
        challenger: The challenger's value; None where undefined.
        champion: The champion's; None also where there is none.
    """

    score: ScoreName
    challenger: float | None
    champion: float | None


@dataclass(frozen=True)
class SliceRow:
    """The test rows that have one value in a column.

    Attributes:
        challenger: How the challenger does on them.
        champion: How the champion does; None where there is none.
        difference: Of the macro recall; None where there is no champion, or the slice has none.
        is_small: Whether there are too few rows for a gate on every value.
    """

    challenger: SliceMetrics
    champion: SliceMetrics | None
    difference: Difference | None
    is_small: bool

    @property
    def bounds(self) -> tuple[float | None, float | None]:
        """One-sided 95 % bounds of the difference."""
        bound = bound_of(self.difference)
        return (bound.lower, bound.upper) if bound else (None, None)


@dataclass(frozen=True)
class SliceTable:
    """The slices of one column, largest first.

    Attributes:
        column: The column.
        shown: Those that are shown at once.
        folded: The others.
    """

    column: str
    shown: tuple[SliceRow, ...]
    folded: tuple[SliceRow, ...]

    @property
    def has_small(self) -> bool:
        """Whether one of them is small."""
        return any(row.is_small for row in (*self.shown, *self.folded))


@dataclass(frozen=True)
class Comparison:
    """An evaluation.

    Attributes:
        record: What the stage recorded.
        scores: Under the test rows' own class distribution.
        deployment: Under that of deployment; empty where the recipe names none.
        recalls: Recall by class.
        overall: Differences of the metrics of all classes; None without a champion that was scored.
        by_class: Differences by class.
        reliability: Both models' calibration; None where no row was scored.
        slices: A table a column.
        confusion: The challenger's confusion matrix.
    """

    record: EvaluationRecord
    scores: tuple[ScoreRow, ...]
    deployment: tuple[ScoreRow, ...]
    recalls: BarPlot
    overall: DifferencePlot | None
    by_class: DifferencePlot | None
    reliability: ReliabilityPlot | None
    slices: tuple[SliceTable, ...]
    confusion: list[list[Cell]]


def comparison_of(
    record: EvaluationRecord, labels: Sequence[str], gates: Sequence[GateConfig], *, minimum_slice_rows: int
) -> Comparison:
    """Lays out an evaluation.

    Args:
        record: What was found.
        labels: The classes, in their order.
        gates: The recipe's, for the limits in the plots of differences.
        minimum_slice_rows: A slice with fewer test rows is marked as small.
    """
    models = _models(record)
    return Comparison(
        record=record,
        scores=_scores(record),
        deployment=_deployment(record),
        recalls=share_bars(labels, *(it.metrics.recall for it in models)),
        overall=overall_differences(record.differences, gates),
        by_class=class_differences(record.differences, gates),
        reliability=reliability_plot(*(it.reliability for it in models)),
        slices=slice_tables(record, minimum_slice_rows),
        confusion=confusion_cells(record.challenger.metrics),
    )


def slice_tables(record: EvaluationRecord, minimum_rows: int) -> tuple[SliceTable, ...]:
    """Returns a table for each column, in the recipe's order."""
    old = {it.name: it for it in record.champion.slices} if record.champion else {}
    differences = {it.slice: it for it in record.differences if it.metric == SLICE_METRIC and it.prior == "test"}
    tables: dict[str, list[SliceRow]] = {}
    for it in record.challenger.slices:
        row = SliceRow(it, old.get(it.name), differences.get(it.name), is_small=it.total < minimum_rows)
        tables.setdefault(it.column, []).append(row)
    return tuple(
        SliceTable(column, tuple(rows[:MOST_SHOWN]), tuple(rows[MOST_SHOWN:])) for column, rows in tables.items()
    )


def _models(record: EvaluationRecord) -> list[ScoredVersion]:
    return [it for it in (record.challenger, record.champion) if it is not None]


def _scores(record: EvaluationRecord) -> tuple[ScoreRow, ...]:
    new, old = record.challenger.metrics, record.champion.metrics if record.champion else None
    return tuple(
        ScoreRow(score, getattr(new, score.name), getattr(old, score.name) if old else None) for score in SCORE_NAMES
    )


def _deployment(record: EvaluationRecord) -> tuple[ScoreRow, ...]:
    new, old = record.challenger.deployment, record.champion.deployment if record.champion else None
    if new is None:
        return ()
    return tuple(
        ScoreRow(score, getattr(new, score.name), getattr(old, score.name) if old else None)
        for score in SCORE_NAMES
        if score.name in DEPLOYMENT_SCORES
    )
