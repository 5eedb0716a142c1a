"""The button "Report" on a task of the Airflow UI; the page behind it is served by `plugins/retraining_models.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

from include.orchestration.runs import DAG_PREFIX

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, XComArg
    from airflow.sdk.types import TaskInstanceKey

REPORTS = "retraining/reports"
"""Where the plugin serves reports. Without a leading slash: the UI resolves it against its own base, sub-paths too."""


class ReportLink(BaseOperatorLink):
    """Leads from a task to the report of its run. The worker computes the link when the task ends, whatever its end."""

    @property
    def name(self) -> str:
        """Label of the button."""
        return "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Returns the address of the run's report, relative to the UI's base."""
        from include.retraining.run import run_key

        del operator
        return f"{REPORTS}/{ti_key.dag_id.removeprefix(DAG_PREFIX)}/{run_key(ti_key.run_id)}"


def add_report_link(task: XComArg) -> None:
    """Puts the button on one task.

    Through the operator and not through the plugin: a plugin's link belongs to a class of operators, and so would be
    shown, dead, on every Python task of every Dag.
    """
    for operator, _ in task.iter_references():
        operator.operator_extra_links = (ReportLink(),)
