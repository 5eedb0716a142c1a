"""The gates: each looks at an evaluation and says whether the challenger may pass, with its numbers. Unknown is no."""

from __future__ import annotations

from functools import singledispatch

from include.retraining.artifacts import ClassificationMetrics, EvaluationRecord, GateResult
from include.retraining.config import CalibrationGate, FloorGate, GateConfig, NonInferiorGate, TestRowsGate


def check_gates(gates: tuple[GateConfig, ...], evaluation: EvaluationRecord) -> tuple[GateResult, ...]:
    """Returns every gate's result, in the recipe's order; all are checked, whatever the first one said."""
    return tuple(check(gate, evaluation) for gate in gates)


@singledispatch
def check(gate: object, evaluation: EvaluationRecord) -> GateResult:
    """Checks one gate; a gate that nobody taught this function is refused."""
    del evaluation
    return GateResult(gate=type(gate).__name__, passed=False, sentence="no rule is known for this gate")


@check.register
def _floor(gate: FloorGate, evaluation: EvaluationRecord) -> GateResult:
    value = _metric(evaluation.challenger, gate.metric)
    # `not <` would let NaN pass.
    passed = value is not None and value >= gate.minimum
    return GateResult(f"floor {gate.metric}", passed, f"{_show(value)}, at least {gate.minimum:.4f} is asked")


@check.register
def _non_inferior(gate: NonInferiorGate, evaluation: EvaluationRecord) -> GateResult:
    name = f"non-inferior {gate.metric}"
    if evaluation.champion_version is None:
        return GateResult(name, True, "there is no champion to compare with; the floors decide")
    value = _metric(evaluation.challenger, gate.metric)
    reference = _metric(evaluation.champion, gate.metric)
    passed = value is not None and reference is not None and value >= reference - gate.tolerance
    sentence = f"{_show(value)}, the champion has {_show(reference)}, at most {gate.tolerance:.4f} less is allowed"
    return GateResult(name, passed, sentence)


@check.register
def _calibration(gate: CalibrationGate, evaluation: EvaluationRecord) -> GateResult:
    value = evaluation.challenger.ece
    passed = value is not None and value <= gate.maximum_ece
    sentence = f"expected calibration error {_show(value)}, at most {gate.maximum_ece:.4f} is allowed"
    return GateResult("calibration", passed, sentence)


@check.register
def _test_rows(gate: TestRowsGate, evaluation: EvaluationRecord) -> GateResult:
    counts = evaluation.challenger.n_rows
    label = min(counts, key=lambda it: counts[it])
    passed = counts[label] >= gate.minimum_per_class
    sentence = f"class {label!r} has {counts[label]} test images, at least {gate.minimum_per_class} a class are asked"
    return GateResult("test rows", passed, sentence)


def _metric(metrics: ClassificationMetrics | None, name: str) -> float | None:
    value = getattr(metrics, name, None)
    return value if isinstance(value, float) else None


def _show(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
