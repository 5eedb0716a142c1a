from __future__ import annotations

import pytest

from include.retraining import journal, steps
from include.retraining.artifacts import EvaluationRecord, Incumbent, PromotionDecision, VersionRecord
from include.retraining.promotion.champion import ROUNDS
from include.retraining.run import EVALUATION, Run
from tests.builders import CLASSIFIER, WINDOW, make_metrics, make_run
from tests.promotions import crown, make_evaluation, publish_made_version


def evaluation_against(champion: VersionRecord | None) -> EvaluationRecord:
    if champion is None:
        return make_evaluation()
    incumbent = Incumbent(champion.name, champion.digest, WINDOW.end, problem="")
    return make_evaluation(champion=make_metrics(), incumbent=incumbent)


@pytest.fixture
def run() -> Run:
    return make_run()


@pytest.fixture
def theirs(run: Run) -> VersionRecord:
    """The champion that another run made after this one's evaluation."""
    version = publish_made_version(run.store, model=b"theirs")
    crown(run.store, version)
    return version


def test_a_champion_that_came_after_the_evaluation_is_scored_before_it_is_decided(
    run: Run, theirs: VersionRecord, monkeypatch: pytest.MonkeyPatch
):
    uri = run.record(EVALUATION, evaluation_against(None))
    again = evaluation_against(theirs)
    monkeypatch.setattr(steps, "evaluate_challenger", lambda run, *_: run.record(EVALUATION, again))

    decision = run.load(steps.decide_promotion(run, uri, allowed=True, rebaseline=False), PromotionDecision)

    assert decision.champion == theirs.name
    assert not any("changed since the evaluation" in reason for reason in decision.reasons)
    assert [entry.decision for entry in journal.entries(run.store, CLASSIFIER)] == [decision]


def test_where_the_champion_never_stops_changing_the_challenger_is_refused(
    run: Run, theirs: VersionRecord, monkeypatch: pytest.MonkeyPatch
):
    stale = run.record(EVALUATION, evaluation_against(None))
    evaluated = []
    monkeypatch.setattr(steps, "evaluate_challenger", lambda run, *_: evaluated.append(run) or stale)

    decision = run.load(steps.decide_promotion(run, stale, allowed=True, rebaseline=False), PromotionDecision)

    assert len(evaluated) == ROUNDS
    assert not decision.approved
    assert any("changed since the evaluation" in reason for reason in decision.reasons)


def test_what_was_met_and_is_still_there_is_not_scored_again(
    run: Run, theirs: VersionRecord, monkeypatch: pytest.MonkeyPatch
):
    uri = run.record(EVALUATION, evaluation_against(theirs))
    monkeypatch.setattr(steps, "evaluate_challenger", None)

    decision = run.load(steps.decide_promotion(run, uri, allowed=False, rebaseline=False), PromotionDecision)

    assert (decision.champion, decision.is_dry_run) == (theirs.name, True)
