"""Airflow's task context, faked: what the adapter reads of it and nothing more."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType

FORM = {
    "window_start": None,
    "window_end": None,
    "promote": None,
    "rebaseline_champion": False,
    "register_baseline": False,
    "require_approval": False,
}
DAG_ID = "retrain_flowers"
RUN_ID = "scheduled__2026-01-03T02:00:00+00:00"


def make_dag_run(**fields: Any) -> SimpleNamespace:
    """A scheduled run over a day's interval; fields override."""
    return SimpleNamespace(
        **{
            "dag_id": DAG_ID,
            "run_id": RUN_ID,
            "run_type": DagRunType.SCHEDULED,
            "data_interval_start": datetime(2026, 1, 2, 2, tzinfo=UTC),
            "data_interval_end": datetime(2026, 1, 3, 2, tzinfo=UTC),
            "run_after": datetime(2026, 1, 3, 2, tzinfo=UTC),
            "start_date": datetime(2026, 1, 3, 2, 0, 5, tzinfo=UTC),
            "triggering_user_name": None,
            **fields,
        }
    )


def make_context(form: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """The context of a task; `form` overrides parameters, `fields` the run's."""
    return {"dag_run": make_dag_run(**fields), "params": {**FORM, **(form or {})}}


def enter(monkeypatch: pytest.MonkeyPatch, context: dict[str, Any]) -> dict[str, Any]:
    """Makes a context the current one; returns it."""
    monkeypatch.setattr("airflow.sdk.get_current_context", lambda: context)
    return context
