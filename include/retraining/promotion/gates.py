"""The gates: each looks at the evidence and says whether the challenger may pass, with its numbers. Missing is no."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch

from include.retraining.artifacts import Difference, GateResult
from include.retraining.config import (
    BetterThanChanceGate,
    CalibrationGate,
    DataChecksGate,
    EvaluationConfig,
    FloorGate,
    GateConfig,
    LatencyGate,
    MaximumRegressionGate,
    MetricGate,
    ModelSizeGate,
    NewerDataGate,
    NonInferiorGate,
    TestRowsGate,
)
from include.retraining.promotion.aspects import Aspect, aspects_of
from include.retraining.promotion.evidence import Evidence, difference_of, finite, metric_of

ERROR = "ece"  # the metric of which less is better
ROUNDING = 1e-9  # what 0.7 - 0.8 is off -0.1 by, and more; no metric of test rows is told apart by it
BYTES = 1_000_000  # of a megabyte
MOST_WARNINGS = 3  # in a sentence
DEFAULTS = EvaluationConfig()


@dataclass(frozen=True)
class Case:
    """What a gate judges by.

    Attributes:
        evidence: All that is known.
        minimum_slice_rows: As in `EvaluationConfig`.
        rebaseline: Whether gates that compare are passed over where the champion cannot be scored.
    """

    evidence: Evidence
    minimum_slice_rows: int
    rebaseline: bool


def check_gates(
    gates: tuple[GateConfig, ...],
    evidence: Evidence,
    config: EvaluationConfig = DEFAULTS,
    *,
    rebaseline: bool = False,
) -> tuple[GateResult, ...]:
    """Returns what every gate says, in the recipe's order; all are checked, whatever the first one said.

    Args:
        gates: The recipe's.
        evidence: What they look at.
        config: From how many test rows on a slice is judged.
        rebaseline: Whether it was asked to replace a champion that cannot be scored.
    """
    case = Case(evidence, config.minimum_slice_rows, rebaseline)
    return tuple(result for gate in gates for result in check(gate, case))


@singledispatch
def check(gate: object, case: Case) -> list[GateResult]:
    """Checks one gate: one result for everything that its metric and slice stand for.

    A gate that nobody taught this function is refused.
    """
    del case
    return [GateResult(type(gate).__name__, passed=False, sentence="no rule is known for this gate")]


@check.register
def _floor(gate: FloorGate, case: Case) -> list[GateResult]:
    def judge(aspect: Aspect) -> GateResult:
        value = metric_of(case.evidence.evaluation.challenger, aspect.metric, aspect.slice_name, aspect.prior)
        return _at_least(
            f"floor {aspect.name}", value, gate.minimum, f"{_show(value)}; at least {gate.minimum:.4f} is asked"
        )

    return _over_aspects("floor", gate, case, judge)


@check.register
def _non_inferior(gate: NonInferiorGate, case: Case) -> list[GateResult]:
    def judge(aspect: Aspect) -> GateResult:
        difference = _difference(aspect, case)
        is_error = aspect.metric == ERROR
        lower, upper = _bounds(difference, gate.confidence)
        found = upper if is_error else lower
        side = "not over" if is_error else "not under"
        sentence = (
            f"{_both(aspect, case)}; with {gate.confidence:.4g} confidence the difference is {side} {_signed(found)}, "
            f"{_allowed(gate.tolerance, is_error=is_error)}"
        )
        name = f"non-inferior {aspect.name}"
        # Without the difference itself its bounds mean nothing.
        return _within(name, found if _estimate(difference) is not None else None, gate.tolerance, sentence, is_error)

    return _compared("non-inferior", gate, case, judge)


@check.register
def _maximum_regression(gate: MaximumRegressionGate, case: Case) -> list[GateResult]:
    def judge(aspect: Aspect) -> GateResult:
        found = _estimate(_difference(aspect, case))
        is_error = aspect.metric == ERROR
        sentence = (
            f"{_both(aspect, case)}; the difference is {_signed(found)}, {_allowed(gate.maximum, is_error=is_error)}"
        )
        return _within(f"maximum regression {aspect.name}", found, gate.maximum, sentence, is_error)

    return _compared("maximum regression", gate, case, judge)


@check.register
def _calibration(gate: CalibrationGate, case: Case) -> list[GateResult]:
    aspect = Aspect(ERROR, prior=gate.prior)
    value = metric_of(case.evidence.evaluation.challenger, ERROR, prior=gate.prior)
    sentence = f"expected calibration error {_show(value)}; at most {gate.maximum_ece:.4f} is allowed"
    name = "calibration" if gate.prior == "test" else f"calibration {aspect.name}"
    return [_at_most(name, value, gate.maximum_ece, sentence)]


@check.register
def _better_than_chance(gate: BetterThanChanceGate, case: Case) -> list[GateResult]:
    chance = case.evidence.evaluation.chance
    observed, p_value = finite(chance.observed), finite(chance.p_value)
    sentence = (
        f"{chance.metric} {_show(observed)}, under {chance.permutations} permutations of the labels "
        f"{_show(finite(chance.null_mean))}; p is {_show(p_value)}, at most {gate.maximum_p:.4f} is allowed"
    )
    return [_at_most("better than chance", None if observed is None else p_value, gate.maximum_p, sentence)]


@check.register
def _test_rows(gate: TestRowsGate, case: Case) -> list[GateResult]:
    counts = case.evidence.evaluation.challenger.metrics.n_rows
    fewest = min(counts, key=lambda it: counts[it], default=None)
    short = [f"{label} has {count}" for label, count in counts.items() if count < gate.minimum_per_class]
    if fewest is None:
        sentence = "the evaluation knows no label"
    elif short:
        sentence = f"{', '.join(short)}; at least {gate.minimum_per_class} test images a class are asked"
    else:
        sentence = f"the fewest, of {fewest}, are {counts[fewest]}; at least {gate.minimum_per_class} a class are asked"
    found = None if fewest is None else float(counts[fewest])
    return [_at_least("test rows", found, gate.minimum_per_class, sentence)]


@check.register
def _data_checks(gate: DataChecksGate, case: Case) -> list[GateResult]:
    intake = case.evidence.intake
    if intake is None:
        return [_at_most("data checks", None, gate.maximum_warnings, "the run recorded nothing of its intake")]
    warnings = intake.warnings
    sentence = f"{len(warnings)} warnings of the intake; at most {gate.maximum_warnings} are allowed"
    if warnings:
        sentence += f": {'; '.join(warnings[:MOST_WARNINGS])}{'; …' if len(warnings) > MOST_WARNINGS else ''}"
    return [_at_most("data checks", float(len(warnings)), gate.maximum_warnings, sentence)]


@check.register
def _model_size(gate: ModelSizeGate, case: Case) -> list[GateResult]:
    size = finite(case.evidence.evaluation.cost.size_bytes)
    megabytes = None if size is None else size / BYTES
    shown = "unknown" if megabytes is None else f"{megabytes:.2f} MB"
    sentence = f"its files have {shown}; at most {gate.maximum_megabytes:g} MB are allowed"
    return [_at_most("model size", megabytes, gate.maximum_megabytes, sentence)]


@check.register
def _latency(gate: LatencyGate, case: Case) -> list[GateResult]:
    cost = case.evidence.evaluation.cost
    median = finite(cost.median_milliseconds) if cost.calls else None
    shown = "unknown" if median is None else f"{median:.1f} ms"
    sentence = (
        f"a call with one image takes {shown} on a CPU, the median of {cost.calls}; "
        f"at most {gate.maximum_milliseconds:g} ms are allowed"
    )
    return [_at_most("latency", median, gate.maximum_milliseconds, sentence)]


@check.register
def _newer_data(gate: NewerDataGate, case: Case) -> list[GateResult]:
    del gate
    pointer, end = case.evidence.champion, case.evidence.evaluation.window_end
    if pointer is None:
        return [GateResult("newer data", True, "there is no champion yet")]
    sentence = f"its data ends at {end.isoformat()}, the champion's at {pointer.window_end.isoformat()}"
    return [GateResult("newer data", end > pointer.window_end, f"{sentence}; later is asked")]


def _compared(kind: str, gate: MetricGate, case: Case, judge: Callable[[Aspect], GateResult]) -> list[GateResult]:
    """Returns the results of a gate that compares; a single one where there is nothing to compare with."""
    evidence = case.evidence
    name = f"{kind} {Aspect(gate.metric, gate.slice or '', gate.prior).name}"
    if evidence.evaluation.incumbent is None:
        return [GateResult(name, True, "there is no champion to compare with; the absolute gates decide")]
    if evidence.unscored and case.rebaseline:
        sentence = f"passed over as was asked (re-baseline): the champion cannot be scored: {evidence.unscored}"
        return [GateResult(name, True, sentence)]
    if evidence.unscored:
        return [GateResult(name, False, f"the champion cannot be scored: {evidence.unscored}")]
    return _over_aspects(kind, gate, case, judge)


def _over_aspects(kind: str, gate: MetricGate, case: Case, judge: Callable[[Aspect], GateResult]) -> list[GateResult]:
    aspects = aspects_of(gate, case.evidence.evaluation.challenger, case.minimum_slice_rows)
    return [
        judge(it) if it.passes is None else GateResult(f"{kind} {it.name}", it.passes, it.because) for it in aspects
    ]


def _difference(aspect: Aspect, case: Case) -> Difference | None:
    return difference_of(case.evidence.evaluation, aspect.metric, aspect.slice_name, aspect.prior)


def _estimate(difference: Difference | None) -> float | None:
    return None if difference is None else finite(difference.estimate)


def _bounds(difference: Difference | None, confidence: float) -> tuple[float | None, float | None]:
    for bound in difference.bounds if difference is not None else ():
        if math.isclose(bound.confidence, confidence):
            return finite(bound.lower), finite(bound.upper)
    return None, None


def _within(name: str, found: float | None, limit: float, sentence: str, is_error: bool) -> GateResult:
    """Returns whether a difference is worse than a limit by nothing but rounding."""
    return _at_most(name, found, limit, sentence) if is_error else _at_least(name, found, -limit, sentence)


def _at_least(name: str, found: float | None, asked: float, sentence: str) -> GateResult:
    return GateResult(name, found is not None and found >= asked - ROUNDING, sentence, found, float(asked))


def _at_most(name: str, found: float | None, asked: float, sentence: str) -> GateResult:
    return GateResult(name, found is not None and found <= asked + ROUNDING, sentence, found, float(asked))


def _both(aspect: Aspect, case: Case) -> str:
    evaluation = case.evidence.evaluation
    new, old = (
        metric_of(it, aspect.metric, aspect.slice_name, aspect.prior)
        for it in (evaluation.challenger, evaluation.champion)
    )
    return f"{_show(new)}, the champion has {_show(old)}"


def _allowed(limit: float, *, is_error: bool) -> str:
    return f"{limit if is_error else -limit:+.4f} is allowed"


def _show(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"


def _signed(value: float | None) -> str:
    return "undefined" if value is None else f"{value:+.4f}"
