"""A delivery that is not complete, on the embedded stack: waited for in the triggerer, or refused at once."""

from __future__ import annotations

import time
from datetime import date, timedelta

import pytest

from demo.airflow_client import AirflowClient, TaskInstance
from embedded.stack import EmbeddedStack
from include.retraining.command_line.environment import store_from
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore

DAY = date(2026, 1, 2)
AWAIT, LIST = "intake.await_delivery", "intake.list_batch"
DEADLINE_SECONDS = 180


@pytest.fixture(scope="module")
def store(embedded_stack: EmbeddedStack) -> ObjectStore:
    return store_from(embedded_stack.s3_environment())


@pytest.fixture(scope="module")
def client(embedded_stack: EmbeddedStack) -> AirflowClient:
    opened = AirflowClient(embedded_stack.ui_url, embedded_stack.login.user, embedded_stack.login.password)
    opened.log_in()
    return opened


def test_a_delivery_is_waited_for_without_a_worker_and_goes_on_once_its_marker_is_there(
    client: AirflowClient, store: ObjectStore
) -> None:
    prefix = deliver_without_marker(store, "patient")
    run_id = start(client, "retrain_patient")

    waiting = wait_for(client, "retrain_patient", run_id, AWAIT, "deferred")
    store.put(f"{prefix}_READY", b"")
    listed = wait_for(client, "retrain_patient", run_id, LIST, "success")

    assert waiting.try_number == 1
    assert listed.try_number == 1
    assert states(client, "retrain_patient", run_id)[AWAIT].state == "success"
    assert "_READY is missing" in "\n".join(log_of(client, "retrain_patient", run_id, waiting))
    end(client, "retrain_patient", run_id)


def test_a_delivery_that_is_not_complete_in_time_fails_at_once_and_says_what_is_missing(
    client: AirflowClient, store: ObjectStore
) -> None:
    deliver_without_marker(store, "impatient")
    run_id = start(client, "retrain_impatient")

    failed = wait_for(client, "retrain_impatient", run_id, AWAIT, "failed")

    assert failed.try_number == 1
    told = "\n".join(log_of(client, "retrain_impatient", run_id, failed))
    assert f"s3://{store.bucket}/incoming/impatient/2026-01-02/ is refused" in told
    assert "it holds 1 image and labels.csv" in told
    assert "_READY is missing, which the data owner writes" in told
    end(client, "retrain_impatient", run_id)


def deliver_without_marker(store: ObjectStore, classifier: str) -> str:
    """Delivers a manifest and an image; returns the prefix of the day."""
    prefix = layout.incoming(classifier, DAY)
    store.put(f"{prefix}daisy.png", b"not looked at here")
    store.put(f"{prefix}labels.csv", b"image,label\ndaisy.png,daisy\n")
    return prefix


def start(client: AirflowClient, dag_id: str) -> str:
    """Starts a run over the day; returns its name."""
    client.wait_for_dag(dag_id, attempts=120)
    client.unpause(dag_id)
    window = {"window_start": DAY.isoformat(), "window_end": (DAY + timedelta(days=1)).isoformat()}
    answer = client.session.post(
        f"{client.url}/api/v2/dags/{dag_id}/dagRuns", json={"logical_date": None, "conf": window}, timeout=60
    )
    answer.raise_for_status()
    return str(answer.json()["dag_run_id"])


def end(client: AirflowClient, dag_id: str, run_id: str) -> None:
    """Ends a run, whatever it is doing."""
    url = f"{client.url}/api/v2/dags/{dag_id}/dagRuns/{run_id}"
    client.session.patch(url, json={"state": "failed"}, timeout=60).raise_for_status()


def wait_for(client: AirflowClient, dag_id: str, run_id: str, task_id: str, state: str) -> TaskInstance:
    """Returns a task once it is in a state; a task that ends in another one ends the wait."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        found = states(client, dag_id, run_id)
        if task_id in found and found[task_id].state == state:
            return found[task_id]
        if task_id in found and found[task_id].has_ended:
            break
        time.sleep(0.5)
    pytest.fail(f"{task_id} did not become {state}: {found}")


def states(client: AirflowClient, dag_id: str, run_id: str) -> dict[str, TaskInstance]:
    return {task.task_id: task for task in client.task_instances(dag_id, run_id)}


def log_of(client: AirflowClient, dag_id: str, run_id: str, task: TaskInstance) -> list[str]:
    return client.last_log_lines(dag_id, run_id, task, n_lines=200)
