from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.exceptions import AirflowSkipException

from include.orchestration import runs
from include.orchestration.approval import PromotionApproval
from include.retraining import journal, steps
from include.retraining.artifacts import Approval, PromotionDecision
from include.retraining.errors import StorageUnavailableError
from include.retraining.run import APPROVAL, DECISION, Run
from tests.builders import CLASSIFIER, RUN_ID, STARTED_AT, make_config, make_run
from tests.promotions import CHALLENGER, make_decision
from tests.unit.orchestration.context import make_context

PARKED = "waits for a person"
BY_ITSELF = {"chosen_options": ["Approve"], "params_input": {}, "asked": False}
ANSWERED_AT = STARTED_AT + timedelta(hours=2)
WHO = {"id": "7", "name": "ada"}


@pytest.fixture
def approval(monkeypatch) -> PromotionApproval:
    """The operator; where it would park, or go on after it was woken, it says so."""
    monkeypatch.setattr(ApprovalOperator, "execute", lambda self, context: PARKED)
    monkeypatch.setattr(ApprovalOperator, "execute_complete", lambda self, context, event: event["chosen_options"])
    return PromotionApproval(task_id="approve_promotion", subject="Promote?", response_timeout=timedelta(hours=24))


@pytest.fixture
def decided(monkeypatch):
    """A function that makes a decision the current run's; returns the run."""

    def record(decision: PromotionDecision | None, **sections: Any) -> Run:
        run = make_run(config=make_config(**sections))
        if decision is not None:
            run.record(DECISION, decision)
        monkeypatch.setattr(runs, "this_run", lambda: run)
        return run

    return record


def asked(run_type: DagRunType = DagRunType.SCHEDULED) -> dict[str, Any]:
    return make_context({"require_approval": True}, run_type=run_type)


def answer(option: str, user: dict[str, str] | None = WHO) -> dict[str, Any]:
    """What Airflow wakes the task with."""
    return {
        "chosen_options": [option],
        "params_input": {},
        "responded_at": ANSWERED_AT,
        "responded_by_user": user,
        "timedout": user is None,
    }


def approvals_of(run: Run) -> list[Approval]:
    return [entry.approval for entry in journal.entries(run.store, CLASSIFIER) if entry.approval is not None]


@pytest.mark.parametrize("is_asked", [True, False])
@pytest.mark.parametrize("run_type", [DagRunType.SCHEDULED, DagRunType.BACKFILL])
def test_after_a_refusal_nobody_is_asked_and_the_reasons_are_given(approval, decided, is_asked, run_type):
    decided(make_decision("macro_recall fell", "too few test images"))

    with pytest.raises(AirflowSkipException, match="^Not promoted: macro_recall fell; too few test images$"):
        approval.execute(make_context({"require_approval": is_asked}, run_type=run_type))


@pytest.mark.parametrize("run_type", [DagRunType.SCHEDULED, DagRunType.BACKFILL])
def test_a_dry_run_asks_nobody(approval, decided, run_type):
    decided(make_decision(is_dry_run=True), promotion={"require_approval": True})

    with pytest.raises(AirflowSkipException, match="^Not promoted: dry run: "):
        approval.execute(asked(run_type))


@pytest.mark.parametrize("run_type", [DagRunType.SCHEDULED, DagRunType.BACKFILL])
def test_where_no_approval_is_required_nobody_is_asked(approval, decided, run_type):
    run = decided(make_decision())

    assert approval.execute(make_context({"require_approval": False}, run_type=run_type)) == BY_ITSELF

    assert approvals_of(run) == []


def test_a_backfill_is_never_held_up_and_promotes_nothing_that_somebody_must_approve(approval, decided):
    decided(make_decision())

    with pytest.raises(AirflowSkipException, match=f"models promote flowers {CHALLENGER} --reason"):
        approval.execute(asked(DagRunType.BACKFILL))


@pytest.mark.parametrize("run_type", [DagRunType.SCHEDULED, DagRunType.MANUAL, DagRunType.ASSET_TRIGGERED])
def test_where_approval_is_required_the_task_waits_for_a_person_who_is_shown_the_gates(approval, decided, run_type):
    decided(make_decision())

    assert approval.execute(asked(run_type)) == PARKED

    assert CHALLENGER in approval.body
    assert "| floor macro" in approval.body


def test_what_the_recipe_requires_cannot_be_waived_in_the_form(approval, decided):
    decided(make_decision(), promotion={"require_approval": True})

    assert approval.execute(make_context({"require_approval": False})) == PARKED


def test_without_a_decision_nothing_is_approved(approval, decided):
    decided(None)

    with pytest.raises(KeyError):
        approval.execute(make_context({"require_approval": False}))


@pytest.mark.parametrize(
    ("option", "user", "expected"),
    [
        ("Approve", WHO, Approval(CHALLENGER, RUN_ID, approved=True, by="ada", answered_at=ANSWERED_AT)),
        ("Reject", WHO, Approval(CHALLENGER, RUN_ID, approved=False, by="ada", answered_at=ANSWERED_AT)),
        ("Reject", None, Approval(CHALLENGER, RUN_ID, approved=False, by="", answered_at=ANSWERED_AT)),
        (
            "Reject",
            {"id": "7", "name": ""},
            Approval(CHALLENGER, RUN_ID, approved=False, by="7", answered_at=ANSWERED_AT),
        ),
    ],
    ids=["approved", "vetoed", "silence", "without a name"],
)
def test_every_answer_and_silence_is_in_the_journal_before_anything_follows(approval, decided, option, user, expected):
    run = decided(make_decision())

    assert approval.execute_complete(asked(), answer(option, user)) == [option]

    assert approvals_of(run) == [expected]
    assert run.recall(APPROVAL, Approval) == expected


def test_where_the_answer_cannot_be_kept_nothing_follows_from_it(approval, decided, monkeypatch):
    decided(make_decision())

    def away(*_: object, **__: object) -> None:
        raise StorageUnavailableError("put", "timeout")

    monkeypatch.setattr(steps, "record_approval", away)

    with pytest.raises(StorageUnavailableError):
        approval.execute_complete(asked(), answer("Approve"))


def test_a_task_that_is_tried_again_after_the_answer_asks_nobody_and_journals_nothing_twice(approval, decided):
    run = decided(make_decision())
    approval.execute_complete(asked(), answer("Approve"))
    approval.execute_complete(asked(), answer("Approve"))

    assert approval.execute(asked()) == {**BY_ITSELF, "asked": True}

    assert len(approvals_of(run)) == 1


@pytest.mark.parametrize(("user", "who"), [(WHO, "ada"), (None, "silence")])
def test_a_veto_holds_when_the_task_is_cleared_alone(approval, decided, user, who):
    decided(make_decision())
    approval.execute_complete(asked(), answer("Reject", user))

    with pytest.raises(AirflowSkipException, match=f"^Not promoted: vetoed by {who}\\.$"):
        approval.execute(asked())


def test_what_is_decided_anew_is_asked_anew(approval, decided):
    run = decided(make_decision())
    approval.execute_complete(asked(), answer("Reject"))

    run.record(DECISION, make_decision(decided_at=ANSWERED_AT + timedelta(hours=1)))
    assert approval.execute(asked()) == PARKED

    run.record(DECISION, make_decision(challenger="20260104T0200-cccccccccccc"))
    assert approval.execute(asked()) == PARKED


def test_an_error_of_airflow_s_own_is_no_answer(approval, decided, monkeypatch):
    run = decided(make_decision())
    monkeypatch.undo()
    monkeypatch.setattr(runs, "this_run", lambda: run)

    with pytest.raises(Exception, match="no response"):
        approval.execute_complete(asked(), {"error": "no response", "error_type": "unknown"})

    assert approvals_of(run) == []


def test_silence_means_no_after_the_time_that_it_was_given():
    approval = PromotionApproval(task_id="approve_promotion", subject="Promote?", response_timeout=timedelta(hours=3))

    assert approval.options == ["Approve", "Reject"]
    assert (approval.defaults, approval.response_timeout) == (["Reject"], timedelta(hours=3))
