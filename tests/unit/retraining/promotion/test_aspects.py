from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from pydantic import TypeAdapter

from include.retraining.artifacts import EvaluationRecord, GateResult, SliceMetrics
from include.retraining.config import EvaluationConfig, GateConfig
from include.retraining.promotion.gates import check_gates
from tests.builders import make_metrics
from tests.promotions import make_evaluation
from tests.unit.retraining.promotion.evidences import make_evidence, make_slice, with_slices

NORTH, SOUTH = make_slice("camera=north", 60), make_slice("camera=south", 40, 0.5)
FLOOR = {"gate": "floor", "metric": "macro_recall", "minimum": 0.75}


def results(document: dict[str, Any], *slices: SliceMetrics, of: EvaluationRecord | None = None) -> list[GateResult]:
    evaluation = with_slices(make_evaluation() if of is None else of, *slices)
    gate: GateConfig = TypeAdapter(GateConfig).validate_python(document)
    return list(check_gates((gate,), make_evidence(evaluation), EvaluationConfig(minimum_slice_rows=30)))


def verdicts(found: list[GateResult]) -> dict[str, bool]:
    return {it.gate: it.passed for it in found}


def test_a_gate_on_one_slice_looks_at_that_slice():
    north = results({**FLOOR, "slice": "camera=north"}, NORTH, SOUTH)
    south = results({**FLOOR, "slice": "camera=south"}, NORTH, SOUTH)

    assert verdicts(north) == {"floor macro_recall camera=north": True}
    assert verdicts(south) == {"floor macro_recall camera=south": False}
    assert south[0].found == 0.5


def test_a_gate_on_every_value_gives_one_result_a_value():
    found = results({**FLOOR, "slice": "camera=*"}, NORTH, SOUTH, make_slice("lens=wide", 100, 0.0))

    assert verdicts(found) == {"floor macro_recall camera=north": True, "floor macro_recall camera=south": False}


def test_a_gate_on_every_label_of_every_value_gives_one_result_for_each():
    south = make_slice("camera=south", 40, recall={"daisy": 0.9, "poppy": 0.5, "orchid": None})

    found = results({**FLOOR, "metric": "recall:*", "slice": "camera=*"}, NORTH, south)

    assert verdicts(found) == {
        "floor recall:daisy camera=north": True,
        "floor recall:poppy camera=north": True,
        "floor recall:orchid camera=north": True,
        "floor recall:daisy camera=south": True,
        "floor recall:poppy camera=south": False,
        "floor recall:orchid camera=south": False,  # it has rows there, and no recall: undefined
    }


def test_a_value_with_few_test_rows_is_listed_and_not_judged():
    few = make_slice("camera=east", {"daisy": 10, "poppy": 2, "orchid": 0}, 0.0)

    found = results({**FLOOR, "metric": "recall:*", "slice": "camera=*"}, NORTH, few)

    last = found[-1]
    assert (last.gate, last.passed, last.found) == ("floor recall:* camera=east", True, None)
    assert last.sentence == "12 test rows, fewer than 30: not judged"


def test_a_slice_that_is_named_must_be_large_enough():
    few = make_slice("camera=east", {"daisy": 10, "poppy": 2, "orchid": 0}, 1.0)

    (found,) = results({**FLOOR, "slice": "camera=east"}, NORTH, few)

    assert (found.passed, found.sentence) == (False, "12 test rows, fewer than 30: too few to judge")


def test_a_slice_that_is_named_must_be_there():
    (found,) = results({**FLOOR, "minimum": 0.0, "slice": "camera=east"}, NORTH)

    assert (found.gate, found.passed) == ("floor macro_recall camera=east", False)
    assert found.sentence == "no test row has camera=east"


@pytest.mark.parametrize("slices", [(), (make_slice("camera=", 100),), (make_slice("lens=wide", 100),)])
def test_a_column_that_no_manifest_delivered_is_refused(slices: tuple[SliceMetrics, ...]):
    (found,) = results({**FLOOR, "minimum": 0.0, "slice": "camera=*"}, *slices)

    assert (found.gate, found.passed) == ("floor macro_recall camera=*", False)
    assert "no manifest delivered it" in found.sentence


def test_rows_without_a_value_are_judged_too():
    found = results({**FLOOR, "slice": "camera=*"}, NORTH, make_slice("camera=", 40, 0.1))

    assert verdicts(found) == {"floor macro_recall camera=north": True, "floor macro_recall camera=": False}


def test_where_every_value_is_too_small_nothing_was_judged_and_that_is_no_pass():
    few = [make_slice(f"camera={name}", 5, 1.0) for name in ("north", "south")]

    found = results({**FLOOR, "slice": "camera=*"}, *few)

    assert [it.passed for it in found] == [True, True, False]
    assert "nothing could be judged" in found[-1].sentence
    assert "evaluation.minimum_slice_rows: 30" in found[-1].sentence


def test_values_that_the_evaluation_did_not_keep_are_not_taken_for_good():
    """The test rows are 300; the largest values are kept, and the smallest of them could be judged."""
    cut = results({**FLOOR, "slice": "camera=*"}, NORTH)
    small = results({**FLOOR, "slice": "camera=*"}, NORTH, make_slice("camera=south", 9))

    assert [it.passed for it in cut] == [True, False]
    assert cut[-1].sentence.startswith("120 test rows have other values than the 1 largest")
    assert [it.passed for it in small] == [True, True]


def test_a_label_that_a_value_does_not_have_is_not_judged_there():
    north = make_slice("camera=north", {"daisy": 60, "poppy": 40, "orchid": 0})

    found = results({**FLOOR, "metric": "recall:*", "slice": "camera=north"}, north)
    alone = results({**FLOOR, "metric": "recall:orchid", "slice": "camera=*"}, north, make_slice("camera=south", 70))

    assert [(it.gate, it.passed) for it in found] == [
        ("floor recall:daisy camera=north", True),
        ("floor recall:poppy camera=north", True),
        ("floor recall:orchid camera=north", True),
    ]
    assert found[-1].sentence == "no test row of orchid has camera=north: its recall is not judged"
    assert verdicts(alone) == {"floor recall:orchid camera=north": True, "floor recall:orchid camera=south": True}


def test_a_label_and_a_value_that_are_both_named_must_have_rows():
    north = make_slice("camera=north", {"daisy": 60, "poppy": 40, "orchid": 0})

    (found,) = results({**FLOOR, "metric": "recall:orchid", "slice": "camera=north"}, north)

    assert not found.passed


def test_a_label_that_no_value_has_was_nowhere_judged():
    north = make_slice("camera=north", {"daisy": 160, "poppy": 140, "orchid": 0})

    found = results({**FLOOR, "metric": "recall:orchid", "slice": "camera=*"}, north)

    assert [it.passed for it in found] == [True, False]


@pytest.mark.parametrize(
    "kind", [{"gate": "non_inferior", "tolerance": 0.02}, {"gate": "maximum_regression", "maximum": 0.0}]
)
def test_challenger_and_champion_are_compared_within_a_slice(kind: dict[str, Any]):
    champion = make_evaluation(champion=make_metrics())
    evaluation = with_slices(champion, NORTH, make_slice("camera=south", 40))
    worse = tuple(
        dataclasses.replace(it, estimate=-0.3, bounds=tuple(dataclasses.replace(b, lower=-0.4) for b in it.bounds))
        if (it.metric, it.slice) == ("macro_recall", "camera=south")
        else it
        for it in evaluation.differences
    )
    gate: GateConfig = TypeAdapter(GateConfig).validate_python({**kind, "metric": "macro_recall", "slice": "camera=*"})

    found = check_gates((gate,), make_evidence(dataclasses.replace(evaluation, differences=worse)))

    assert [it.gate.split(" ")[-1] for it in found] == ["camera=north", "camera=south"]
    assert [it.passed for it in found] == [True, False]


def test_a_slice_is_compared_by_its_own_difference_and_without_one_it_does_not_pass():
    champion = make_evaluation(champion=make_metrics())
    evaluation = with_slices(champion, NORTH, make_slice("camera=south", 40))
    overall_alone = dataclasses.replace(evaluation, differences=champion.differences)
    gate: GateConfig = TypeAdapter(GateConfig).validate_python(
        {"gate": "maximum_regression", "metric": "macro_recall", "maximum": 0.5, "slice": "camera=*"}
    )

    assert [it.passed for it in check_gates((gate,), make_evidence(evaluation))] == [True, True]
    assert [it.passed for it in check_gates((gate,), make_evidence(overall_alone))] == [False, False]
