"""From Airflow's task context to the `Run` that a step takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.orchestration.settings import read_settings
from include.orchestration.stores import lake
from include.orchestration.windows import resolve_window
from include.retraining.config import load_classifier

if TYPE_CHECKING:
    from include.retraining.run import Run

DAG_PREFIX = "retrain_"


def this_run() -> Run:
    """Returns the run that the current task belongs to.

    It is the same for every task and every retry: nothing in it depends on when the task runs.
    """
    from airflow.sdk import get_current_context

    from include.retraining.run import Run

    context = get_current_context()
    dag_run = context["dag_run"]
    return Run(
        config=load_classifier(dag_run.dag_id.removeprefix(DAG_PREFIX), read_settings().classifiers),
        store=lake(),
        window=resolve_window(dag_run, context["params"]),
        run_id=dag_run.run_id,
        started_at=dag_run.start_date or dag_run.run_after,
    )


def may_promote() -> bool:
    """Tells whether the current run is allowed to move the champion: asked for, or not a backfill."""
    from airflow.sdk import get_current_context

    context = get_current_context()
    asked = context["params"]["promote"]
    return bool(context["dag_run"].run_type != "backfill") if asked is None else bool(asked)


def registers_baseline() -> bool:
    """Tells whether the current run was asked to begin a new baseline of what batches look like."""
    from airflow.sdk import get_current_context

    return bool(get_current_context()["params"]["register_baseline"])
