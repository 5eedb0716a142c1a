from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest

from include.retraining.artifacts import ClassificationMetrics, EvaluationRecord
from include.retraining.config import CalibrationGate, FloorGate, GatedMetric, NonInferiorGate
from include.retraining.config import TestRowsGate as RowsGate  # pytest would collect its own name
from include.retraining.promotion.gates import check, check_gates
from tests.builders import make_evaluation, make_metrics

NAN = float("nan")
FLOOR = FloorGate(gate="floor", metric="macro_recall", minimum=0.75)
NON_INFERIOR = NonInferiorGate(gate="non_inferior", metric="macro_recall", tolerance=0.125)
CALIBRATION = CalibrationGate(gate="calibration", maximum_ece=0.1)
TEST_ROWS = RowsGate(gate="test_rows", minimum_per_class=50)


def with_challenger(**fields: Any) -> EvaluationRecord:
    return make_evaluation(make_metrics(**fields))


def against(challenger: float | None, champion: float | None) -> EvaluationRecord:
    return make_evaluation(make_metrics(macro_recall=challenger), make_metrics(macro_recall=champion))


@pytest.mark.parametrize(
    ("value", "passed"), [(0.76, True), (0.75, True), (0.7499, False), (0.0, False), (None, False), (NAN, False)]
)
def test_a_floor_holds_from_its_minimum_on(value: float | None, passed: bool):
    result = check(FLOOR, with_challenger(macro_recall=value))
    assert (result.gate, result.passed) == ("floor macro_recall", passed)
    assert result.sentence.endswith(", at least 0.7500 is asked")


@pytest.mark.parametrize("metric", get_args(GatedMetric))
def test_a_floor_looks_at_the_metric_that_it_names(metric: str):
    gate = FloorGate(gate="floor", metric=metric, minimum=0.9)
    others = dict.fromkeys(get_args(GatedMetric), 1.0)
    assert not check(gate, with_challenger(**{**others, metric: 0.89})).passed
    assert check(gate, with_challenger(**{**dict.fromkeys(others, 0.0), metric: 0.91})).passed


@pytest.mark.parametrize(
    ("challenger", "champion", "passed"),
    [
        (0.75, 0.5, True),
        (0.5, 0.5, True),
        (0.375, 0.5, True),
        (0.374, 0.5, False),
        (None, 0.5, False),
        (0.5, None, False),
        (NAN, 0.5, False),
        (0.5, NAN, False),
    ],
)
def test_a_challenger_may_be_worse_than_the_champion_by_the_tolerance_and_no_more(
    challenger: float | None, champion: float | None, passed: bool
):
    result = check(NON_INFERIOR, against(challenger, champion))
    assert (result.gate, result.passed) == ("non-inferior macro_recall", passed)


def test_without_a_champion_there_is_nothing_to_be_worse_than():
    result = check(NON_INFERIOR, with_challenger(macro_recall=0.1))
    assert result.passed
    assert "no champion" in result.sentence


def test_a_champion_without_metrics_stops_the_challenger():
    evaluation = dataclasses.replace(against(0.9, 0.5), champion=None)
    assert not check(NON_INFERIOR, evaluation).passed


@pytest.mark.parametrize(("value", "passed"), [(0.0, True), (0.1, True), (0.1001, False), (None, False), (NAN, False)])
def test_the_calibration_error_may_reach_its_maximum(value: float | None, passed: bool):
    assert check(CALIBRATION, with_challenger(ece=value)).passed is passed


@pytest.mark.parametrize(("fewest", "passed"), [(51, True), (50, True), (49, False), (0, False)])
def test_every_class_needs_its_test_images(fewest: int, passed: bool):
    rows = {"daisy": 400, "poppy": fewest, "orchid": 100}
    result = check(TEST_ROWS, with_challenger(n_rows=rows))
    assert (result.gate, result.passed) == ("test rows", passed)
    assert result.sentence.startswith(f"class 'poppy' has {fewest} test images") is (fewest < 100)


def test_a_sentence_gives_the_numbers():
    assert check(FLOOR, with_challenger(macro_recall=0.7)).sentence == "0.7000, at least 0.7500 is asked"
    assert check(FLOOR, with_challenger(macro_recall=None)).sentence == "undefined, at least 0.7500 is asked"
    assert check(NON_INFERIOR, against(0.25, 0.5)).sentence == (
        "0.2500, the champion has 0.5000, at most 0.1250 less is allowed"
    )
    assert check(CALIBRATION, with_challenger(ece=0.2)).sentence == (
        "expected calibration error 0.2000, at most 0.1000 is allowed"
    )


def test_a_gate_that_no_rule_knows_is_refused():
    class VibesGate:
        pass

    result = check(VibesGate(), with_challenger())
    assert (result.gate, result.passed) == ("VibesGate", False)


def test_every_gate_is_checked_in_the_order_of_the_recipe_whatever_the_first_said():
    gates = (FLOOR, CALIBRATION, TEST_ROWS, NON_INFERIOR)
    results = check_gates(gates, with_challenger(macro_recall=0.1, ece=0.9))
    assert [(result.gate, result.passed) for result in results] == [
        ("floor macro_recall", False),
        ("calibration", False),
        ("test rows", True),
        ("non-inferior macro_recall", True),
    ]


def test_metrics_of_a_test_split_with_an_empty_class_pass_no_floor():
    empty = make_metrics(confusion=((10, 0, 0), (0, 10, 0), (0, 0, 0)))
    assert isinstance(empty, ClassificationMetrics)
    for metric in get_args(GatedMetric):
        assert not check(FloorGate(gate="floor", metric=metric, minimum=0.0), make_evaluation(empty)).passed
