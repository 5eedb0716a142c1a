from __future__ import annotations

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from include.retraining.artifacts import ChampionPointer, EvaluationRecord, PromotionDecision
from include.retraining.config import ClassifierConfig
from include.retraining.promotion.decision import KEY_METRICS, decide
from tests.builders import RUN_ID, STARTED_AT, WINDOW, make_config, make_evaluation, make_metrics

CHAMPION = ChampionPointer(
    version="20260102T0200-bbbbbbbbbbbb",
    uri="s3://memory/models/flowers/versions/20260102T0200-bbbbbbbbbbbb/",
    digest="b" * 64,
    window_end=WINDOW.start,
    previous=None,
    run_id="an earlier one",
)
AGAINST_CHAMPION = make_evaluation(champion=make_metrics())


def decided(
    evaluation: EvaluationRecord,
    champion: ChampionPointer | None = None,
    *,
    config: ClassifierConfig | None = None,
    allowed: bool = True,
) -> PromotionDecision:
    return decide(
        config or make_config(),
        evaluation,
        champion,
        "etag" if champion else None,
        allowed=allowed,
        run_id=RUN_ID,
        decided_at=STARTED_AT,
    )


def test_a_first_challenger_that_passes_every_gate_is_approved():
    decision = decided(make_evaluation())
    assert decision.approved
    assert decision.reasons == ()
    assert (decision.champion, decision.champion_etag) == (None, None)
    assert (decision.challenger, decision.window_end) == ("20260103T0200-aaaaaaaaaaaa", WINDOW.end)
    assert (decision.run_id, decision.decided_at, decision.classifier) == (RUN_ID, STARTED_AT, "flowers")


def test_a_challenger_that_is_not_worse_than_the_champion_is_approved_and_names_what_it_was_compared_with():
    decision = decided(AGAINST_CHAMPION, CHAMPION)
    assert decision.approved
    assert (decision.champion, decision.champion_etag) == (CHAMPION.version, "etag")


def test_a_gate_that_does_not_pass_is_a_reason_and_every_gate_is_kept():
    gates = [
        {"gate": "floor", "metric": "macro_recall", "minimum": 0.9},
        {"gate": "floor", "metric": "macro_f1", "minimum": 0.1},
    ]
    decision = decided(make_evaluation(), config=make_config(gates=gates))
    assert not decision.approved
    assert decision.reasons == ("floor macro_recall: 0.8000, at least 0.9000 is asked",)
    assert [gate.passed for gate in decision.gates] == [False, True]


def test_an_older_window_never_replaces_newer_data():
    newer = dataclasses.replace(CHAMPION, window_end=WINDOW.end + timedelta(seconds=1))
    decision = decided(AGAINST_CHAMPION, newer)
    assert not decision.approved
    assert decision.reasons == (
        "its data ends at 2026-01-03T02:00:00+00:00, the champion's at 2026-01-03T02:00:01+00:00: "
        "older data never replaces newer data",
    )


def test_the_same_window_may_be_trained_again():
    assert decided(AGAINST_CHAMPION, dataclasses.replace(CHAMPION, window_end=WINDOW.end)).approved


def test_the_champion_is_not_replaced_by_itself():
    decision = decided(dataclasses.replace(AGAINST_CHAMPION, is_same_model=True), CHAMPION)
    assert not decision.approved
    assert decision.reasons[0].startswith("the challenger is the champion, byte for byte")


def test_a_run_that_may_not_promote_decides_all_the_same():
    decision = decided(make_evaluation(), allowed=False)
    assert not decision.approved
    assert decision.reasons == ("this run was not asked to promote (a backfill is not, by itself)",)
    assert all(gate.passed for gate in decision.gates)


@pytest.mark.parametrize(
    ("evaluation", "champion"),
    [
        pytest.param(make_evaluation(), CHAMPION, id="the first one came"),
        pytest.param(AGAINST_CHAMPION, None, id="it went"),
        pytest.param(AGAINST_CHAMPION, dataclasses.replace(CHAMPION, version="another"), id="another came"),
    ],
)
def test_an_evaluation_against_another_champion_decides_nothing(
    evaluation: EvaluationRecord, champion: ChampionPointer | None
):
    decision = decided(evaluation, champion)
    assert not decision.approved
    assert "the champion changed since the evaluation: run it again" in decision.reasons


def test_every_reason_is_listed_and_not_the_first_alone():
    evaluation = dataclasses.replace(
        make_evaluation(make_metrics(macro_recall=None, ece=None)), is_same_model=True, champion_version="another"
    )
    gates = [
        {"gate": "floor", "metric": "macro_recall", "minimum": 0.0},
        {"gate": "calibration", "maximum_ece": 0.5},
        {"gate": "test_rows", "minimum_per_class": 1000},
        {"gate": "non_inferior", "metric": "macro_f1", "tolerance": 0.0},
    ]
    newer = dataclasses.replace(CHAMPION, window_end=WINDOW.end + timedelta(days=1))
    decision = decided(evaluation, newer, config=make_config(gates=gates), allowed=False)
    assert len(decision.reasons) == 8


def test_a_recipe_without_gates_approves_nothing_however_it_came_about():
    config = make_config().model_copy(update={"gates": ()})
    decision = decided(make_evaluation(), config=config)
    assert not decision.approved
    assert "no gate is configured" in decision.reasons[0]


def test_the_challenger_s_key_metrics_are_kept_with_the_decision():
    metrics: dict[str, Any] = dict(zip(KEY_METRICS, (0.9, 0.8, 0.7, 0.6, 0.55, 0.04), strict=True))
    assert decided(make_evaluation(make_metrics(**metrics))).metrics == metrics


def test_the_challenger_s_recalls_are_kept_with_the_decision():
    recall = {"daisy": 0.9, "poppy": 0.8, "orchid": 0.7}

    decision = decided(make_evaluation(make_metrics(recall)))

    assert decision.recall == recall
