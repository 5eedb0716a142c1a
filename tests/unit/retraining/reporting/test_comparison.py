from __future__ import annotations

import dataclasses

import pytest

from include.retraining.artifacts import EvaluationRecord, PriorMetrics
from include.retraining.reporting.comparison import MOST_SHOWN, Comparison, comparison_of
from tests.builders import LABELS, make_metrics
from tests.promotions import make_difference, make_evaluation, make_scored_version
from tests.unit.retraining.reporting.pages import make_slice

NORTH, SOUTH = make_slice(value="north"), make_slice(value="south", n_rows=dict.fromkeys(LABELS, 9))


def laid_out(record: EvaluationRecord) -> Comparison:
    return comparison_of(record, LABELS, (), minimum_slice_rows=30)


def test_scores_of_both_models_stand_side_by_side() -> None:
    shown = laid_out(make_evaluation(make_metrics(), make_metrics(dict.fromkeys(LABELS, 0.75))))

    first = shown.scores[0]
    assert first.score.name == "macro_recall"
    assert (first.challenger, first.champion) == pytest.approx((0.8, 0.75))
    assert len(shown.recalls.rows[0].bars) == 2
    assert shown.overall is not None
    assert shown.by_class is not None
    assert shown.reliability is not None
    assert len(shown.reliability.models) == 2
    assert shown.deployment == ()


def test_a_champion_that_cannot_be_scored_leaves_the_challenger_alone() -> None:
    record = dataclasses.replace(make_evaluation(make_metrics(), make_metrics()), champion=None, differences=())

    shown = laid_out(record)

    assert {row.champion for row in shown.scores} == {None}
    assert shown.overall is None
    assert shown.by_class is None


def test_a_deployment_prior_adds_what_depends_on_it() -> None:
    prior = PriorMetrics(dict.fromkeys(LABELS, 1 / 3), 0.9, 0.88, 0.02, dict.fromkeys(LABELS, 0.9))
    scored = make_scored_version(deployment=prior)

    shown = laid_out(dataclasses.replace(make_evaluation(), challenger=scored))

    assert {row.score.name: row.challenger for row in shown.deployment} == {
        "accuracy": 0.9,
        "macro_f1": 0.88,
        "ece": 0.02,
    }


def test_slices_come_by_column_with_the_champions_and_the_difference_of_the_same_slice() -> None:
    of_date = make_slice("date", "2026-01-02")
    old = make_slice(value="north", macro_recall=0.7)
    north = make_difference("macro_recall", 0.1, 0.02, slice="camera=north")
    record = dataclasses.replace(
        make_evaluation(make_metrics(), make_metrics()),
        challenger=make_scored_version(slices=(NORTH, SOUTH, of_date)),
        champion=make_scored_version(slices=(old,)),
        differences=(make_difference("accuracy", 0.5, slice="camera=north"), north, make_difference()),
    )

    cameras, dates = laid_out(record).slices

    assert (cameras.column, dates.column) == ("camera", "date")
    first, second = cameras.shown
    assert (first.challenger, first.champion, first.difference) == (NORTH, old, north)
    assert first.bounds == (0.1 - 0.04, 0.1 + 0.04)
    assert (second.champion, second.difference, second.bounds) == (None, None, (None, None))


def test_a_slice_with_too_few_rows_to_be_judged_is_marked() -> None:
    record = dataclasses.replace(make_evaluation(), challenger=make_scored_version(slices=(NORTH, SOUTH)))

    (table,) = laid_out(record).slices

    assert [row.is_small for row in table.shown] == [False, True]
    assert table.has_small


def test_of_many_values_the_largest_are_shown_at_once_and_none_is_lost() -> None:
    slices = tuple(make_slice(value=f"{place:02}") for place in range(MOST_SHOWN + 3))
    record = dataclasses.replace(make_evaluation(), challenger=make_scored_version(slices=slices))

    (table,) = laid_out(record).slices

    assert [row.challenger.value for row in table.folded] == ["12", "13", "14"]
    assert (len(table.shown), table.has_small) == (MOST_SHOWN, False)
