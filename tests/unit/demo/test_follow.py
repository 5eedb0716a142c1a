from __future__ import annotations

import io
from datetime import UTC, datetime

import pytest
from rich.console import Console

from demo.airflow_client import Backfill, DagRun, TaskInstance
from demo.follow import Followed, Follower, progress_of, seconds_by_stage
from tests.unit.demo.fake_airflow import (
    DAG,
    FakeAirflow,
    backfill_answer,
    run_answer,
    runs_answer,
    task_answer,
    tasks_answer,
)

NOW = datetime(2026, 2, 1, 12, 0, 30, tzinfo=UTC)
RUNS = f"/api/v2/dags/{DAG}/dagRuns"
ORDER = ["resolve_window", "intake.list", "intake.inspect", "report"]


def run_of(day: int, state: str) -> DagRun:
    return DagRun.model_validate(run_answer(day, state))


def followed(state: str, *tasks: dict) -> Followed:
    return Followed(run_of(5, state), tuple(TaskInstance.model_validate(task) for task in tasks))


def tasks_path(day: int) -> str:
    return f"{RUNS}/backfill__2026-01-{day + 1:02d}T02:00:00+00:00/taskInstances"


def make_airflow() -> FakeAirflow:
    tasks = [{"task_id": name, "downstream_task_ids": ORDER[place + 1 : place + 2]} for place, name in enumerate(ORDER)]
    return FakeAirflow().on("GET", f"/api/v2/dags/{DAG}/tasks", (200, {"tasks": tasks}))


def follow(airflow: FakeAirflow, *, is_terminal: bool = False) -> tuple[list[Followed], str]:
    out = io.StringIO()
    console = Console(file=out, width=110, force_terminal=is_terminal, color_system=None)
    paused: list[float] = []
    follower = Follower(airflow.client(), DAG, console, pause=paused.append, now=lambda: NOW)
    return follower.follow(Backfill.model_validate(backfill_answer())), out.getvalue()


def test_stages_come_in_the_order_of_the_dag_with_what_runs_in_them():
    run = followed(
        "running",
        task_answer("report", None),
        task_answer("intake.list", "success"),
        task_answer("intake.inspect", "running", map_index=0, rendered_map_index="shard 0"),
        task_answer("intake.inspect", "running", map_index=1),
        task_answer("resolve_window", "success"),
    )

    stages = run.stages(ORDER, NOW)

    assert [stage.name for stage in stages] == ["resolve_window", "intake", "report"]
    assert [(stage.done, stage.total) for stage in stages] == [(1, 1), (1, 3), (0, 1)]
    assert stages[1].running == ("inspect [shard 0]", "inspect [1]")
    assert [stage.seconds for stage in stages] == [10.0, 30.0, 0.0]
    assert [stage.has_ended for stage in stages] == [True, False, False]


@pytest.mark.parametrize("state", [None, "skipped", "success"])
def test_a_task_with_the_dates_of_an_earlier_time_adds_no_seconds(state):
    stale = {"start_date": "2026-01-30T00:00:00Z", "end_date": "2026-01-30T00:00:10Z"}
    tasks = [task_answer("intake.list", "success"), task_answer("intake.inspect", state, **stale)]

    [stage] = followed("running", *tasks).stages(ORDER, NOW)

    assert stage.seconds == 10.0


def test_a_task_that_waits_for_its_retry_has_neither_ended_nor_failed():
    [stage] = followed("running", task_answer("report", "up_for_retry")).stages(ORDER, NOW)

    assert not stage.has_ended
    assert stage.failed == 0


def test_a_run_whose_last_task_succeeded_after_a_failure_is_a_failure():
    run = followed("success", task_answer("intake.list", "failed"), task_answer("report", "success"))

    assert run.failures == ["2026-01-05: intake, list failed"]
    assert run.verdict == "failed"


def test_a_run_that_failed_without_a_failed_task_says_so():
    assert followed("failed").failures == ["2026-01-05: the run ended as failed"]
    assert followed("success").failures == []


def test_seconds_add_up_over_the_runs():
    run = followed("success", task_answer("intake.list", "success"))

    assert seconds_by_stage([run, run], ORDER, NOW) == {"intake": 20.0}


def test_off_a_terminal_every_ended_stage_is_one_line():
    first, second = task_answer("resolve_window", "success"), task_answer("intake.list", "success")
    airflow = make_airflow()
    airflow.on(
        "GET",
        RUNS,
        (200, runs_answer(run_answer(5, "running"), run_answer(6, "queued"))),
        (200, runs_answer(run_answer(5, "success"), run_answer(6, "running"))),
        (200, runs_answer(run_answer(5, "success"), run_answer(6, "success"))),
    )
    begun, done = tasks_answer(first, task_answer("intake.list", None)), tasks_answer(first, second)
    airflow.on("GET", tasks_path(5), (200, begun), (200, done))
    airflow.on("GET", tasks_path(6), (200, tasks_answer(first, second)))

    runs, text = follow(airflow)

    assert [(run.day, run.run.state) for run in runs] == [("2026-01-05", "success"), ("2026-01-06", "success")]
    assert text.splitlines() == [
        "2026-01-05  run started",
        "2026-01-05  resolve_window: 1/1 tasks, 10.0 s",
        "2026-01-05  intake: 1/1 tasks, 10.0 s",
        "2026-01-05  run ended: success",
        "2026-01-06  run started",
        "2026-01-06  resolve_window: 1/1 tasks, 10.0 s",
        "2026-01-06  intake: 1/1 tasks, 10.0 s",
        "2026-01-06  run ended: success",
    ]


def test_a_queued_run_is_not_asked_for_the_tasks_of_its_earlier_time():
    airflow = make_airflow()
    airflow.on("GET", RUNS, (200, runs_answer(run_answer(5, "queued"))), (200, runs_answer(run_answer(5, "success"))))
    airflow.on("GET", tasks_path(5), (200, tasks_answer(task_answer("report", "success"))))

    follow(airflow)

    assert len(airflow.bodies("GET", tasks_path(5))) == 1


def test_a_failed_task_is_told_once_with_its_log_and_link():
    failed = task_answer("intake.inspect", "failed", map_index=1, rendered_map_index="shard 1", try_number=2)
    airflow = make_airflow()
    airflow.on("GET", RUNS, (200, runs_answer(run_answer(5, "running"))), (200, runs_answer(run_answer(5, "failed"))))
    airflow.on("GET", tasks_path(5), (200, tasks_answer(failed)))
    airflow.on("GET", f"{tasks_path(5)}/intake.inspect/logs/2", (200, {"content": [{"event": "KeyError: 'image'"}]}))

    runs, text = follow(airflow)

    assert runs[0].run.state == "failed"
    assert text.count("inspect [shard 1] failed") == 1
    assert "KeyError: 'image'" in text
    assert "http://airflow.test/dags/retrain_fashion_mnist/runs/" in text
    assert "run ended: failed" in text


def test_on_a_terminal_the_running_run_is_a_table_with_its_stages():
    out = io.StringIO()
    running = followed(
        "running",
        task_answer("resolve_window", "success"),
        task_answer("intake.inspect", "running", map_index=0, rendered_map_index="shard 0"),
    )

    Console(file=out, width=100, color_system=None).print(
        progress_of([running, Followed(run_of(6, "queued")), Followed(run_of(7, "success"))], ORDER, NOW)
    )

    text = out.getvalue()
    assert "2026-01-05: running for 30 s" in text
    assert "inspect [shard 0]" in text
    assert "2026-01-06: queued" in text
    assert "2026-01-07: success after 60 s" in text


def test_on_a_terminal_the_end_is_shown_too():
    airflow = make_airflow().on("GET", RUNS, (200, runs_answer(run_answer(5, "success"))))
    airflow.on("GET", tasks_path(5), (200, tasks_answer(task_answer("report", "success"))))

    runs, text = follow(airflow, is_terminal=True)

    assert len(runs) == 1
    assert "2026-01-05: success after 60 s" in text
