from __future__ import annotations

import pytest

from include.retraining.artifacts import Bound, Difference
from include.retraining.config import GateConfig, NonInferiorGate
from include.retraining.reporting.difference_plot import (
    DifferencePlot,
    bound_of,
    class_differences,
    overall_differences,
)
from tests.promotions import make_difference


def gate(metric: str = "macro_recall", tolerance: float = 0.05, **fields: object) -> NonInferiorGate:
    return NonInferiorGate.model_validate({"gate": "non_inferior", "metric": metric, "tolerance": tolerance, **fields})


def plot_of(differences: list[Difference], *gates: GateConfig) -> DifferencePlot:
    plot = overall_differences(differences, gates)
    assert plot is not None
    return plot


def test_a_whisker_reaches_from_bound_to_bound_on_an_axis_that_holds_zero() -> None:
    plot = plot_of([make_difference("macro_recall", 0.02, 0.005)])  # bounds at 0.01 and 0.03

    assert [(tick.position, tick.label) for tick in plot.ticks] == [
        (0.0, "0"),
        (33.33, "+0.01"),
        (66.67, "+0.02"),
        (100.0, "+0.03"),
    ]
    assert plot.zero == 0.0
    assert plot.rows[0].whisker == (33.33, 66.67, 100.0)
    assert plot.rows[0].limit is None
    assert plot.rows[0].holds is None
    assert not plot.has_limit


@pytest.mark.parametrize(
    ("metric", "estimate", "holds"),
    [
        pytest.param("macro_recall", -0.02, True, id="lower bound at the limit"),
        pytest.param("macro_recall", -0.021, False, id="lower bound beyond it"),
        pytest.param("macro_recall", 0.5, True, id="better"),
        pytest.param("ece", 0.02, True, id="upper bound of an error at the limit"),
        pytest.param("ece", 0.021, False, id="upper bound of an error beyond it"),
        pytest.param("ece", -0.5, True, id="less error"),
    ],
)
def test_the_bound_on_the_bad_side_is_held_against_the_tolerance(metric: str, estimate: float, holds: bool) -> None:
    plot = plot_of([make_difference(metric, estimate, 0.01)], gate(metric, 0.04))

    assert plot.rows[0].holds is holds
    assert plot.rows[0].limit is not None
    assert 0 <= plot.rows[0].limit <= 100
    assert (plot.rows[0].limit > plot.zero) is (metric == "ece")


def test_the_bounds_are_those_of_the_confidence_that_the_gate_asks_for() -> None:
    bounds = (Bound(0.9, -0.01, 0.01), Bound(0.95, -0.03, 0.03))

    differences = [make_difference("macro_recall", 0.0, bounds=bounds), make_difference("accuracy", 0.0, bounds=bounds)]
    plot = plot_of(differences, gate(tolerance=0.02, confidence=0.9))

    assert plot.rows[0].bound == bounds[0]
    assert plot.rows[0].holds is True
    assert plot.rows[1].bound == bounds[1]
    assert plot.confidence is None


def test_a_gate_on_a_slice_or_another_prior_marks_nothing_over_all_rows() -> None:
    elsewhere = (gate("accuracy", slice="camera=north"), gate("accuracy", prior="deployment"), gate("macro_f1"))

    plot = plot_of([make_difference("accuracy", 0.0)], *elsewhere)

    assert plot.rows[0].limit is None


def test_the_strictest_of_two_gates_is_drawn() -> None:
    plot = plot_of([make_difference("macro_recall", -0.02, 0.005)], gate(tolerance=0.1), gate(tolerance=0.01))

    assert plot.rows[0].holds is False


def test_an_undefined_difference_has_no_whisker_and_holds_nothing() -> None:
    plot = plot_of([make_difference("macro_recall", None)], gate())

    assert plot.rows[0].whisker is None
    assert plot.rows[0].holds is False


def test_metrics_come_in_the_reports_order_and_those_under_the_deployment_prior_last() -> None:
    differences = [
        make_difference("accuracy", 0.0, prior="deployment"),
        make_difference("ece", 0.0),
        make_difference("macro_recall", 0.0),
        make_difference("macro_recall", 0.0, slice="camera=north"),
        make_difference("recall:orchid", 0.0),
    ]

    plot = plot_of(differences)

    assert [row.title for row in plot.rows] == [
        "Macro recall",
        "Calibration error (ECE)",
        "Accuracy, deployment prior",
    ]


def test_by_class_there_are_recalls_and_precisions_only_where_a_gate_looks_at_them() -> None:
    differences = [
        make_difference("precision:daisy", 0.0),
        make_difference("precision:orchid", 0.0),
        make_difference("recall:daisy", 0.0),
        make_difference("recall:orchid", 0.0),
        make_difference("macro_recall", 0.0),
    ]

    plot = class_differences(differences, (gate("recall:*", 0.1), gate("precision:orchid", 0.2)))

    assert plot is not None
    assert [row.title for row in plot.rows] == ["daisy", "orchid", "precision of orchid"]
    assert all(row.limit is not None for row in plot.rows)


def test_without_differences_there_is_no_plot() -> None:
    assert overall_differences((), ()) is None
    assert class_differences([make_difference("macro_recall", 0.0)], ()) is None


@pytest.mark.parametrize(("estimate", "standard_error"), [(0.0, 0.0), (0.0004, 0.0001), (-0.9, 0.05), (0.3, 0.4)])
def test_every_axis_holds_its_whisker_and_has_few_marks(estimate: float, standard_error: float) -> None:
    plot = plot_of([make_difference("macro_recall", estimate, standard_error)])

    assert 2 <= len(plot.ticks) <= 7
    assert len({tick.label for tick in plot.ticks}) == len(plot.ticks)
    assert all(0 <= place <= 100 for place in plot.rows[0].whisker or (-1.0,))
    assert 0 <= plot.zero <= 100


def test_bounds_that_were_not_kept_are_none() -> None:
    assert bound_of(None) is None
    assert bound_of(make_difference(bounds=())) is None
    assert bound_of(make_difference("ece", 0.0), 0.99) == Bound(0.99, -0.02, 0.02)
