"""A person between the decision and the move: may veto, never waives a gate, and holds no backfill up."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

RESPONSE_TIMEOUT = timedelta(days=1)


class PromotionApproval(ApprovalOperator):
    """Asks for approval if the run wants it and the gates agree; silence until the timeout means no.

    Args:
        **kwargs: Of `ApprovalOperator`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(response_timeout=RESPONSE_TIMEOUT, defaults=self.REJECT, **kwargs)

    def execute(self, context: Any) -> Any:
        """Skips after a refusal, approves by itself where nobody was asked for, else parks until somebody answers."""
        from include.orchestration.runs import this_run
        from include.retraining.artifacts import PromotionDecision
        from include.retraining.run import DECISION

        decision = this_run().recall(DECISION, PromotionDecision)
        if not decision.approved:
            raise AirflowSkipException("Not promoted: " + "; ".join(decision.reasons))
        if not context["params"]["require_approval"] or context["dag_run"].run_type == "backfill":
            return {"chosen_options": [self.APPROVE], "params_input": {}, "asked": False}
        return super().execute(context)
