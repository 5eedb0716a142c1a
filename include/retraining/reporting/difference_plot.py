"""Challenger less champion as dots with whiskers: where the difference may lie, and what a gate allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from include.retraining.artifacts import Bound, Difference
from include.retraining.config import EVERY, OVERALL_METRICS, GateConfig, NonInferiorGate, metric_parts
from include.retraining.reporting.plots import Tick, round_marks
from include.retraining.reporting.scores import TITLES

CONFIDENCE = 0.95
FINEST = 0.001
LESS_IS_BETTER = "ece"


@dataclass(frozen=True)
class DifferenceRow:
    """One metric; coordinates in percent of the track.

    Attributes:
        title: The metric for people.
        difference: The numbers.
        bound: The bounds that are drawn; None where there are none.
        whisker: Where it begins, where the dot is, where it ends; None where the difference is undefined.
        limit: Where the line is that the bound may not cross; None where no gate asks for non-inferiority.
        holds: Whether the gate's bound is on the allowed side; None where there is no such gate.
    """

    title: str
    difference: Difference
    bound: Bound | None
    whisker: tuple[float, float, float] | None
    limit: float | None
    holds: bool | None


@dataclass(frozen=True)
class DifferencePlot:
    """Differences on one axis.

    Attributes:
        rows: In the order of the metrics.
        ticks: Marks of the axis.
        zero: Where both models are alike.
    """

    rows: tuple[DifferenceRow, ...]
    ticks: tuple[Tick, ...]
    zero: float

    @property
    def has_limit(self) -> bool:
        """Whether a gate asks for non-inferiority in one of the metrics."""
        return any(row.limit is not None for row in self.rows)

    @property
    def confidence(self) -> float | None:
        """Confidence of the bounds that are drawn; None where not all have the same."""
        drawn = {row.bound.confidence for row in self.rows if row.bound is not None}
        return drawn.pop() if len(drawn) == 1 else None


@dataclass(frozen=True)
class _Measured:
    """A difference with its bounds, and what a gate allows it to be."""

    difference: Difference
    bound: Bound | None
    limit: float | None

    @property
    def ends(self) -> tuple[float, float] | None:
        """Both ends of the whisker; None where one is undefined."""
        if self.difference.estimate is None or self.bound is None:
            return None
        if self.bound.lower is None or self.bound.upper is None:
            return None
        return self.bound.lower, self.bound.upper

    @property
    def holds(self) -> bool | None:
        if self.limit is None:
            return None
        if self.ends is None:
            return False
        slack = 1e-9  # as the gate allows for rounding
        is_error = self.difference.metric == LESS_IS_BETTER
        return self.ends[1] <= self.limit + slack if is_error else self.ends[0] >= self.limit - slack


def overall_differences(differences: Sequence[Difference], gates: Sequence[GateConfig]) -> DifferencePlot | None:
    """Lays out the metrics of all classes together, those under the deployment prior last; None where there is none."""
    order = {name: place for place, name in enumerate(OVERALL_METRICS)}
    shown = [it for it in differences if not it.slice and it.metric in order]
    return _plot(sorted(shown, key=lambda it: (it.prior == "deployment", order[it.metric])), gates)


def class_differences(differences: Sequence[Difference], gates: Sequence[GateConfig]) -> DifferencePlot | None:
    """Lays out the recall of every class, and the precision where a gate asks for it; None where there is none."""
    of_classes = [it for it in differences if not it.slice and metric_parts(it.metric)[1]]
    shown = [it for it in of_classes if metric_parts(it.metric)[0] == "recall"]
    asked = [it for it in of_classes if metric_parts(it.metric)[0] == "precision" and _gate_of(it, gates) is not None]
    return _plot([*shown, *asked], gates)


def bound_of(difference: Difference | None, confidence: float = CONFIDENCE) -> Bound | None:
    """Returns the bounds of a confidence, or None where they were not kept."""
    bounds = difference.bounds if difference is not None else ()
    return next((it for it in bounds if abs(it.confidence - confidence) < 1e-9), None)


def _plot(differences: Sequence[Difference], gates: Sequence[GateConfig]) -> DifferencePlot | None:
    if not differences:
        return None
    measured = [_measure(it, gates) for it in differences]
    reach = [0.0, *(it.limit for it in measured if it.limit is not None)]
    reach += [end for it in measured if it.ends for end in it.ends]
    marks = round_marks(min(reach), max(reach), FINEST)
    low, high = marks[0], marks[-1]

    def x(value: float) -> float:
        return round(100 * (value - low) / (high - low), 2)

    ticks = tuple(Tick(x(mark), _signed(mark)) for mark in marks)
    return DifferencePlot(tuple(_row(it, x) for it in measured), ticks, x(0.0))


def _row(measured: _Measured, x: Callable[[float], float]) -> DifferenceRow:
    difference, ends = measured.difference, measured.ends
    whisker = None
    if ends is not None and difference.estimate is not None:
        whisker = (x(ends[0]), x(difference.estimate), x(ends[1]))
    limit = None if measured.limit is None else x(measured.limit)
    return DifferenceRow(_title(difference), difference, measured.bound, whisker, limit, measured.holds)


def _measure(difference: Difference, gates: Sequence[GateConfig]) -> _Measured:
    gate = _gate_of(difference, gates)
    if gate is None:
        return _Measured(difference, bound_of(difference), None)
    limit = gate.tolerance if difference.metric == LESS_IS_BETTER else -gate.tolerance
    return _Measured(difference, bound_of(difference, gate.confidence), limit)


def _gate_of(difference: Difference, gates: Sequence[GateConfig]) -> NonInferiorGate | None:
    """Returns the strictest of the gates that ask for non-inferiority in just this."""
    every = f"{metric_parts(difference.metric)[0]}:{EVERY}"
    found = [
        gate
        for gate in gates
        if isinstance(gate, NonInferiorGate)
        and gate.metric in (difference.metric, every)
        and (gate.slice or "", gate.prior) == (difference.slice, difference.prior)
    ]
    return min(found, key=lambda gate: (gate.tolerance, -gate.confidence), default=None)


def _title(difference: Difference) -> str:
    name, label = metric_parts(difference.metric)
    of_class = label if name == "recall" else f"{name} of {label}"
    title = of_class if label else TITLES.get(name, name)
    return title if difference.prior == "test" else f"{title}, deployment prior"


def _signed(mark: float) -> str:
    return f"{mark:+.3f}".rstrip("0").rstrip(".").replace("-", "−") if mark else "0"
