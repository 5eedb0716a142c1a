from __future__ import annotations

from include.retraining.artifacts import CandidateRecord, Trial
from include.retraining.reporting.contest import MOST_SHOWN, contest_of
from tests.builders import make_candidate, make_cross_validation, make_image_level, make_metrics, make_selection


def candidate(mean: float, strategy: str = "smote", name: str = "", head: str = "linear") -> CandidateRecord:
    made = make_candidate(strategy, head, cross_validation=make_cross_validation(mean, spread=0.02))
    return made if not name else make_candidate(strategy, head, name=name, cross_validation=made.cross_validation)


def many(n: int) -> list[CandidateRecord]:
    strategies = ("none", "class_weights", "smote")
    return [candidate(0.8 - place / 1000, strategies[place % 3], f"candidate {place}") for place in range(n)]


def test_the_bound_is_drawn_after_the_last_candidate_that_reaches_it() -> None:
    selection = make_selection([candidate(0.80, name="a"), candidate(0.795, name="b"), candidate(0.7, name="c")])

    contest = contest_of(selection, {}, None)

    assert [row.is_last_within for row in contest.rows] == [False, True, False]
    assert [row.whisker.reaches_bound for row in contest.rows] == [True, True, False]


def test_where_every_candidate_reaches_the_bound_no_line_is_drawn() -> None:
    selection = make_selection([candidate(0.80, name="a"), candidate(0.80, name="b")])

    contest = contest_of(selection, {}, None)

    assert not any(row.is_last_within for row in contest.rows)


def test_the_challenger_is_marked_although_another_has_the_highest_mean() -> None:
    selection = make_selection([candidate(0.80, name="best"), candidate(0.799, name="simple")], challenger="simple")

    contest = contest_of(selection, {"simple": make_metrics()}, None)

    assert [row.record.name for row in contest.rows] == ["best", "simple"]
    assert [row.is_challenger for row in contest.rows] == [False, True]
    assert [row.test is not None for row in contest.rows] == [False, True]


def test_a_few_candidates_are_all_shown() -> None:
    contest = contest_of(make_selection(many(MOST_SHOWN)), {}, None)

    assert not contest.is_folded
    assert all(row.is_shown for row in contest.rows)


def test_of_many_candidates_the_best_of_each_strategy_and_the_challenger_are_shown() -> None:
    contest = contest_of(make_selection(many(MOST_SHOWN + 1), challenger="candidate 8"), {}, None)

    shown = [row.record.name for row in contest.rows if row.is_shown]
    assert contest.is_folded
    assert shown == ["candidate 0", "candidate 1", "candidate 2", "candidate 8"]
    assert len(contest.rows) == MOST_SHOWN + 1


def test_the_image_level_network_shares_the_axes_of_the_curves_and_is_no_candidate() -> None:
    image_level = make_image_level(loss=(9.0, 8.0), validation_macro_recall=(0.1, 0.2))

    contest = contest_of(make_selection(), {}, image_level)

    assert contest.image_level is not None
    record, curves = contest.image_level
    assert record == image_level
    assert (curves.title, curves.n_epochs) == ("image-level CNN", 2)
    assert curves.loss.y_ticks == contest.rows[0].curves.loss.y_ticks  # type: ignore[union-attr]
    assert curves.loss.y_ticks[2].label == "9.00"  # type: ignore[union-attr]
    assert len(contest.rows) == len(contest.plot.rows) == 2
    assert contest.rows[-1].curves.title == "none · linear"


def test_only_candidates_that_were_searched_for_have_trials_to_show() -> None:
    searched = make_candidate("none", trials=(Trial({"weight_decay": 3.0}, 0.7),))

    contest = contest_of(make_selection([make_candidate("smote"), searched]), {}, None)

    assert contest.searched == [searched]
