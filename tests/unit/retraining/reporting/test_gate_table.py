from __future__ import annotations

import pytest

from include.retraining.artifacts import GateResult
from include.retraining.reporting.gate_table import MOST_SHOWN, gate_table_of
from tests.promotions import make_decision

PASSED = GateResult("floor macro_recall", True, "0.8", 0.8, 0.5)
FAILED = GateResult("test rows", False, "too few", 3.0, 50.0)
UNJUDGED = GateResult("non-inferior macro_recall", True, "there is no champion")


def test_gates_that_refuse_come_first_in_the_recipes_order() -> None:
    second = GateResult("calibration", False, "0.3", 0.3, 0.1)

    table = gate_table_of(make_decision("no", gates=(PASSED, FAILED, UNJUDGED, second)))

    assert table.results == (FAILED, second, PASSED, UNJUDGED)


@pytest.mark.parametrize(
    ("gates", "policy", "told"),
    [
        pytest.param((PASSED,), {}, "1 check ran: 1 passed, 0 failed.", id="old entry"),
        pytest.param(
            (PASSED, FAILED, FAILED),
            {"gates": [{}, {}]},
            "3 checks ran for the 2 gates of the recipe: 1 passed, 2 failed.",
            id="more checks than gates",
        ),
        pytest.param(
            (PASSED, UNJUDGED),
            {"gates": [{}, {}]},
            "2 checks ran for the 2 gates of the recipe: 2 passed, 0 failed. "
            "1 of those that passed has nothing to judge; each says why.",
            id="nothing to judge",
        ),
        pytest.param(
            (PASSED, GateResult("newer data", True, "it is later")),
            {},
            "2 checks ran: 2 passed, 0 failed.",
            id="judged without numbers",
        ),
        pytest.param((), {}, "No gate was checked.", id="none"),
    ],
)
def test_a_sentence_tells_how_many_checks_ran(gates: tuple[GateResult, ...], policy: dict, told: str) -> None:
    assert gate_table_of(make_decision(gates=gates, policy=policy)).sentence == told


def test_entries_from_before_numbers_were_kept_have_none_and_nothing_is_called_unjudged() -> None:
    table = gate_table_of(make_decision())

    assert not table.has_numbers
    assert "nothing to judge" not in table.sentence


def test_of_many_checks_those_that_passed_are_folded_and_none_is_lost() -> None:
    many = gate_table_of(make_decision(gates=(*[PASSED] * MOST_SHOWN, FAILED)))
    few = gate_table_of(make_decision(gates=(*[PASSED] * (MOST_SHOWN - 1), FAILED)))

    assert many.shown == (FAILED,)
    assert many.folded == (PASSED,) * MOST_SHOWN
    assert len(few.shown) == MOST_SHOWN
    assert few.folded == ()
