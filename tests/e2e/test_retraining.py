"""The Dag on the embedded stack, on real images, its tasks killed once each, as the kernel kills for memory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest
import requests

from demo import fashion_mnist
from demo.airflow_client import AirflowClient, Backfill, DagRun, TaskInstance
from demo.delivery import DAYS, DailyBatch, deliver, make_batches
from embedded.settings import REPOSITORY
from embedded.stack import EmbeddedStack
from include.retraining import journal, registry
from include.retraining.artifacts import EmbeddingPlan, IntakeRecord, Window
from include.retraining.command_line.environment import store_from
from include.retraining.config import load_classifier
from include.retraining.pipeline import Wishes, retrain
from include.retraining.run import EMBEDDING_PLAN, INTAKE, Run, run_key
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.records import read_record

CLASSIFIER = "fashion_mnist"
DAG_ID = "retrain_fashion_mnist"
RECIPES = Path(__file__).parent / "recipes"
COUNTS = (60, 40, 30, 24, 20, 20, 20, 20, 20, 20)
TEST_PER_CLASS = 12
DEADLINE_SECONDS = 420
MUST_BE_KILLED = {
    "intake.accept_batch",
    "dataset.freeze_snapshot",
    "embedding.extract_embeddings",
    "balancing.plan_resampling",
    "training.train_candidate",
    "training.export_model",
    "evaluation.evaluate_challenger",
    "promotion.decide_promotion",
    "promotion.promote_challenger",
}


@pytest.fixture(scope="module")
def batch() -> DailyBatch:
    """The first day's batch of the demo, with a few hundred images."""
    data = fashion_mnist.load(fashion_mnist.cache_directory())
    labels = load_classifier(CLASSIFIER, RECIPES).labels
    return make_batches(data, labels, counts=COUNTS, test_per_class=TEST_PER_CLASS)[0]


@pytest.fixture(scope="module")
def store(embedded_stack: EmbeddedStack) -> ObjectStore:
    return store_from(embedded_stack.s3_environment())


@pytest.fixture(scope="module")
def client(embedded_stack: EmbeddedStack) -> AirflowClient:
    opened = AirflowClient(embedded_stack.ui_url, embedded_stack.login.user, embedded_stack.login.password)
    opened.log_in()
    return opened


@dataclass(frozen=True)
class KilledRun:
    """A run whose tasks were killed.

    Attributes:
        run: As it ended.
        killed: `<task> <map index>` of each task that was killed, once.
        tasks: All task instances at the end.
    """

    run: DagRun
    killed: frozenset[str]
    tasks: tuple[TaskInstance, ...]


@pytest.fixture(scope="module")
def killed(client: AirflowClient, store: ObjectStore, batch: DailyBatch) -> KilledRun:
    """A backfill's run in which every task that could be caught at work was killed once."""
    deliver(store, CLASSIFIER, batch)
    client.wait_for_dag(DAG_ID, attempts=120)
    client.unpause(DAG_ID)
    backfill = client.start_backfill(DAG_ID, DAYS[:1], {"promote": True})
    killed: set[str] = set()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        for run in client.runs_of(DAG_ID, backfill):
            if run.has_ended:
                return KilledRun(run, frozenset(killed), tuple(client.task_instances(DAG_ID, run.run_id)))
            for _ in range(20):  # a task is at work for a second or two: look often, and at nothing else
                kill_running_tasks(client, run, killed)
    pytest.fail(f"the run did not end in {DEADLINE_SECONDS} s; killed so far: {sorted(killed)}")


def kill_running_tasks(client: AirflowClient, run: DagRun, killed: set[str]) -> None:
    """Sends SIGKILL to each running task that was not killed before."""
    answer = client.session.get(
        f"{client.url}/api/v2/dags/{DAG_ID}/dagRuns/{run.run_id}/taskInstances?limit=100&state=running"
    )
    answer.raise_for_status()
    for task in answer.json()["task_instances"]:
        name = f"{task['task_id']} {task['map_index']}"
        if task["state"] == "running" and task["pid"] and name not in killed:
            with contextlib.suppress(ProcessLookupError):  # it ended between the answer and now
                os.kill(task["pid"], signal.SIGKILL)
                killed.add(name)


def test_a_run_whose_tasks_are_killed_ends_well(killed: KilledRun) -> None:
    assert killed.run.state == "success"
    caught = {name.split()[0] for name in killed.killed}
    assert caught >= MUST_BE_KILLED
    assert all(task.state in {"success", "skipped"} for task in killed.tasks)


def test_killed_tasks_change_nothing_in_the_champion(killed: KilledRun, store: ObjectStore) -> None:
    assert killed.run.window_start is not None
    undisturbed = InMemoryStore(store.bucket)
    for found in store.list(layout.incoming(CLASSIFIER, DAYS[0])):
        undisturbed.put(found.key, store.get(found.key))
    window = Window(killed.run.window_start, killed.run.window_start + timedelta(days=1))
    config = load_classifier(CLASSIFIER, RECIPES)

    retrain(Run(config, undisturbed, window, "undisturbed", window.end), Wishes(), progress=lambda *_: None)

    expected, _ = registry.champion(undisturbed, CLASSIFIER)
    champion, _ = registry.champion(store, CLASSIFIER)
    assert expected is not None
    assert champion is not None
    assert champion.version == expected.version  # the digest of its content; the manifest names the run as well
    assert registry.champion_problems(store, CLASSIFIER) == []


def test_nothing_is_lost_and_all_planted_trouble_is_found(
    killed: KilledRun, store: ObjectStore, batch: DailyBatch
) -> None:
    intake = read_record(store, f"{layout.run(CLASSIFIER, run_key(killed.run.run_id))}{INTAKE}", IntakeRecord)

    assert intake.delivered == len(batch.images)
    assert intake.accepted + intake.skipped + sum(intake.quarantined.values()) == intake.delivered
    assert intake.quarantined == {str(reason): n for reason, n in batch.planted.quarantined.items() if n}
    assert intake.skipped == batch.planted.duplicates


def test_the_journal_has_one_decision_and_one_move(killed: KilledRun, store: ObjectStore) -> None:
    entries = journal.entries(store, CLASSIFIER)

    assert [entry.number for entry in entries] == [1, 2]
    decision, move = entries[0].decision, entries[1].move
    assert decision is not None
    assert decision.approved
    assert move is not None
    assert (move.incumbent, move.resulting, move.run_id) == (None, decision.challenger, killed.run.run_id)


def test_the_command_line_reads_the_same_store(killed: KilledRun, embedded_stack: EmbeddedStack) -> None:
    environment = {**os.environ, **embedded_stack.s3_environment(), "RETRAIN_CLASSIFIERS": str(RECIPES)}
    command = [sys.executable, "-m", "include.retraining", "models", "verify", CLASSIFIER, "--json"]

    ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["whole"] is True


@pytest.mark.parametrize("page", ["models", "reports"])
def test_the_pages_want_a_login_and_then_show_the_champion(
    page: str, killed: KilledRun, client: AirflowClient, store: ObjectStore
) -> None:
    champion, _ = registry.champion(store, CLASSIFIER)
    assert champion is not None
    path = "models" if page == "models" else f"reports/{CLASSIFIER}/{run_key(killed.run.run_id)}"
    url = f"{client.url}/retraining/{path}"

    anonymous = requests.get(url, timeout=60)
    shown = client.session.get(url, timeout=60)

    assert anonymous.status_code == requests.codes.unauthorized
    assert shown.status_code == requests.codes.ok
    assert champion.version in shown.text


def test_the_report_is_linked_from_its_task(killed: KilledRun, client: AirflowClient) -> None:
    url = f"{client.url}/api/v2/dags/{DAG_ID}/dagRuns/{killed.run.run_id}/taskInstances/publish_report/links"

    links = client.session.get(url, timeout=60).json()["extra_links"]

    assert f"reports/{CLASSIFIER}/{run_key(killed.run.run_id)}" in links["Report"]


def test_the_data_docs_are_linked_from_their_task_and_want_a_login(killed: KilledRun, client: AirflowClient) -> None:
    task = f"{client.url}/api/v2/dags/{DAG_ID}/dagRuns/{killed.run.run_id}/taskInstances/intake.validate_batch"
    pages = f"retraining/intake/{CLASSIFIER}/{run_key(killed.run.run_id)}"
    day = f"{client.url}/{pages}/{DAYS[0].isoformat()}"

    links = client.session.get(f"{task}/links", timeout=60).json()["extra_links"]
    landing, index, sheet = (
        client.session.get(url, timeout=60)
        for url in (f"{client.url}/{pages}", f"{day}/index.html", f"{day}/contact_sheet.html")
    )

    assert pages in links["Data Docs"]
    assert f"{DAYS[0].isoformat()}/index.html" in landing.text
    assert "contact_sheet.html" in index.text
    assert "data:image/" in sheet.text
    assert requests.get(f"{day}/index.html", timeout=60).status_code == requests.codes.unauthorized


def test_intake_of_the_same_day_on_the_command_line_changes_nothing_and_says_so(
    killed: KilledRun, embedded_stack: EmbeddedStack, store: ObjectStore, batch: DailyBatch
) -> None:
    environment = {**os.environ, **embedded_stack.s3_environment(), "RETRAIN_CLASSIFIERS": str(RECIPES)}
    command = [sys.executable, "-m", "include.retraining", "intake", CLASSIFIER, DAYS[0].isoformat(), "--json"]
    batches = {found.key: store.get(found.key) for found in store.list(layout.batches(CLASSIFIER))}

    ran = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    told = json.loads(ran.stdout)
    assert told["unchanged"] == [DAYS[0].isoformat()]
    assert told["accepted"] + told["skipped"] + sum(told["quarantined"].values()) == told["delivered"]
    assert told["delivered"] == len(batch.images)
    assert {found.key: store.get(found.key) for found in store.list(layout.batches(CLASSIFIER))} == batches


def test_a_repeated_run_embeds_nothing_and_promotes_nothing(
    killed: KilledRun, client: AirflowClient, store: ObjectStore
) -> None:
    before, _ = registry.champion(store, CLASSIFIER)

    backfill = client.start_backfill(DAG_ID, DAYS[:1], {"promote": True})
    run = wait_for(client, backfill)

    assert run.state == "success"
    states = {task.task_id: task.state for task in client.task_instances(DAG_ID, run.run_id)}
    embedding = read_record(store, f"{layout.run(CLASSIFIER, run_key(run.run_id))}{EMBEDDING_PLAN}", EmbeddingPlan)
    assert embedding.n_missing == 0
    assert embedding.n_stored == embedding.n_images
    assert states["promotion.promote_challenger"] == "skipped"
    assert states["publish_report"] == "success"
    assert registry.champion(store, CLASSIFIER)[0] == before
    decision = journal.last_decision(store, CLASSIFIER)
    assert decision is not None
    assert not decision.approved
    assert "byte for byte" in decision.reasons[0]


def wait_for(client: AirflowClient, backfill: Backfill) -> DagRun:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        runs = client.runs_of(DAG_ID, backfill)
        if runs and runs[0].has_ended:
            return runs[0]
        time.sleep(0.5)
    pytest.fail(f"the run did not end in {DEADLINE_SECONDS} s")
