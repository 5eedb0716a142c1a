from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.exceptions import AirflowSkipException

from include.orchestration import runs
from include.orchestration.approval import PromotionApproval
from include.retraining.artifacts import PromotionDecision
from include.retraining.run import DECISION
from tests.builders import make_decision, make_run
from tests.unit.orchestration.context import make_context

PARKED = "waits for a person"
BY_ITSELF = {"chosen_options": ["Approve"], "params_input": {}, "asked": False}


@pytest.fixture
def approval(monkeypatch) -> PromotionApproval:
    """The operator; where it would park, it says so."""
    monkeypatch.setattr(ApprovalOperator, "execute", lambda self, context: PARKED)
    return PromotionApproval(task_id="approve_promotion", subject="Promote?", body="The gates approved.")


@pytest.fixture
def decided(monkeypatch):
    """A function that makes a decision the current run's."""

    def record(decision: PromotionDecision | None) -> None:
        run = make_run()
        if decision is not None:
            run.record(DECISION, decision)
        monkeypatch.setattr(runs, "this_run", lambda: run)

    return record


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("run_type", [DagRunType.SCHEDULED, DagRunType.BACKFILL])
def test_after_a_refusal_nobody_is_asked_and_the_reasons_are_given(approval, decided, asked, run_type):
    decided(make_decision("macro_recall fell", "too few test images"))

    with pytest.raises(AirflowSkipException, match="^Not promoted: macro_recall fell; too few test images$"):
        approval.execute(make_context({"require_approval": asked}, run_type=run_type))


def test_where_no_approval_is_required_nobody_is_asked(approval, decided):
    decided(make_decision())

    assert approval.execute(make_context({"require_approval": False})) == BY_ITSELF


def test_a_backfill_is_never_held_up(approval, decided):
    decided(make_decision())

    assert approval.execute(make_context({"require_approval": True}, run_type=DagRunType.BACKFILL)) == BY_ITSELF


@pytest.mark.parametrize("run_type", [DagRunType.SCHEDULED, DagRunType.MANUAL, DagRunType.ASSET_TRIGGERED])
def test_where_approval_is_required_the_task_waits_for_a_person(approval, decided, run_type):
    decided(make_decision())

    assert approval.execute(make_context({"require_approval": True}, run_type=run_type)) == PARKED


def test_without_a_decision_nothing_is_approved(approval, decided):
    decided(None)

    with pytest.raises(KeyError):
        approval.execute(make_context({"require_approval": False}))


def test_silence_means_no():
    approval = PromotionApproval(task_id="approve_promotion", subject="Promote?")

    assert approval.options == ["Approve", "Reject"]
    assert (approval.defaults, approval.response_timeout) == (["Reject"], timedelta(days=1))
