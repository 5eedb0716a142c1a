from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import TypeAdapter

from include.retraining.artifacts import (
    ChanceTest,
    EvaluationRecord,
    GateResult,
    Incumbent,
    PriorMetrics,
    ServingCost,
)
from include.retraining.config import OVERALL_METRICS, EvaluationConfig, GateConfig
from include.retraining.promotion.evidence import Evidence
from include.retraining.promotion.gates import Case, check, check_gates
from tests.builders import LABELS, WINDOW, make_intake, make_metrics
from tests.promotions import make_difference, make_evaluation, make_scored_version
from tests.unit.retraining.promotion.evidences import make_evidence, make_pointer

NAN = float("nan")
INFINITE = float("inf")
MISSING = (None, NAN, INFINITE, -INFINITE)
FLOOR = {"gate": "floor", "metric": "macro_recall", "minimum": 0.75}
NON_INFERIOR = {"gate": "non_inferior", "metric": "macro_recall", "tolerance": 0.02}
REGRESSION = {"gate": "maximum_regression", "metric": "macro_recall", "maximum": 0.1}
COMPARING = pytest.mark.parametrize("gate", [NON_INFERIOR, REGRESSION], ids=lambda gate: gate["gate"])


def gate_of(document: dict[str, Any]) -> GateConfig:
    gate: GateConfig = TypeAdapter(GateConfig).validate_python(document)
    return gate


def results(document: dict[str, Any], evidence: Evidence | EvaluationRecord, **options: Any) -> list[GateResult]:
    evidence = evidence if isinstance(evidence, Evidence) else make_evidence(evidence)
    return list(check_gates((gate_of(document),), evidence, EvaluationConfig(), **options))


def result(document: dict[str, Any], evidence: Evidence | EvaluationRecord, **options: Any) -> GateResult:
    (only,) = results(document, evidence, **options)
    return only


def with_challenger(**fields: Any) -> EvaluationRecord:
    return make_evaluation(make_metrics(**fields))


def against(estimate: float | None, standard_error: float = 0.01, metric: str = "macro_recall") -> EvaluationRecord:
    """A challenger whose difference from the champion is known to two standard errors."""
    evaluation = make_evaluation(champion=make_metrics())
    return dataclasses.replace(evaluation, differences=(make_difference(metric, estimate, standard_error),))


def unscored(problem: str = "its labels are daisy, rose") -> EvaluationRecord:
    return make_evaluation(incumbent=Incumbent("20260102T0200-bbbbbbbbbbbb", "c4" * 32, WINDOW.start, problem))


@pytest.mark.parametrize(
    ("value", "passed"), [(0.76, True), (0.75, True), (0.7499, False), (0.0, False), *((it, False) for it in MISSING)]
)
def test_a_floor_holds_from_its_minimum_on(value: float | None, passed: bool):
    found = result(FLOOR, with_challenger(macro_recall=value))

    assert (found.gate, found.passed, found.asked) == ("floor macro_recall", passed, 0.75)
    assert found.sentence.endswith("; at least 0.7500 is asked")


@pytest.mark.parametrize("metric", [it for it in OVERALL_METRICS if it != "ece"])
def test_a_floor_looks_at_the_metric_that_it_names(metric: str):
    gate = {**FLOOR, "metric": metric, "minimum": 0.9}
    others = dict.fromkeys(OVERALL_METRICS, 1.0)

    assert not result(gate, with_challenger(**{**others, metric: 0.89})).passed
    assert result(gate, with_challenger(**{**dict.fromkeys(others, 0.0), metric: 0.91})).passed


@pytest.mark.parametrize("kind", ["recall", "precision"])
def test_a_floor_of_one_label_looks_at_that_label(kind: str):
    shares = {"daisy": 0.9, "poppy": 0.5, "orchid": 0.7}
    evaluation = with_challenger(**{kind: shares}) if kind == "precision" else make_evaluation(make_metrics(shares))

    passed = {label: result({**FLOOR, "metric": f"{kind}:{label}", "minimum": 0.6}, evaluation) for label in LABELS}

    assert {label: it.passed for label, it in passed.items()} == {"daisy": True, "poppy": False, "orchid": True}
    assert passed["poppy"].gate == f"floor {kind}:poppy"
    assert (passed["poppy"].found, passed["poppy"].sentence) == (0.5, "0.5000; at least 0.6000 is asked")


def test_a_floor_of_every_label_gives_one_result_a_label_and_all_that_fail_are_listed():
    evaluation = make_evaluation(make_metrics({"daisy": 0.9, "poppy": 0.5, "orchid": 0.4}))

    found = results({**FLOOR, "metric": "recall:*", "minimum": 0.6}, evaluation)

    assert [(it.gate, it.passed) for it in found] == [
        ("floor recall:daisy", True),
        ("floor recall:poppy", False),
        ("floor recall:orchid", False),
    ]


@pytest.mark.parametrize("metric", [*(it for it in OVERALL_METRICS if it not in ("ece", "accuracy")), "recall:orchid"])
def test_an_empty_class_passes_no_floor_whatever_its_minimum(metric: str):
    empty = make_evaluation(make_metrics(confusion=((10, 0, 0), (0, 10, 0), (0, 0, 0))))

    assert not result({**FLOOR, "metric": metric, "minimum": 0.0}, empty).passed


def test_an_evaluation_without_labels_passes_no_gate_on_every_label():
    nothing = make_evaluation()
    nothing = dataclasses.replace(nothing, challenger=make_scored_version(make_metrics(n_rows={})))

    found = result({**FLOOR, "metric": "recall:*", "minimum": 0.0}, nothing)

    assert (found.gate, found.passed) == ("floor recall:*", False)
    assert not result({"gate": "test_rows", "minimum_per_class": 1}, nothing).passed


def test_under_the_prior_of_deployment_other_numbers_are_looked_at():
    deployment = PriorMetrics(dict.fromkeys(LABELS, 1 / 3), 0.6, 0.5, 0.2, {"daisy": 0.4, "poppy": 0.8, "orchid": None})
    evaluation = make_evaluation()
    evaluation = dataclasses.replace(evaluation, challenger=make_scored_version(deployment=deployment))
    floor = {**FLOOR, "metric": "accuracy", "minimum": 0.7}

    assert result(floor, evaluation).passed
    found = result({**floor, "prior": "deployment"}, evaluation)
    assert (found.gate, found.passed, found.found) == ("floor accuracy (deployment)", False, 0.6)
    precise = results({**floor, "metric": "precision:*", "prior": "deployment"}, evaluation)
    assert [it.passed for it in precise] == [False, True, False]
    calibration = {"gate": "calibration", "maximum_ece": 0.1}
    assert result(calibration, evaluation).passed
    found = result({**calibration, "prior": "deployment"}, evaluation)
    assert (found.gate, found.passed) == ("calibration ece (deployment)", False)


def test_without_numbers_of_deployment_a_gate_on_them_does_not_pass():
    gate = {**FLOOR, "metric": "accuracy", "minimum": 0.0, "prior": "deployment"}

    assert not result(gate, make_evaluation()).passed


@pytest.mark.parametrize(
    ("estimate", "standard_error", "passed"),
    [
        (0.0, 0.01, True),  # the bound is exactly at the tolerance
        (-0.001, 0.01, False),
        (0.1, 0.05, True),
        (0.1, 0.07, False),  # better, but not shown to be
        (-0.02, 0.0, True),
        *((it, 0.01, False) for it in MISSING),
    ],
)
def test_a_challenger_is_not_inferior_where_the_lower_bound_is_within_the_tolerance(
    estimate: float | None, standard_error: float, passed: bool
):
    found = result(NON_INFERIOR, against(estimate, standard_error))

    assert (found.gate, found.passed, found.asked) == ("non-inferior macro_recall", passed, -0.02)


def test_of_the_calibration_error_it_is_the_upper_bound_that_counts():
    gate = {**NON_INFERIOR, "metric": "ece", "tolerance": 0.03}

    assert result(gate, against(-0.5, 0.01, "ece")).passed
    assert result(gate, against(0.01, 0.01, "ece")).passed
    found = result(gate, against(0.02, 0.01, "ece"))
    assert (found.passed, found.asked) == (False, 0.03)
    assert found.found == pytest.approx(0.04)
    assert "not over +0.0400, +0.0300 is allowed" in found.sentence


def test_the_bound_is_that_of_the_confidence_which_the_gate_asks_for():
    evaluation = against(0.0)
    (difference,) = evaluation.differences
    bounds = tuple(dataclasses.replace(it, lower=-it.confidence / 10) for it in difference.bounds)
    evaluation = dataclasses.replace(evaluation, differences=(dataclasses.replace(difference, bounds=bounds),))

    found = {
        confidence: result({**NON_INFERIOR, "confidence": confidence, "tolerance": 0.092}, evaluation)
        for confidence in (0.8, 0.9, 0.95, 0.99)
    }

    assert {confidence: it.passed for confidence, it in found.items()} == {
        0.8: True,
        0.9: True,
        0.95: False,
        0.99: False,
    }
    assert found[0.8].found == pytest.approx(-0.08)


@COMPARING
@pytest.mark.parametrize("bad", MISSING)
def test_a_difference_without_its_number_does_not_pass(gate: dict[str, Any], bad: float | None):
    evaluation = against(0.5)
    (difference,) = evaluation.differences
    bounds = tuple(dataclasses.replace(it, lower=bad, upper=bad) for it in difference.bounds)
    broken = dataclasses.replace(difference, estimate=bad, bounds=bounds)

    assert not result(gate, dataclasses.replace(evaluation, differences=(broken,))).passed
    assert not result(gate, dataclasses.replace(evaluation, differences=())).passed
    if gate is NON_INFERIOR:
        halves = ({"estimate": bad}, {"bounds": bounds}, {"bounds": ()})
        for half in (dataclasses.replace(difference, **fields) for fields in halves):
            assert not result(gate, dataclasses.replace(evaluation, differences=(half,))).passed


@pytest.mark.parametrize(("estimate", "passed"), [(0.3, True), (0.7 - 0.8, True), (-0.1001, False), (None, False)])
def test_a_metric_may_fall_by_the_maximum_as_it_is_measured(estimate: float | None, passed: bool):
    found = result(REGRESSION, against(estimate, 10.0))

    assert (found.gate, found.passed, found.asked) == ("maximum regression macro_recall", passed, -0.1)


def test_of_the_calibration_error_a_rise_is_the_regression():
    gate = {**REGRESSION, "metric": "ece"}

    assert result(gate, against(-0.5, metric="ece")).passed
    assert not result(gate, against(0.11, metric="ece")).passed


def test_every_label_is_compared_alone_so_that_one_rare_class_cannot_hide():
    before, after = {"daisy": 0.8, "poppy": 0.8, "orchid": 0.8}, {"daisy": 0.95, "poppy": 0.95, "orchid": 0.5}
    evaluation = make_evaluation(make_metrics(after), make_metrics(before))

    found = results({**REGRESSION, "metric": "recall:*"}, evaluation)

    assert {it.gate: it.passed for it in found} == {
        "maximum regression recall:daisy": True,
        "maximum regression recall:poppy": True,
        "maximum regression recall:orchid": False,
    }
    assert result(REGRESSION, evaluation).passed
    assert found[2].sentence == "0.5000, the champion has 0.8000; the difference is -0.3000, -0.1000 is allowed"


@COMPARING
def test_without_a_champion_there_is_nothing_to_compare_with(gate: dict[str, Any]):
    found = result(gate, with_challenger(macro_recall=0.1))

    assert found.passed
    assert "no champion to compare with" in found.sentence


@COMPARING
def test_a_champion_that_cannot_be_scored_stops_the_challenger(gate: dict[str, Any]):
    found = result(gate, unscored())

    assert not found.passed
    assert found.sentence == "the champion cannot be scored: its labels are daisy, rose"


@COMPARING
def test_a_champion_without_numbers_and_without_a_word_why_stops_it_too(gate: dict[str, Any]):
    assert not result(gate, unscored("")).passed


@COMPARING
def test_a_champion_that_cannot_be_scored_is_passed_over_where_that_was_asked_and_the_result_says_so(
    gate: dict[str, Any],
):
    found = result(gate, unscored(), rebaseline=True)

    assert found.passed
    assert "re-baseline" in found.sentence
    assert "daisy, rose" in found.sentence


@COMPARING
def test_where_the_champion_can_be_scored_a_re_baseline_changes_nothing(gate: dict[str, Any]):
    for estimate in (0.1, -0.5, None):
        assert result(gate, against(estimate), rebaseline=True) == result(gate, against(estimate))


@pytest.mark.parametrize(
    ("value", "passed"), [(0.0, True), (0.1, True), (0.1001, False), *((it, False) for it in MISSING)]
)
def test_the_calibration_error_may_reach_its_maximum(value: float | None, passed: bool):
    found = result({"gate": "calibration", "maximum_ece": 0.1}, with_challenger(ece=value))

    assert (found.gate, found.passed, found.asked) == ("calibration", passed, 0.1)


@pytest.mark.parametrize(
    ("observed", "p_value", "passed"),
    [(0.8, 0.001, True), (0.8, 0.01, True), (0.3, 0.0101, False), (0.3, 1.0, False), (None, 0.001, False)]
    + [(0.8, it, False) for it in MISSING],
)
def test_a_challenger_must_be_better_than_chance(observed: float | None, p_value: float | None, passed: bool):
    chance = ChanceTest("macro_recall", observed, 0.33, 0.37, p_value, 1000)

    found = result({"gate": "better_than_chance", "maximum_p": 0.01}, make_evaluation(chance=chance))

    assert (found.gate, found.passed) == ("better than chance", passed)


@pytest.mark.parametrize(("fewest", "passed"), [(51, True), (50, True), (49, False), (0, False)])
def test_every_class_needs_its_test_images(fewest: int, passed: bool):
    rows = {"daisy": 400, "poppy": fewest, "orchid": 100}

    found = result({"gate": "test_rows", "minimum_per_class": 50}, with_challenger(n_rows=rows))

    assert (found.gate, found.passed, found.found) == ("test rows", passed, fewest)


def test_all_classes_with_too_few_test_images_are_named():
    found = result({"gate": "test_rows", "minimum_per_class": 50}, with_challenger(n_rows={"a": 4, "b": 60, "c": 0}))

    assert found.sentence == "a has 4, c has 0; at least 50 test images a class are asked"


@pytest.mark.parametrize(("warnings", "passed"), [((), True), (("odd",) * 2, True), (("odd",) * 3, False)])
def test_a_delivery_may_give_as_many_warnings_as_the_recipe_says(warnings: tuple[str, ...], passed: bool):
    evidence = make_evidence(intake=make_intake(warnings=warnings))

    found = result({"gate": "data_checks", "maximum_warnings": 2}, evidence)

    assert (found.gate, found.passed, found.found, found.asked) == ("data checks", passed, len(warnings), 2)
    assert ("odd" in found.sentence) is bool(warnings)


def test_of_a_run_whose_intake_is_unknown_the_data_checks_do_not_pass():
    found = result({"gate": "data_checks", "maximum_warnings": 99}, make_evidence(intake=None))

    assert (found.passed, found.found) == (False, None)


@pytest.mark.parametrize(("size", "passed"), [(60_000_000, True), (60_000_001_000, False), (NAN, False)])
def test_a_version_s_files_may_be_as_large_as_the_recipe_says(size: float, passed: bool):
    cost = ServingCost(size_bytes=size, median_milliseconds=12.0, slow_milliseconds=20.0, calls=50)  # type: ignore[arg-type]

    assert result({"gate": "model_size", "maximum_megabytes": 60}, make_evaluation(cost=cost)).passed is passed


@pytest.mark.parametrize(
    ("median", "calls", "passed"), [(100.0, 50, True), (100.1, 50, False), (NAN, 50, False), (0.0, 0, False)]
)
def test_a_version_may_be_as_slow_as_the_recipe_says_if_it_was_measured(median: float, calls: int, passed: bool):
    cost = ServingCost(size_bytes=1, median_milliseconds=median, slow_milliseconds=1e9, calls=calls)

    found = result({"gate": "latency", "maximum_milliseconds": 100}, make_evaluation(cost=cost))

    assert (found.gate, found.passed) == ("latency", passed)


@pytest.mark.parametrize(("hours", "passed"), [(-1, True), (0, False), (1, False)])
def test_newer_data_means_a_window_that_ends_after_that_of_the_pointer(hours: int, passed: bool):
    evaluation = make_evaluation(champion=make_metrics())
    pointer = make_pointer(evaluation)
    end = WINDOW.end.replace(hour=WINDOW.end.hour + hours)
    assert pointer is not None

    evidence = make_evidence(evaluation, champion=dataclasses.replace(pointer, window_end=end))

    assert result({"gate": "newer_data"}, evidence).passed is passed


def test_the_first_model_s_data_is_new():
    assert result({"gate": "newer_data"}, make_evaluation()).passed


def test_a_gate_that_no_rule_knows_is_refused():
    class VibesGate:
        pass

    (found,) = check(VibesGate(), Case(make_evidence(), minimum_slice_rows=30, rebaseline=True))

    assert (found.gate, found.passed) == ("VibesGate", False)


def test_every_gate_is_checked_in_the_order_of_the_recipe_whatever_the_first_said():
    gates = tuple(
        gate_of(it) for it in (FLOOR, {"gate": "calibration", "maximum_ece": 0.1}, {"gate": "newer_data"}, NON_INFERIOR)
    )

    found = check_gates(gates, make_evidence(with_challenger(macro_recall=0.1, ece=0.9)))

    assert [(it.gate, it.passed) for it in found] == [
        ("floor macro_recall", False),
        ("calibration", False),
        ("newer data", True),
        ("non-inferior macro_recall", True),
    ]


def test_a_missing_number_is_shown_as_such_and_kept_as_nothing():
    found = result(FLOOR, with_challenger(macro_recall=NAN))

    assert (found.found, found.sentence) == (None, "undefined; at least 0.7500 is asked")
