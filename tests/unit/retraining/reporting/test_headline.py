from __future__ import annotations

import dataclasses

import pytest

from include.retraining.artifacts import Approval
from include.retraining.reporting.gather import gather
from include.retraining.reporting.headline import Headline, headline_of
from include.retraining.run import APPROVAL, DECISION, EVALUATION, INTAKE, PROMOTION, SNAPSHOT
from tests.builders import RUN_ID, STARTED_AT, make_intake, make_metrics, make_run, make_snapshot
from tests.promotions import make_decision, make_evaluation, make_move
from tests.unit.retraining.reporting.judged import keep_judged_day

CHALLENGER = "20260103T0200-aaaaaaaaaaaa"
CHAMPION = "20260102T0200-bbbbbbbbbbbb"


def headline_with(**records: object) -> Headline:
    run = make_run()
    names = {
        "intake": INTAKE,
        "snapshot": SNAPSHOT,
        "evaluation": EVALUATION,
        "decision": DECISION,
        "approval": APPROVAL,
        "promotion": PROMOTION,
    }
    for name, record in records.items():
        run.record(names[name], record)
    return headline_of(gather(run))


def test_a_first_champion_replaced_nobody() -> None:
    headline = headline_with(decision=make_decision(), promotion=make_move())

    assert headline.verdict == "promoted"
    assert headline.sentence == f"Version {CHALLENGER} became the first champion: it passed all 2 checks."


def test_a_new_champion_names_the_one_it_replaced() -> None:
    decision = dataclasses.replace(make_decision(), champion=CHAMPION)

    headline = headline_with(decision=decision, promotion=make_move(incumbent=CHAMPION))

    assert headline.sentence == f"Version {CHALLENGER} replaced {CHAMPION} as champion: it passed all 2 checks."


def test_an_approval_without_a_move_is_no_promotion() -> None:
    headline = headline_with(decision=make_decision())

    assert headline.verdict == "approved"
    assert "the champion was not moved" in headline.sentence


def test_a_dry_run_says_that_it_was_asked_to_decide_only() -> None:
    headline = headline_with(decision=make_decision(champion=CHAMPION, is_dry_run=True))

    assert headline.verdict == "approved"
    assert "the run was asked to decide only" in headline.sentence


def test_a_first_model_that_is_left_to_a_person_says_so() -> None:
    policy = {"promotion": {"first_model": "by_hand"}}

    headline = headline_with(decision=make_decision(is_dry_run=True, policy=policy))

    assert "the recipe leaves the first one to a person" in headline.sentence


@pytest.mark.parametrize(
    ("by", "told"), [("ana", "but ana said no to its promotion;"), ("", "but nobody approved its promotion in time;")]
)
def test_a_veto_keeps_the_champion_and_names_who_said_no(by: str, told: str) -> None:
    approval = Approval(CHALLENGER, RUN_ID, approved=False, by=by, answered_at=STARTED_AT)

    headline = headline_with(decision=make_decision(champion=CHAMPION), approval=approval)

    assert headline.verdict == "kept"
    assert told in headline.sentence


def test_a_rebaseline_is_never_silent() -> None:
    decision = make_decision(champion=CHAMPION, rebaseline="its model.keras is gone.")

    headline = headline_with(decision=decision, promotion=make_move(incumbent=CHAMPION))

    assert headline.sentence.endswith(
        "without being compared with that champion, as was asked (re-baseline): its model.keras is gone."
    )


@pytest.mark.parametrize(
    ("reasons", "told"),
    [
        pytest.param(("recall fell.",), "was refused: recall fell.", id="one"),
        pytest.param(("recall fell", "b"), "was refused: recall fell (and 1 more reason).", id="two"),
        pytest.param(("recall fell", "b", "c"), "was refused: recall fell (and 2 more reasons).", id="three"),
    ],
)
def test_a_refusal_gives_its_first_reason_and_counts_the_others(reasons: tuple[str, ...], told: str) -> None:
    headline = headline_with(decision=make_decision(*reasons, champion=CHAMPION))

    assert headline.verdict == "kept"
    assert headline.sentence == f"Champion {CHAMPION} stays, since challenger {CHALLENGER} {told}"


def test_a_refusal_without_a_champion_says_that_no_model_is_in_production() -> None:
    headline = headline_with(decision=make_decision("recall fell"))

    assert headline.title == "Challenger refused"
    assert headline.sentence == f"No model is in production, and challenger {CHALLENGER} was refused: recall fell."


def test_training_the_champion_again_is_told_as_such() -> None:
    evaluation = make_evaluation(champion=make_metrics(), is_same_model=True)

    headline = headline_with(evaluation=evaluation, decision=make_decision("same", champion=CHAMPION))

    assert headline.sentence == f"Champion {CHAMPION} stays: retraining gave the same model again."


def test_a_run_that_stopped_says_where() -> None:
    headline = headline_with(intake=make_intake(), snapshot=make_snapshot())

    assert headline.verdict == "stopped"
    assert headline.title == "Stopped after dataset"
    assert "the champion was not touched" in headline.sentence


def test_a_window_without_a_delivery_is_no_failure() -> None:
    nothing = make_intake(delivered=0, accepted=0, skipped=0, quarantined={})

    assert headline_with(intake=nothing).sentence == "The window held no delivery; the champion was not touched."
    assert headline_with().title == "Nothing was retrained"


def test_a_refused_delivery_is_told_with_its_first_reason() -> None:
    run = make_run()
    keep_judged_day(run, failures=("3 of 4 images are quarantined.", "no image is usable"))

    headline = headline_of(gather(run))

    assert (headline.verdict, headline.title) == ("stopped", "Delivery refused")
    assert headline.sentence == (
        "The delivery of 2026-01-02 was refused: 3 of 4 images are quarantined; the champion was not touched."
    )
