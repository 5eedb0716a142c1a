from __future__ import annotations

from datetime import date

import pytest
import requests

from demo.airflow_client import ANSWER_ATTEMPTS, NOTICE_ATTEMPTS, Backfill, TaskInstance
from include.retraining.errors import ConfigurationError
from tests.unit.demo.fake_airflow import DAG, FakeAirflow, backfill_answer, run_answer, runs_answer, task_answer

DAYS = (date(2026, 1, 5), date(2026, 1, 6))
RUNS = f"/api/v2/dags/{DAG}/dagRuns"


def test_a_token_is_asked_for_once_and_sent_with_every_request():
    airflow = FakeAirflow().on("PATCH", f"/api/v2/dags/{DAG}", (200, {}))
    client = airflow.client()

    client.log_in()
    client.unpause(DAG)

    assert airflow.bodies("POST", "/auth/token") == [{"username": "admin", "password": "pass-word"}]
    assert airflow.bodies("PATCH", f"/api/v2/dags/{DAG}") == [{"is_paused": False}]
    assert client.session.headers["Authorization"] == "Bearer a-token"


def test_a_wrong_password_is_an_error_that_does_not_show_it():
    airflow = FakeAirflow().on("POST", "/auth/token", (401, {"detail": "Invalid credentials"}))
    client = airflow.client()

    with pytest.raises(ConfigurationError) as caught:
        client.log_in()

    assert "http://airflow.test" in str(caught.value)
    assert "401: Invalid credentials" in str(caught.value)
    assert "`make up`" in caught.value.cure
    assert "pass-word" not in str(caught.value)
    assert "pass-word" not in repr(client)


def test_an_expired_token_is_replaced():
    airflow = FakeAirflow().on("PATCH", f"/api/v2/dags/{DAG}", (401, {"detail": "expired"}), (200, {}))

    airflow.client().unpause(DAG)

    assert [(method, path) for method, path, _, _ in airflow.asked] == [
        ("PATCH", f"/api/v2/dags/{DAG}"),
        ("POST", "/auth/token"),
        ("PATCH", f"/api/v2/dags/{DAG}"),
    ]


def test_a_dag_is_waited_for_until_it_is_parsed():
    missing = (404, {"detail": "not found"})
    airflow = FakeAirflow().on("GET", f"/api/v2/dags/{DAG}", missing, missing, (200, {"dag_id": DAG}))

    airflow.client().wait_for_dag(DAG, attempts=5)

    assert airflow.pauses == [1, 1]


def test_a_dag_that_never_comes_is_an_error_with_the_import_errors():
    airflow = FakeAirflow().on("GET", f"/api/v2/dags/{DAG}", (404, {"detail": "not found"}))
    broken = {"filename": "dags/retrain.py", "stack_trace": "Traceback ...\nImportError: no module named flowers\n"}
    airflow.on("GET", "/api/v2/importErrors", (200, {"import_errors": [broken], "total_entries": 1}))

    with pytest.raises(ConfigurationError, match=r"dags/retrain.py: ImportError: no module named flowers") as caught:
        airflow.client().wait_for_dag(DAG, attempts=3)

    assert DAG in str(caught.value)
    assert len(airflow.pauses) == 3


def test_a_backfill_asks_for_whole_days_again_and_one_after_the_other():
    airflow = FakeAirflow().on("POST", "/api/v2/backfills", (200, backfill_answer(7)))

    backfill = airflow.client().start_backfill(DAG, DAYS, {"promote": True})

    assert backfill.id == 7
    assert airflow.bodies("POST", "/api/v2/backfills") == [
        {
            "dag_id": DAG,
            "from_date": "2026-01-05T00:00:00+00:00",
            "to_date": "2026-01-06T23:59:59.999999+00:00",
            "dag_run_conf": {"promote": True},
            "max_active_runs": 1,
            "reprocess_behavior": "completed",
        }
    ]


def test_a_backfill_at_work_is_followed_instead_of_a_new_one():
    airflow = FakeAirflow().on("POST", "/api/v2/backfills", (409, {"detail": "There is already a running backfill"}))
    listed = [backfill_answer(3, completed_at="2026-02-01T00:00:00Z"), backfill_answer(4)]
    airflow.on("GET", "/api/v2/backfills", (200, {"backfills": listed, "total_entries": 2}))
    airflow.on("GET", RUNS, (200, runs_answer(run_answer(5, "success"), run_answer(6, "running"))))

    backfill = airflow.client().start_backfill(DAG, DAYS, {})

    assert backfill.id == 4
    assert not airflow.pauses


def test_a_backfill_whose_runs_have_all_ended_is_closed_and_a_new_one_made():
    conflict = (409, {"detail": "There is already a running backfill"})
    airflow = FakeAirflow().on("POST", "/api/v2/backfills", conflict, (200, backfill_answer(5)))
    airflow.on("GET", "/api/v2/backfills", (200, {"backfills": [backfill_answer(4)], "total_entries": 1}))
    airflow.on("GET", RUNS, (200, runs_answer(run_answer(5, "success"), run_answer(6, "failed"))))
    airflow.on("PUT", "/api/v2/backfills/4/cancel", (200, backfill_answer(4, completed_at="2026-02-01T00:00:00Z")))

    backfill = airflow.client().start_backfill(DAG, DAYS, {})

    assert backfill.id == 5
    assert len(airflow.bodies("PUT", "/api/v2/backfills/4/cancel")) == 1


def test_a_backfill_that_blocks_for_ever_is_an_error():
    airflow = FakeAirflow().on("POST", "/api/v2/backfills", (409, {"detail": "There is already a running backfill"}))
    airflow.on("GET", "/api/v2/backfills", (200, {"backfills": [backfill_answer(4)], "total_entries": 1}))
    airflow.on("GET", RUNS, (200, runs_answer()))

    with pytest.raises(ConfigurationError, match="earlier backfill without a run at work") as caught:
        airflow.client().start_backfill(DAG, DAYS, {})

    assert "Cancel it" in caught.value.cure
    assert len(airflow.pauses) == NOTICE_ATTEMPTS


@pytest.mark.parametrize(
    ("status", "body", "sentence", "cure"),
    [
        pytest.param(404, {"detail": f"Could not find dag {DAG}"}, f"404: Could not find dag {DAG}", "parse", id="404"),
        pytest.param(
            422,
            {"detail": [{"msg": "No runs to create", "loc": ["body"]}, {"msg": "bad date"}]},
            "422: No runs to create; bad date",
            "schedule",
            id="422 with a list",
        ),
        pytest.param(403, {"detail": "Forbidden"}, "403: Forbidden", "role", id="403"),
        pytest.param(503, {"detail": "Database is locked"}, "503: Database is locked", "PostgreSQL", id="503"),
        pytest.param(500, b"<html>oops</html>", "500: <html>oops</html>", "make logs", id="not JSON"),
        pytest.param(502, b"", "502: no reason given", "make logs", id="empty"),
    ],
)
def test_a_refusal_says_what_was_asked_what_came_and_what_to_do(status, body, sentence, cure):
    airflow = FakeAirflow().on("POST", "/api/v2/backfills", (status, body))

    with pytest.raises(ConfigurationError) as caught:
        airflow.client().start_backfill(DAG, DAYS, {})

    assert f"POST /backfills was refused with {sentence}" in str(caught.value)
    assert cure in caught.value.cure


def test_a_question_without_answer_is_asked_again_and_then_an_error():
    airflow = FakeAirflow().on("GET", f"/api/v2/dags/{DAG}", (0, requests.ConnectionError("refused")))

    with pytest.raises(ConfigurationError, match="no answer to GET .*refused") as caught:
        airflow.client().wait_for_dag(DAG, attempts=1)

    assert "`make status`" in caught.value.cure
    assert len(airflow.asked) == ANSWER_ATTEMPTS


def test_a_demand_without_answer_is_not_repeated():
    airflow = FakeAirflow().on("POST", "/api/v2/backfills", (0, requests.ReadTimeout("too slow")))

    with pytest.raises(ConfigurationError, match="no answer to POST"):
        airflow.client().start_backfill(DAG, DAYS, {})

    assert len(airflow.asked) == 1


def test_the_runs_of_a_backfill_are_those_of_its_range():
    airflow = FakeAirflow().on("GET", RUNS, (200, runs_answer(run_answer(5, "success"), run_answer(6, "queued"))))

    runs = airflow.client().runs_of(DAG, Backfill.model_validate(backfill_answer()))

    assert [(run.window_start.date(), run.state, run.has_ended) for run in runs] == [
        (DAYS[0], "success", True),
        (DAYS[1], "queued", False),
    ]
    query = airflow.asked[-1][3]
    assert query["logical_date_gte"] == "2026-01-05T00:00:00+00:00"
    assert query["logical_date_lte"] == "2026-01-06T23:59:59.999999+00:00"


def test_all_pages_of_the_tasks_are_read():
    path = f"{RUNS}/a run/taskInstances"
    task = task_answer("intake.list", "success")
    pages = [{"task_instances": [task] * count, "total_entries": 3} for count in (2, 1)]
    airflow = FakeAirflow().on("GET", path, *((200, page) for page in pages))

    tasks = airflow.client().task_instances(DAG, "a run")

    assert len(tasks) == 3
    assert [query["offset"] for _, _, _, query in airflow.asked] == ["0", "2"]


def test_a_task_knows_its_stage_and_the_label_of_its_mapped_instance():
    mapped = task_answer("intake.inspect", "running", map_index=2, rendered_map_index="shard 2")
    alone = task_answer("resolve_window", "success")

    tasks = [TaskInstance.model_validate(answer) for answer in (mapped, {**mapped, "rendered_map_index": None}, alone)]

    assert [task.stage for task in tasks] == ["intake", "intake", "resolve_window"]
    assert [task.name for task in tasks] == ["inspect [shard 2]", "inspect [2]", "resolve_window"]


def test_tasks_are_ordered_after_those_that_they_wait_for():
    tasks = [
        {"task_id": "report", "downstream_task_ids": []},
        {"task_id": "intake.accept", "downstream_task_ids": ["report"]},
        {"task_id": "window", "downstream_task_ids": ["intake.accept"]},
    ]
    airflow = FakeAirflow().on("GET", f"/api/v2/dags/{DAG}/tasks", (200, {"tasks": tasks, "total_entries": 3}))

    assert airflow.client().task_order(DAG) == ["window", "intake.accept", "report"]


def test_the_end_of_a_log_holds_what_was_raised():
    entries = [
        {"event": "::group::Pre Execute"},
        {"event": "first"},
        {"event": "second"},
        {
            "event": "Task failed with exception",
            "error_detail": [
                {
                    "exc_type": "ValueError",
                    "exc_value": "no images",
                    "frames": [{"name": "validate", "filename": "dags/retrain.py", "lineno": 22}],
                }
            ],
        },
    ]
    task = TaskInstance.model_validate(task_answer("intake.validate", "failed", try_number=2, map_index=1))
    path = f"{RUNS}/a/taskInstances/intake.validate/logs/2"
    airflow = FakeAirflow().on("GET", path, (200, {"content": entries, "continuation_token": None}))

    lines = airflow.client().last_log_lines(DAG, "a", task, n_lines=4)

    assert lines == [
        "second",
        "Task failed with exception",
        "ValueError: no images",
        "  in validate, dags/retrain.py:22",
    ]
    assert airflow.asked[-1][3]["map_index"] == "1"


def test_a_task_without_log_has_no_lines():
    task = TaskInstance.model_validate(task_answer("intake.validate", "failed"))
    path = f"{RUNS}/a/taskInstances/intake.validate/logs/1"
    airflow = FakeAirflow().on("GET", path, (404, {"detail": "TaskInstance not found"}))

    assert airflow.client().last_log_lines(DAG, "a", task, n_lines=5) == []


def test_the_link_to_a_mapped_task_names_its_instance():
    task = TaskInstance.model_validate(task_answer("intake.inspect", "failed", map_index=2))

    link = FakeAirflow().client().link_to(DAG, "backfill__2026-01-06T02:00:00+00:00", task)

    assert link == (
        f"http://airflow.test/dags/{DAG}/runs/backfill__2026-01-06T02%3A00%3A00%2B00%3A00/tasks/intake.inspect/mapped/2"
    )
