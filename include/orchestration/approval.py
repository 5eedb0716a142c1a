"""A person between the decision and the move: may veto, never waives a gate, and holds no backfill up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from include.retraining.artifacts import Approval, PromotionDecision
    from include.retraining.run import Run


class PromotionApproval(ApprovalOperator):
    """Asks for approval if the recipe or the run wants it and the gates agree; silence until the timeout means no.

    Every answer, and silence, is in the journal before anything follows from it. It holds for its decision: a task that
    is tried again, or cleared alone, finds it and asks nobody twice. A backfill does not wait: where approval is
    required it promotes nothing, and a person can by hand.

    Args:
        **kwargs: Of `ApprovalOperator`; `response_timeout` among them.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(defaults=self.REJECT, **kwargs)

    def execute(self, context: Any) -> Any:
        """Skips where nothing is to be promoted, approves by itself where nobody was asked for, else parks.

        Raises:
            AirflowSkipException: If the decision does not act, or was vetoed, or may not be waited for.
        """
        from include.orchestration.outcomes import approval_text, why_not_promoted
        from include.orchestration.runs import this_run
        from include.retraining.artifacts import PromotionDecision
        from include.retraining.run import DECISION

        run = this_run()
        decision = run.recall(DECISION, PromotionDecision)
        if not decision.acts:
            raise AirflowSkipException(why_not_promoted(decision))
        if not (context["params"]["require_approval"] or run.config.promotion.require_approval):
            return self._approved(asked=False)
        if answer := _answer_to(run, decision):
            if not answer.approved:
                raise AirflowSkipException(f"Not promoted: vetoed by {answer.by or 'silence'}.")
            return self._approved(asked=True)
        if context["dag_run"].run_type == "backfill":
            raise AirflowSkipException(
                "Not promoted: approval is required, and a backfill does not wait for it. Promote by hand: "
                f'python -m include.retraining models promote {run.classifier} {decision.challenger} --reason "…"'
            )
        self.body = approval_text(decision)
        return super().execute(context)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> Any:
        """Journals the answer when Airflow wakes the task with it, then goes on or skips what follows."""
        from include.orchestration.runs import this_run
        from include.retraining import steps

        if "error" not in event:
            steps.record_approval(
                this_run(),
                approved=list(event["chosen_options"]) == [self.APPROVE],
                by=_name_of(event["responded_by_user"]),
                answered_at=event["responded_at"],
            )
        return super().execute_complete(context, event)

    def _approved(self, *, asked: bool) -> dict[str, Any]:
        return {"chosen_options": [self.APPROVE], "params_input": {}, "asked": asked}


def _answer_to(run: Run, decision: PromotionDecision) -> Approval | None:
    """Returns what was answered to this very decision of this run, or None where nobody was asked yet."""
    from include.retraining.artifacts import Approval
    from include.retraining.run import APPROVAL

    answer = run.recall_if_any(APPROVAL, Approval)
    # A run that is cleared decides anew, at a later start.
    if answer is None or answer.challenger != decision.challenger or answer.answered_at < decision.decided_at:
        return None
    return answer


def _name_of(user: Mapping[str, str] | None) -> str:
    """Returns who answered; empty for the timeout."""
    return "" if user is None else user["name"] or user["id"]
