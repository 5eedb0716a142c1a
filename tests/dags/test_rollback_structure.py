from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from include.orchestration.params import rollback_form
from include.orchestration.retries import RETRY_POLICY


@pytest.fixture(scope="module")
def dag(dag_bag: Any) -> Any:
    return dag_bag.dags["rollback_fashion_mnist"]


def test_a_rollback_is_one_task_that_changes_the_champion_asset(dag):
    (task,) = dag.tasks

    assert task.task_id == "roll_back"
    assert [(it.name, it.uri) for it in task.outlets] == [
        ("champion_fashion_mnist", "s3://lake/models/fashion_mnist/champion.json")
    ]
    assert (task.queue, task.executor) == ("default", None)


def test_a_rollback_is_tried_again_like_every_task(dag):
    (task,) = dag.tasks

    assert task.retry_policy is RETRY_POLICY
    assert (task.retries, task.retry_delay) == (3, timedelta(seconds=10))
    assert task.execution_timeout == timedelta(hours=1)


def test_a_rollback_starts_by_hand_alone_and_one_at_a_time(dag):
    assert type(dag.timetable).__name__ == "NullTimetable"
    assert (dag.max_active_runs, dag.catchup) == (1, False)


def test_the_form_asks_for_a_reason_and_for_a_version_where_it_is_not_the_one_before(dag):
    assert list(dag.params) == ["version", "reason"]
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description, name
        assert param.schema["title"], name


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("version", ["20260103T0200-0123456789ab", "", None], [20260103, ["a"]]),
        ("reason", ["recall of coats fell"], [None, "", "a", 7]),
    ],
)
def test_the_form_takes_only_what_fits(dag, name: str, good: list, bad: list):
    from airflow.sdk.exceptions import ParamValidationError

    param = dag.params.get_param(name)

    assert [param.resolve(value) for value in good] == good
    for value in bad:
        with pytest.raises(ParamValidationError):
            param.resolve(value)


def test_a_run_without_a_reason_is_refused_before_it_starts():
    from airflow.sdk.definitions.param import ParamsDict
    from airflow.sdk.exceptions import ParamValidationError

    form = ParamsDict(rollback_form())
    with pytest.raises(ParamValidationError, match="Invalid input for param reason"):
        form.validate()

    form["reason"] = "recall of coats fell"
    assert form.validate() == {"version": None, "reason": "recall of coats fell"}


def test_the_dag_page_says_what_the_dag_does(dag):
    assert "fashion_mnist" in dag.description
    assert dag.doc_md.startswith("Makes an earlier version the champion again")
    assert dag.tags == {"retraining", "rollback", "fashion_mnist"}
