"""How errors become retries, for all tasks alike: permanent ones fail at once, the others are tried again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from include.orchestration.settings import read_settings
from include.retraining.errors import PermanentError, TransientError

RETRIES = 3

RETRY_POLICY = ExceptionRetryPolicy(
    rules=[
        RetryRule(PermanentError, action=RetryAction.FAIL, reason="A retry cannot help."),
        RetryRule(TransientError, action=RetryAction.RETRY, reason="It may heal by itself."),
    ]
)


def retry_arguments() -> dict[str, Any]:
    """Returns the default arguments of every task of a Dag that concern retries."""
    return {
        "retries": RETRIES,
        "retry_policy": RETRY_POLICY,
        "retry_delay": read_settings().retry_delay,
        "retry_exponential_backoff": 2.0,
        "max_retry_delay": timedelta(minutes=30),
    }
