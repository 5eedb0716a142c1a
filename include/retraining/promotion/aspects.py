"""What a gate on a metric looks at, one by one: `*` stands for every label, or for every value of a column.

What cannot be judged is listed as well, with what follows from that: a value that has few test rows passes unjudged;
a slice that is not there, or too small although it was named, does not pass; nor does a gate that judges nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from include.retraining.artifacts import ScoredVersion, SliceMetrics
from include.retraining.config import EVERY, MetricGate, metric_parts, slice_parts
from include.retraining.promotion.evidence import slice_of


@dataclass(frozen=True)
class Aspect:
    """One number that a gate asks for.

    Attributes:
        metric: With its label: `recall:coat`.
        slice_name: `column=value`; empty over all test rows.
        prior: `test` or `deployment`.
        passes: None where the number decides; else what was decided without it.
        because: Why it was.
    """

    metric: str
    slice_name: str = ""
    prior: str = "test"
    passes: bool | None = None
    because: str = ""

    @property
    def name(self) -> str:
        """How the result of a gate names it."""
        under = "" if self.prior == "test" else f"({self.prior})"
        return " ".join(part for part in (self.metric, self.slice_name, under) if part)


def aspects_of(gate: MetricGate, scored: ScoredVersion, minimum_slice_rows: int) -> list[Aspect]:
    """Returns everything that a gate looks at, in the order of slices, then labels.

    Args:
        gate: A gate that names a metric.
        scored: The challenger, whose labels and slices they are.
        minimum_slice_rows: A slice with fewer test rows is not judged.
    """
    asked = Aspect(gate.metric, gate.slice or "", gate.prior)
    labels = scored.metrics.n_rows
    if metric_parts(gate.metric)[1] == EVERY and not labels:
        return [replace(asked, passes=False, because="the evaluation knows no label")]
    if gate.slice is None:
        return [replace(asked, metric=metric) for metric in _metrics(gate.metric, labels)]
    if slice_parts(gate.slice)[1] == EVERY:
        return _over_every_value(asked, scored, minimum_slice_rows)
    return list(_over_one_value(asked, scored, minimum_slice_rows))


def _over_one_value(asked: Aspect, scored: ScoredVersion, minimum: int) -> Iterator[Aspect]:
    """Yields what to look at in a slice that the gate names."""
    found = slice_of(scored, asked.slice_name)
    if found is None:
        yield replace(asked, passes=False, because=f"no test row has {asked.slice_name}")
    elif found.total < minimum:
        yield replace(asked, passes=False, because=f"{_few(found, minimum)}: too few to judge")
    else:
        yield from _within(asked, found, scored.metrics.n_rows, is_named=True)


def _over_every_value(asked: Aspect, scored: ScoredVersion, minimum: int) -> list[Aspect]:
    """Returns what to look at in every value of a column; rows without a value are judged as one value is."""
    column = slice_parts(asked.slice_name)[0]
    slices = [it for it in scored.slices if it.column == column]
    if not any(it.value for it in slices):
        return [replace(asked, passes=False, because=f"no test row has a value in {column}: no manifest delivered it")]
    aspects: list[Aspect] = []
    for found in slices:
        within = replace(asked, slice_name=found.name)
        if found.total < minimum:
            aspects.append(replace(within, passes=True, because=f"{_few(found, minimum)}: not judged"))
        else:
            aspects += _within(within, found, scored.metrics.n_rows, is_named=False)
    left_out = sum(scored.metrics.n_rows.values()) - sum(it.total for it in slices)
    if left_out >= minimum and min(it.total for it in slices) >= minimum:
        because = f"{left_out} test rows have other values than the {len(slices)} largest, which alone are kept"
        aspects.append(replace(asked, passes=False, because=f"{because}: name the values to judge"))
    if all(it.passes for it in aspects):
        because = f"nothing could be judged: no value of {column} has enough test rows"
        aspects.append(replace(asked, passes=False, because=f"{because} (evaluation.minimum_slice_rows: {minimum})"))
    return aspects


def _within(asked: Aspect, found: SliceMetrics, labels: Iterable[str], *, is_named: bool) -> Iterator[Aspect]:
    """Yields what to look at in a slice that is large enough.

    A label that has no row there is not judged, unless the gate names both the label and the slice.
    """
    name, label = metric_parts(asked.metric)
    for metric in _metrics(asked.metric, labels):
        of = metric_parts(metric)[1]
        if of and found.n_rows.get(of) == 0 and not (is_named and label != EVERY):
            because = f"no test row of {of} has {found.name}: its {name} is not judged"
            yield replace(asked, metric=metric, passes=True, because=because)
        else:
            yield replace(asked, metric=metric)


def _metrics(metric: str, labels: Iterable[str]) -> list[str]:
    name, label = metric_parts(metric)
    return [f"{name}:{it}" for it in labels] if label == EVERY else [metric]


def _few(found: SliceMetrics, minimum: int) -> str:
    return f"{found.total} test rows, fewer than {minimum}"
