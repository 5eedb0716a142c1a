"""From Airflow's task context to the `Run`, or the order, that a step takes."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from include.orchestration.settings import read_settings
from include.orchestration.stores import lake
from include.orchestration.windows import resolve_window
from include.retraining.config import ClassifierConfig, load_classifier

if TYPE_CHECKING:
    from include.retraining.artifacts import RollbackOrder
    from include.retraining.run import Run
    from include.retraining.storage.base import ObjectStore

DAG_PREFIX = "retrain_"
ROLLBACK_PREFIX = "rollback_"


def this_run() -> Run:
    """Returns the run that the current task belongs to.

    It is the same for every task and every retry: nothing in it depends on when the task runs.
    """
    from airflow.sdk import get_current_context

    from include.retraining.run import Run

    context = get_current_context()
    dag_run = context["dag_run"]
    return Run(
        config=_recipe(dag_run, DAG_PREFIX),
        store=lake(),
        window=resolve_window(dag_run, context["params"]),
        run_id=dag_run.run_id,
        started_at=_started_at(dag_run),
        started_by=_started_by(dag_run),
    )


def this_rollback() -> tuple[ClassifierConfig, ObjectStore, RollbackOrder]:
    """Returns whose champion the current run of a rollback Dag is about, where, and what its form asks."""
    from airflow.sdk import get_current_context

    from include.retraining.artifacts import RollbackOrder

    context = get_current_context()
    dag_run, form = context["dag_run"], context["params"]
    order = RollbackOrder(
        version=(form["version"] or "").strip() or None,
        reason=form["reason"],
        run_id=dag_run.run_id,
        at=_started_at(dag_run),
        by=_started_by(dag_run),
    )
    return _recipe(dag_run, ROLLBACK_PREFIX), lake(), order


def may_promote() -> bool:
    """Tells whether the current run is allowed to move the champion: asked for, or not a backfill."""
    from airflow.sdk import get_current_context

    context = get_current_context()
    asked = context["params"]["promote"]
    return bool(context["dag_run"].run_type != "backfill") if asked is None else bool(asked)


def may_rebaseline() -> bool:
    """Tells whether the current run may replace a champion that cannot be scored."""
    from airflow.sdk import get_current_context

    return bool(get_current_context()["params"]["rebaseline_champion"])


def registers_baseline() -> bool:
    """Tells whether the current run was asked to begin a new baseline of what batches look like."""
    from airflow.sdk import get_current_context

    return bool(get_current_context()["params"]["register_baseline"])


def _recipe(dag_run: Any, prefix: str) -> ClassifierConfig:
    return load_classifier(dag_run.dag_id.removeprefix(prefix), read_settings().classifiers)


def _started_at(dag_run: Any) -> datetime:
    started_at: datetime = dag_run.start_date or dag_run.run_after
    return started_at


def _started_by(dag_run: Any) -> str:
    """Returns the user who triggered the run, a backfill too; without one what did, such as `scheduled`."""
    return str(dag_run.triggering_user_name or dag_run.run_type.value)
