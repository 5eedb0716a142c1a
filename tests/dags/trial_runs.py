"""Runs the Dags of `flowers` in this process, once for each trial, on steps that only note their calls; prints JSON.

Airflow's own `dag.test` does the scheduling: trigger rules, mapping, retries and skips are real; queue and pool are
not. Who waits for a person is answered as Airflow's API and its scheduler would. The environment names Airflow's
directory, the folder of the recipes and the connection to the lake, which one trial uses: nothing answers there.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

from include.orchestration import runs, stores
from include.retraining import journal, steps
from include.retraining.artifacts import Move, PlannedShard, PromotionDecision, RollbackOrder
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ConfigurationError, DataContractError, StorageUnavailableError
from include.retraining.run import DECISION, Run
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.s3 import S3Store
from tests.dags.dag_files import read_dags
from tests.promotions import make_decision, make_move

Step = Callable[..., Any]
UNTOLD = (Run, ClassifierConfig, InMemoryStore, S3Store)  # the same in every call
RESULTS = {
    "list_batch": ["listing-0", "listing-1"],
    "inspect_images": "facts",
    "validate_batch": "verdicts",
    "quarantine_images": "verdicts after quarantine",
    "accept_batch": "intake",
    "freeze_snapshot": "snapshot",
    "choose_extractor": "extractor",
    "fine_tune_backbone": "tuned extractor",
    "plan_shards": [PlannedShard("shard-0", "shard 1/1 · 5 images")],
    "extract_embeddings": "parts",
    "gather_embeddings": "embedding",
    "doubt_labels": "doubts",
    "plan_resampling": "resampling",
    "reconstruct_images": "reconstruction",
    "train_on_images": "image level",
    "train_candidate": "candidate",
    "select_challenger": "selection",
    "export_model": "version",
    "evaluate_challenger": "evaluation",
    "publish_report": "report",
}


def failing(error: Exception, *, times: int) -> Step:
    """A step that fails so many times, then succeeds."""
    left = [error] * times

    def step(*_: object, **__: object) -> str:
        if left:
            raise left.pop()
        return "result after failures"

    return step


def deciding(decision: PromotionDecision) -> Step:
    """A step that records a decision, as the real one does."""

    def step(run: Run, _: str, *, allowed: bool, rebaseline: bool) -> str:
        del allowed, rebaseline
        return run.record(DECISION, decision)

    return step


def promoting(run: Run, _: str, *, rebaseline: bool) -> Move:
    """A step that says it promoted."""
    del rebaseline
    return make_move(run_id=run.run_id)


APPROVED = {"decide_promotion": deciding(make_decision()), "promote_challenger": promoting}


@dataclass(frozen=True)
class Trial:
    """What is different in one run.

    Attributes:
        steps: Those that do something else than to return what stands in `RESULTS`.
        delivered: Objects of the day's delivery.
        form: What is entered in the trigger form.
        answer: Of the person who is asked to approve; None for silence.
        dag: Which of the classifier's two Dags.
        is_lake_real: Whether the lake is where the connection says, instead of in memory.
    """

    steps: dict[str, Step] = field(default_factory=dict)
    delivered: dict[str, bytes] = field(default_factory=dict)
    form: dict[str, Any] = field(default_factory=dict)
    answer: str | None = None
    dag: str = "retrain_flowers"
    is_lake_real: bool = False


TRIALS = {
    "nothing delivered": Trial({"list_batch": lambda _: []}),
    "promoted": Trial(APPROVED),
    "refused": Trial({"plan_shards": lambda *_: [], "decide_promotion": deciding(make_decision("macro_recall fell"))}),
    "delivery broken": Trial(
        {"validate_batch": failing(DataContractError("s3://b/incoming", ["too few"]), times=1)},
    ),
    "delivery not complete": Trial(delivered={"labels.csv": b"image,label\n", "daisy/a.png": b"1"}),
    "store away": Trial({**APPROVED, "freeze_snapshot": failing(StorageUnavailableError("get", "timeout"), times=2)}),
    "lake unreachable": Trial(is_lake_real=True),
    "approved by a person": Trial(APPROVED, form={"require_approval": True}, answer="Approve"),
    "approved by nobody": Trial(APPROVED, form={"require_approval": True}),
    "rolled back": Trial(
        {"roll_back": lambda *_: make_move("20260102T0200-bbbbbbbbbbbb", kind="rollback")},
        form={"version": "", "reason": "recall fell"},
        dag="rollback_flowers",
    ),
    "rollback refused": Trial(
        {
            "roll_back": failing(
                ConfigurationError("version v1", "it is the champion already", "Choose another"), times=1
            )
        },
        form={"version": "v1", "reason": "recall fell"},
        dag="rollback_flowers",
    ),
}


def main() -> None:
    """Runs all trials; the last line of standard output is the result by name."""
    from airflow.utils.db import initdb

    initdb()
    results = {name: run_trial(name, trial, day) for day, (name, trial) in enumerate(TRIALS.items(), start=1)}
    sys.stdout.write(json.dumps(results) + "\n")


def run_trial(name: str, trial: Trial, day: int) -> dict[str, Any]:
    """Runs a Dag for one day; returns the states and the calls of the steps."""
    sys.stdout.write(f"trial {name}\n")
    calls: list[list[Any]] = []
    for step in (*RESULTS, "decide_promotion", "promote_challenger", "roll_back"):
        setattr(steps, step, noting(calls, step, trial.steps.get(step)))
    store = InMemoryStore()
    runs.lake = stores.lake if trial.is_lake_real else lambda: store
    at = datetime(2026, 1, day, 2, tzinfo=UTC)
    delivered = at.date() - timedelta(days=1)  # the run's interval ends at its logical date
    for key, body in trial.delivered.items():
        store.put(f"{layout.incoming('flowers', delivered)}{key}", body)
    # Read anew each time: what a form says stays in the tasks of the Dag that it was given to.
    dag = read_dags().dags[trial.dag]
    with answering(trial.answer):
        run = dag.test(logical_date=at, run_after=at + timedelta(days=1), run_conf=trial.form or None)
    return {
        "state": run.state,
        "tasks": {f"{it.task_id} {it.map_index}": it.state for it in run.get_task_instances()},
        "tries": {it.task_id: it.try_number for it in run.get_task_instances()},
        "calls": calls,
        "answers": [
            [entry.approval.approved, entry.approval.by]
            for entry in journal.entries(store, "flowers")
            if entry.approval is not None
        ],
        "asset_events": asset_events(run.run_id),
    }


@contextmanager
def answering(answer: str | None) -> Iterator[None]:
    """Uses the moments in which `dag.test` sleeps, since nothing is to be done, to do what other services would.

    It sleeps a second each time, which is shortened. The recipe gives a person no time at all: where no answer is
    there, silence is the answer.
    """
    wait = time.sleep

    def sleep(seconds: float) -> None:
        wait(min(seconds, 0.02))
        if answer is not None:
            give_answer(answer)
        sweep_timeouts()

    time.sleep = sleep
    try:
        yield
    finally:
        time.sleep = wait


def give_answer(answer: str) -> None:
    """Answers everything that waits for a person, as Airflow's API does."""
    from airflow.models.hitl import HITLDetail
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        for asked in session.scalars(select(HITLDetail).where(HITLDetail.responded_at.is_(None))):
            asked.responded_by = {"id": "7", "name": "ada"}
            asked.responded_at = datetime.now(UTC)
            asked.chosen_options = [answer]


def sweep_timeouts() -> None:
    """Wakes every task that was answered, or whose time is over: the scheduler's own code."""
    import logging

    from airflow.jobs.scheduler_job_runner import SchedulerJobRunner

    SchedulerJobRunner.check_awaiting_input_timeouts(SimpleNamespace(log=logging.getLogger("sweep")))


def noting(calls: list[list[Any]], name: str, step: Step | None) -> Step:
    """Returns a step that notes its arguments and then does what the trial wants."""

    def noted(*arguments: Any, **named: Any) -> Any:
        told = [str(it) if isinstance(it, RollbackOrder) else it for it in arguments if not isinstance(it, UNTOLD)]
        calls.append([name, *told, *(f"{key}={value}" for key, value in named.items())])
        return step(*arguments, **named) if step else RESULTS[name]

    return noted


def asset_events(run_id: str) -> list[str]:
    """The URIs of the assets that a run changed."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session() as session:
        found = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run_id))
        return [event.asset.uri for event in found]


if __name__ == "__main__":
    main()
