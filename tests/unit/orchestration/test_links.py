from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
from airflow.sdk import DAG, task

from include.orchestration.links import DataDocsLink, ReportLink, add_data_docs_link, add_report_link


@pytest.fixture
def dag() -> DAG:
    @task
    def publish_report() -> None: ...

    @task
    def validate_batch() -> None: ...

    @task
    def another() -> None: ...

    with DAG("retrain_flowers", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        report = publish_report()
        add_report_link(report)
        verdicts = validate_batch()
        add_data_docs_link(verdicts)
        verdicts >> another() >> report.as_teardown()
    return dag


def test_the_link_leads_to_the_report_of_the_run() -> None:
    key = SimpleNamespace(dag_id="retrain_flowers", run_id="scheduled__2026-01-03T02:00:00+00:00")

    link = ReportLink().get_link(None, ti_key=key)  # type: ignore[arg-type]

    assert link == "retraining/reports/flowers/scheduled__2026-01-03T02-00-00-00-00"


def test_the_link_leads_to_the_data_docs_of_the_run() -> None:
    key = SimpleNamespace(dag_id="retrain_flowers", run_id="scheduled__2026-01-03T02:00:00+00:00")

    link = DataDocsLink().get_link(None, ti_key=key)  # type: ignore[arg-type]

    assert link == "retraining/intake/flowers/scheduled__2026-01-03T02-00-00-00-00"


def test_each_button_is_on_its_task_and_the_others_have_none(dag: DAG) -> None:
    assert [link.name for link in dag.get_task("publish_report").operator_extra_links] == ["Report"]
    assert [link.name for link in dag.get_task("validate_batch").operator_extra_links] == ["Data Docs"]
    assert list(dag.get_task("another").operator_extra_links) == []


def test_the_serialized_dag_names_the_xcom_that_the_worker_writes(dag: DAG) -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    read_back = DagSerialization.from_dict(DagSerialization.to_dict(dag))

    for task_id, written in (("publish_report", ReportLink()), ("validate_batch", DataDocsLink())):
        (link,) = read_back.get_task(task_id).operator_extra_links
        assert (link.name, link.xcom_key) == (written.name, written.xcom_key)
    assert not read_back.get_task("another").operator_extra_links
