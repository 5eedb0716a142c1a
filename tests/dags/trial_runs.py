"""Runs the Dag of `flowers` in this process, once for each trial, on steps that only note their calls; prints JSON.

Airflow's own `dag.test` does the scheduling: trigger rules, mapping, retries and skips are real; queue and pool are
not. The environment names Airflow's directory and the folder of the recipes.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from include.orchestration import runs
from include.retraining import steps
from include.retraining.artifacts import Move, PlannedShard, PromotionDecision
from include.retraining.errors import DataContractError, StorageUnavailableError
from include.retraining.run import DECISION, Run
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_decision, make_move
from tests.dags.dag_files import read_dags

Step = Callable[..., Any]
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

    def step(run: Run, _: str, *, allowed: bool) -> str:
        del allowed
        return run.record(DECISION, decision)

    return step


def promoting(run: Run, _: str) -> Move:
    """A step that says it promoted."""
    return make_move(run_id=run.run_id)


APPROVED = {"decide_promotion": deciding(make_decision()), "promote_challenger": promoting}
TRIALS: dict[str, dict[str, Step]] = {
    "nothing delivered": {"list_batch": lambda _: []},
    "promoted": APPROVED,
    "refused": {
        "plan_shards": lambda *_: [],
        "decide_promotion": deciding(make_decision("macro_recall fell")),
    },
    "delivery broken": {"validate_batch": failing(DataContractError("s3://b/incoming", ["too few"]), times=1)},
    "delivery not complete": {},
    "store away": {**APPROVED, "freeze_snapshot": failing(StorageUnavailableError("get", "timeout"), times=2)},
}

INCOMING = {"delivery not complete": {"labels.csv": b"image,label\n", "daisy/a.png": b"1"}}


def main() -> None:
    """Runs all trials; the last line of standard output is the result by name."""
    from airflow.utils.db import initdb

    wait = time.sleep
    time.sleep = lambda seconds: wait(min(seconds, 0.02))  # `dag.test` sleeps a second whenever nothing is to be done
    initdb()
    dag = read_dags().dags["retrain_flowers"]
    results = {name: trial(dag, name, day, changed) for day, (name, changed) in enumerate(TRIALS.items(), start=1)}
    sys.stdout.write(json.dumps(results) + "\n")


def trial(dag: Any, name: str, day: int, changed: dict[str, Step]) -> dict[str, Any]:
    """Runs the Dag for one day; returns the states and the calls of the steps."""
    sys.stdout.write(f"trial {name}\n")
    calls: list[list[Any]] = []
    for step in (*RESULTS, "decide_promotion", "promote_challenger"):
        setattr(steps, step, noting(calls, step, changed.get(step)))
    store = InMemoryStore()
    runs.lake = lambda: store
    at = datetime(2026, 1, day, 2, tzinfo=UTC)
    delivered = at.date() - timedelta(days=1)  # the run's interval ends at its logical date
    for key, body in INCOMING.get(name, {}).items():
        store.put(f"{layout.incoming('flowers', delivered)}{key}", body)
    run = dag.test(logical_date=at, run_after=at + timedelta(days=1))
    return {
        "state": run.state,
        "tasks": {f"{it.task_id} {it.map_index}": it.state for it in run.get_task_instances()},
        "tries": {it.task_id: it.try_number for it in run.get_task_instances()},
        "calls": calls,
        "asset_events": asset_events(run.run_id),
    }


def noting(calls: list[list[Any]], name: str, step: Step | None) -> Step:
    """Returns a step that notes its arguments and then does what the trial wants."""

    def noted(run: Run, *arguments: Any, **named: Any) -> Any:
        calls.append([name, *arguments, *(f"{key}={value}" for key, value in named.items())])
        return step(run, *arguments, **named) if step else RESULTS[name]

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
