from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from include.retraining.artifacts import ChampionPointer, EvaluationRecord, Incumbent, PromotionDecision
from include.retraining.config import ClassifierConfig
from include.retraining.promotion.decision import KEY_METRICS, Request, decide, why_not_carried_out
from include.retraining.promotion.evidence import Evidence
from include.retraining.storage.records import from_json, to_json
from tests.builders import RUN_ID, STARTED_AT, WINDOW, make_config, make_metrics
from tests.promotions import CHALLENGER, CHAMPION, make_evaluation
from tests.unit.retraining.promotion.evidences import make_evidence, make_pointer

AGAINST_CHAMPION = make_evaluation(champion=make_metrics())
UNSCORED = make_evaluation(incumbent=Incumbent(CHAMPION, "c4" * 32, WINDOW.start, "its labels are daisy, rose"))
REQUEST = Request(run_id=RUN_ID, decided_at=STARTED_AT, by="schedule")
REBASELINE = dataclasses.replace(REQUEST, rebaseline=True)
DRY_RUN = dataclasses.replace(REQUEST, is_dry_run=True)
BY_HAND = make_config(promotion={"first_model": "by_hand"})


def decided(
    evidence: Evidence | EvaluationRecord, request: Request = REQUEST, config: ClassifierConfig | None = None
) -> PromotionDecision:
    evidence = evidence if isinstance(evidence, Evidence) else make_evidence(evidence)
    return decide(config or make_config(), evidence, request)


def champion(**fields: Any) -> ChampionPointer:
    pointer = make_pointer(AGAINST_CHAMPION)
    assert pointer is not None
    return dataclasses.replace(pointer, **fields)


def test_a_first_challenger_that_passes_every_gate_is_approved():
    decision = decided(make_evaluation())

    assert (decision.approved, decision.reasons, decision.acts) == (True, (), True)
    assert (decision.champion, decision.champion_etag, decision.resulting) == (None, None, CHALLENGER)
    assert (decision.challenger, decision.window_end) == (CHALLENGER, WINDOW.end)
    assert (decision.run_id, decision.decided_at, decision.by) == (RUN_ID, STARTED_AT, "schedule")


def test_a_challenger_that_is_approved_names_incumbent_and_what_results():
    decision = decided(AGAINST_CHAMPION)

    assert decision.approved
    assert (decision.champion, decision.champion_etag, decision.resulting) == (CHAMPION, "etag", CHALLENGER)


def test_after_a_refusal_the_champion_is_still_what_results():
    config = make_config(gates=[{"gate": "floor", "metric": "macro_recall", "minimum": 0.9}])

    decision = decided(AGAINST_CHAMPION, config=config)

    assert (decision.approved, decision.acts, decision.resulting) == (False, False, CHAMPION)


def test_a_gate_that_does_not_pass_is_a_reason_and_every_gate_is_kept():
    gates = [
        {"gate": "floor", "metric": "macro_recall", "minimum": 0.9},
        {"gate": "floor", "metric": "macro_f1", "minimum": 0.1},
    ]

    decision = decided(make_evaluation(), config=make_config(gates=gates))

    assert not decision.approved
    assert decision.reasons == ("floor macro_recall: 0.8000; at least 0.9000 is asked",)
    assert [gate.passed for gate in decision.gates] == [False, True]


def test_an_older_window_never_replaces_newer_data():
    newer = champion(window_end=WINDOW.end + timedelta(seconds=1))

    decision = decided(make_evidence(AGAINST_CHAMPION, champion=newer))

    assert not decision.approved
    assert decision.reasons == (
        "its data ends at 2026-01-03T02:00:00+00:00, the champion's at 2026-01-03T02:00:01+00:00: "
        "older data never replaces newer data",
    )


def test_the_same_window_may_be_trained_again():
    assert decided(make_evidence(AGAINST_CHAMPION, champion=champion(window_end=WINDOW.end))).approved


def test_the_champion_is_not_replaced_by_itself():
    decision = decided(dataclasses.replace(AGAINST_CHAMPION, is_same_model=True))

    assert not decision.approved
    assert decision.reasons[0].startswith("the challenger is the champion, byte for byte")


def test_a_version_that_is_champion_already_is_not_promoted_again():
    assert any(
        "byte for byte" in reason
        for reason in decided(make_evidence(AGAINST_CHAMPION, champion=champion(version=CHALLENGER))).reasons
    )


def test_a_version_that_was_withdrawn_is_refused_with_the_reason():
    withdrawn = {CHALLENGER: "Ada rolled back from it: it called every poppy a daisy", "another": "no matter"}

    decision = decided(make_evidence(AGAINST_CHAMPION, withdrawn=withdrawn))

    assert decision.reasons == (
        f"no run may make {CHALLENGER} champion again: Ada rolled back from it: it called every poppy a daisy",
    )


@pytest.mark.parametrize(
    ("evaluation", "pointer"),
    [
        pytest.param(make_evaluation(), champion(), id="the first one came"),
        pytest.param(AGAINST_CHAMPION, None, id="it went"),
        pytest.param(AGAINST_CHAMPION, champion(version="another"), id="another came"),
        pytest.param(AGAINST_CHAMPION, champion(digest="0" * 64), id="other content under its name"),
    ],
)
def test_an_evaluation_against_another_champion_decides_nothing(
    evaluation: EvaluationRecord, pointer: ChampionPointer | None
):
    decision = decided(make_evidence(evaluation, champion=pointer))

    assert not decision.approved
    assert "the champion changed since the evaluation: run it again" in decision.reasons


def test_a_pointer_that_was_only_touched_is_the_same_champion():
    assert decided(make_evidence(AGAINST_CHAMPION, champion=champion(generation=9), champion_etag="another")).approved


def test_an_evaluation_of_other_labels_than_the_recipe_s_decides_nothing():
    config = make_config(labels=("daisy", "poppy", "orchid", "rose"))

    (reason,) = decided(make_evaluation(), config=config).reasons

    assert "labels daisy, poppy, orchid, and the recipe has others" in reason


def test_a_dry_run_says_what_it_would_have_done_and_does_not_act():
    decision = decided(AGAINST_CHAMPION, DRY_RUN)

    assert (decision.approved, decision.reasons) == (True, ())
    assert (decision.is_dry_run, decision.acts, decision.resulting) == (True, False, CHAMPION)
    assert "backfill" in why_not_carried_out(decision)


def test_a_first_model_that_is_left_to_a_person_is_approved_and_not_promoted():
    decision = decided(make_evaluation(), config=BY_HAND)

    assert (decision.approved, decision.is_dry_run, decision.acts) == (True, True, False)
    assert decision.resulting is None
    assert "first_model: by_hand" in why_not_carried_out(decision)


def test_a_second_model_is_promoted_by_its_run_whoever_promoted_the_first():
    decision = decided(AGAINST_CHAMPION, config=BY_HAND)

    assert decision.acts
    assert why_not_carried_out(decision) == ""


def test_of_a_refusal_nobody_asks_why_it_was_not_carried_out():
    gates = [{"gate": "test_rows", "minimum_per_class": 1000}]

    decision = decided(AGAINST_CHAMPION, DRY_RUN, make_config(gates=gates))

    assert not decision.approved
    assert why_not_carried_out(decision) == ""


def test_a_champion_that_cannot_be_scored_stays_even_if_no_gate_compares_with_it():
    decision = decided(UNSCORED)

    assert not decision.approved
    assert decision.resulting == CHAMPION
    (reason,) = decision.reasons
    assert reason.startswith(f"the champion {CHAMPION} cannot be scored: its labels are daisy, rose")
    assert "ask a run for a re-baseline" in reason


def test_a_re_baseline_replaces_a_champion_that_cannot_be_scored_and_records_why():
    decision = decided(UNSCORED, REBASELINE)

    assert (decision.acts, decision.resulting) == (True, CHALLENGER)
    assert decision.rebaseline == "its labels are daisy, rose"


def test_a_re_baseline_waives_no_absolute_gate():
    gates = [
        {"gate": "floor", "metric": "macro_recall", "minimum": 0.9},
        {"gate": "non_inferior", "metric": "macro_recall", "tolerance": 0.0},
    ]

    decision = decided(UNSCORED, REBASELINE, make_config(gates=gates))

    assert [gate.passed for gate in decision.gates] == [False, True]
    assert not decision.acts


@pytest.mark.parametrize("evaluation", [AGAINST_CHAMPION, make_evaluation()], ids=["it can be scored", "there is none"])
def test_a_re_baseline_that_was_not_needed_changes_nothing(evaluation: EvaluationRecord):
    assert decided(evaluation, REBASELINE) == decided(evaluation)


def test_every_reason_is_listed_and_not_the_first_alone():
    evaluation = make_evaluation(
        make_metrics(macro_recall=None, ece=None),
        is_same_model=True,
        incumbent=Incumbent("another", "c4" * 32, WINDOW.start, "its snapshot is gone"),
    )
    gates = [
        {"gate": "floor", "metric": "macro_recall", "minimum": 0.0},
        {"gate": "calibration", "maximum_ece": 0.5},
        {"gate": "test_rows", "minimum_per_class": 1000},
        {"gate": "non_inferior", "metric": "macro_f1", "tolerance": 0.0},
        {"gate": "newer_data"},
    ]
    newer = champion(window_end=WINDOW.end + timedelta(days=1))
    evidence = make_evidence(evaluation, champion=newer, withdrawn={CHALLENGER: "it was removed"})

    decision = decided(evidence, config=make_config(gates=gates))

    assert len(decision.reasons) == 10


def test_a_recipe_without_gates_approves_nothing_however_it_came_about():
    config = make_config().model_copy(update={"gates": ()})

    decision = decided(make_evaluation(), config=config)

    assert not decision.approved
    assert "no gate is configured" in decision.reasons[0]


def test_the_numbers_are_kept_with_the_decision():
    metrics: dict[str, Any] = dict(zip(KEY_METRICS, (0.9, 0.8, 0.7, 0.6, 0.55, 0.04), strict=True))
    recall = {"daisy": 0.9, "poppy": 0.8, "orchid": 0.7}

    decision = decided(make_evaluation(make_metrics(recall, **metrics)))

    assert (decision.metrics, decision.recall) == (metrics, recall)
    assert (decision.challenger_digest, decision.test_digest) == ("d1" * 32, "7e57" * 16)


def test_the_policy_is_kept_with_the_decision_as_it_was():
    gates = [{"gate": "non_inferior", "metric": "recall:*", "tolerance": 0.01}]

    policy = decided(make_evaluation(), config=make_config(gates=gates)).policy

    assert policy["gates"] == [
        {
            "gate": "non_inferior",
            "metric": "recall:*",
            "tolerance": 0.01,
            "confidence": 0.95,
            "slice": None,
            "prior": "test",
        }
    ]
    assert policy["promotion"]["first_model"] == "gates"
    assert policy["evaluation"]["minimum_slice_rows"] == 30


def test_a_decision_is_the_same_after_it_was_stored_even_where_numbers_are_missing():
    decision = decided(make_evaluation(make_metrics(macro_recall=float("nan"))))

    assert from_json(PromotionDecision, to_json(decision), "s3://memory/decision.json") == decision
    assert decision.metrics["macro_recall"] is None
