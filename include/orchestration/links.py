"""The buttons "Report" and "Data Docs" on tasks of the Airflow UI; `plugins/retraining_models.py` serves the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseOperatorLink

from include.orchestration.runs import DAG_PREFIX

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, XComArg
    from airflow.sdk.types import TaskInstanceKey

REPORTS = "retraining/reports"
"""Where the plugin serves reports. Without a leading slash: the UI resolves it against its own base, sub-paths too."""
INTAKE = "retraining/intake"
"""Where the plugin serves what a run's intake came to, with the Data Docs of each day behind it."""


class ReportLink(BaseOperatorLink):
    """Leads from a task to the report of its run. The worker computes the link when the task ends, whatever its end."""

    @property
    def name(self) -> str:
        """Label of the button."""
        return "Report"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Returns the address of the run's report, relative to the UI's base."""
        del operator
        return _address(REPORTS, ti_key)


class DataDocsLink(BaseOperatorLink):
    """Leads from a task to the Data Docs of its run, of every day of the window."""

    @property
    def name(self) -> str:
        """Label of the button."""
        return "Data Docs"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Returns the address of the run's intake, relative to the UI's base."""
        del operator
        return _address(INTAKE, ti_key)


def add_report_link(task: XComArg) -> None:
    """Puts the button "Report" on one task."""
    _add_link(task, ReportLink())


def add_data_docs_link(task: XComArg) -> None:
    """Puts the button "Data Docs" on one task."""
    _add_link(task, DataDocsLink())


def _add_link(task: XComArg, link: BaseOperatorLink) -> None:
    """Puts a button on one task.

    Through the operator and not through the plugin: a plugin's link belongs to a class of operators, and so would be
    shown, dead, on every Python task of every Dag.
    """
    for operator, _ in task.iter_references():
        operator.operator_extra_links = (link,)


def _address(pages: str, ti_key: TaskInstanceKey) -> str:
    from include.retraining.run import run_key

    return f"{pages}/{ti_key.dag_id.removeprefix(DAG_PREFIX)}/{run_key(ti_key.run_id)}"
