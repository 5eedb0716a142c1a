from __future__ import annotations

import io

import pytest
from rich.console import Console

from demo.airflow_client import DagRun, TaskInstance
from demo.delivery import DAYS
from demo.demonstration import CLASSIFIER, Outcome, Stopwatch, deliver_all, retrain, sum_up
from demo.follow import Followed
from demo.summary import Access
from include.orchestration.runs import DAG_PREFIX
from include.retraining import run as records
from include.retraining.config import load_classifier
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_run
from tests.promotions import crown, make_decision, publish_made_version
from tests.unit.demo.fake_airflow import (
    DAG,
    FakeAirflow,
    backfill_answer,
    run_answer,
    runs_answer,
    task_answer,
    tasks_answer,
)
from tests.unit.demo.small_delivery import made_batches


def make_console() -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=150, color_system=None), out


def ended(state: str, *tasks: dict) -> Followed:
    run = DagRun.model_validate(run_answer(5, state))
    return Followed(run, tuple(TaskInstance.model_validate(task) for task in tasks))


def summed_up(store: InMemoryStore, *runs: Followed) -> tuple[Outcome, str]:
    console, out = make_console()
    access = Access("http://127.0.0.1:8080", "user admin")
    return sum_up(store, console, runs, batches=made_batches(), stage_seconds={}, access=access), out.getvalue()


def test_a_delivery_of_all_days_says_what_it_wrote_and_a_second_one_that_it_wrote_nothing():
    store, batches = InMemoryStore(), made_batches()
    console, out = make_console()

    first = deliver_all(store, batches, console)
    second = deliver_all(store, batches, console)

    assert first == sum(len(batch.images) + 2 for batch in batches)
    assert second == 0
    lines = out.getvalue().splitlines()
    assert lines[0].startswith(f"2026-01-05: delivered {len(batches[0].images)} images in ")
    assert lines[0].endswith(f"{batches[0].planted.rows} of them planted trouble")
    assert lines[3] == f"2026-01-06: its {len(batches[1].images)} images are there already, nothing was written"


def test_a_cancelled_delivery_ends_before_its_marker():
    store = InMemoryStore()

    def cancel() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        deliver_all(store, made_batches(), make_console()[0], check=cancel)

    assert not any(key.endswith("_READY") for key in store.objects)


def test_the_dag_is_awaited_unpaused_and_asked_for_both_days_with_promotion():
    runs = runs_answer(run_answer(5, "success"), run_answer(6, "success"))
    airflow = FakeAirflow().on("GET", f"/api/v2/dags/{DAG}", (200, {"dag_id": DAG}))
    airflow.on("PATCH", f"/api/v2/dags/{DAG}", (200, {}))
    airflow.on("POST", "/api/v2/backfills", (200, backfill_answer(7)))
    airflow.on("GET", f"/api/v2/dags/{DAG}/dagRuns", (200, runs))
    airflow.on("GET", f"/api/v2/dags/{DAG}/tasks", (200, {"tasks": [{"task_id": "report", "downstream_task_ids": []}]}))
    for end in ("06", "07"):
        path = f"/api/v2/dags/{DAG}/dagRuns/backfill__2026-01-{end}T02:00:00+00:00/taskInstances"
        airflow.on("GET", path, (200, tasks_answer(task_answer("report", "success"))))

    followed, seconds = retrain(airflow.client(), make_console()[0])

    asked = [(method, path.removeprefix("/api/v2")) for method, path, _, _ in airflow.asked]
    assert asked[:3] == [("GET", f"/dags/{DAG}"), ("PATCH", f"/dags/{DAG}"), ("POST", "/backfills")]
    assert airflow.bodies("POST", "/api/v2/backfills")[0]["dag_run_conf"] == {"promote": True}
    assert [run.day for run in followed] == ["2026-01-05", "2026-01-06"]
    assert seconds == {"report": 20.0}


def test_a_whole_champion_after_successful_runs_is_a_success():
    store = InMemoryStore()
    pointer = crown(store, publish_made_version(store, classifier=CLASSIFIER), classifier=CLASSIFIER)

    outcome, text = summed_up(store, ended("success"))

    assert outcome.problems == ()
    assert pointer.version in text


def test_the_records_of_the_runs_are_summed_up_under_their_airflow_names():
    store = InMemoryStore()
    followed = ended("success")
    run = make_run(store, load_classifier(CLASSIFIER), run_id=followed.run.run_id)
    run.record(records.DECISION, make_decision("it is too early"))

    outcome, text = summed_up(store, followed)

    assert outcome.runs[0].decision == make_decision("it is too early")
    assert "2026-01-05 was not promoted: it is too early" in text


def test_without_a_champion_it_is_a_failure():
    outcome, _ = summed_up(InMemoryStore(), ended("success"))

    assert len(outcome.problems) == 1
    assert "champion.json" in outcome.problems[0]


def test_a_champion_with_a_changed_file_is_a_failure():
    store = InMemoryStore()
    version = publish_made_version(store, classifier=CLASSIFIER)
    crown(store, version, classifier=CLASSIFIER)
    store.put(f"models/{CLASSIFIER}/versions/{version.name}/model.keras", b"something else")

    outcome, _ = summed_up(store, ended("success"))

    assert len(outcome.problems) == 1
    assert "model.keras" in outcome.problems[0]


def test_a_failed_task_is_a_failure_even_with_a_whole_champion():
    store = InMemoryStore()
    crown(store, publish_made_version(store, classifier=CLASSIFIER), classifier=CLASSIFIER)

    outcome, _ = summed_up(store, ended("success", task_answer("intake.list", "failed")))

    assert outcome.problems == ("2026-01-05: intake, list failed",)


def test_the_stopwatch_keeps_the_order_and_the_time_of_a_part_that_fails():
    watch = Stopwatch()

    with pytest.raises(KeyError), watch.taking("first"):
        raise KeyError
    with watch.taking("second"):
        pass

    assert list(watch.seconds) == ["first", "second"]
    assert all(seconds >= 0 for seconds in watch.seconds.values())


def test_the_dag_may_run_for_the_days_that_are_delivered():
    assert f"{DAG_PREFIX}{CLASSIFIER}" == DAG
    assert load_classifier(CLASSIFIER).schedule.start_date <= min(DAYS)
