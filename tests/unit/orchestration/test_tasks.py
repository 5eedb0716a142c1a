from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException

from include.orchestration import tasks
from include.retraining import steps
from include.retraining.artifacts import PlannedShard, RollbackOrder
from include.retraining.errors import StorageUnavailableError
from tests.builders import STARTED_AT, make_config, make_run
from tests.promotions import make_decision, make_move
from tests.unit.orchestration.context import enter, make_context

ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "list_batch": (),
    "inspect_images": ("s3://b/runs/r/listing-0001.parquet",),
    "validate_batch": (["s3://b/facts-0", "s3://b/facts-1"],),
    "quarantine_images": ("s3://b/verdicts",),
    "accept_batch": ("s3://b/verdicts",),
    "freeze_snapshot": ("s3://b/intake",),
    "choose_extractor": (),
    "fine_tune_backbone": ("s3://b/choice", "s3://b/snapshot"),
    "plan_shards": ("s3://b/snapshot", "s3://b/extractor"),
    "extract_embeddings": ("s3://b/runs/r/shard-0002.parquet", "shard 2/3 · 500 images", "s3://b/extractor"),
    "gather_embeddings": ("s3://b/snapshot", "s3://b/extractor"),
    "doubt_labels": ("s3://b/snapshot", "s3://b/embedding"),
    "plan_resampling": ("s3://b/snapshot", "s3://b/embedding"),
    "reconstruct_images": ("s3://b/snapshot", "s3://b/embedding", "s3://b/resampling"),
    "train_on_images": ("s3://b/snapshot", "s3://b/embedding", "s3://b/resampling"),
    "train_candidate": ("smote · linear", "s3://b/snapshot", "s3://b/embedding", "s3://b/resampling"),
    "select_challenger": (["s3://b/candidate-0", "s3://b/candidate-1"],),
    "export_model": ("s3://b/selection", "s3://b/snapshot", "s3://b/embedding", "s3://b/resampling"),
    "evaluate_challenger": ("s3://b/version", "s3://b/selection", "s3://b/snapshot", "s3://b/embedding"),
    "decide_promotion": ("s3://b/evaluation",),
    "promote_challenger": ("s3://b/decision",),
    "publish_report": (),
}
# What a step returns where it is not simply handed on.
RETURNED = {
    "list_batch": ["s3://b/listing"],
    "plan_shards": [PlannedShard("s3://b/shard", "shard 1/1 · 5 images")],
    "promote_challenger": make_move("v2"),
}
EXPECTED = {
    "plan_shards": [{"shard": "s3://b/shard", "label": "shard 1/1 · 5 images"}],
    "promote_challenger": "v2",
}
# What a task keeps for its label in the grid, and does not hand to its step.
FOR_THE_GRID = "shard 2/3 · 500 images"
# What a step is told beside its arguments.
TOLD = {
    "validate_batch": [("register_baseline", False)],
    "accept_batch": [("register_baseline", False)],
    "extract_embeddings": [("alone", True)],
    "decide_promotion": [("allowed", True), ("rebaseline", False)],
    "promote_challenger": [("rebaseline", False)],
}


def call(name: str) -> Any:
    """Runs the task as Airflow would, without Airflow."""
    return getattr(tasks, name).function(*ARGUMENTS[name])


@pytest.fixture
def run(monkeypatch) -> Any:
    run = make_run()
    monkeypatch.setattr(tasks, "this_run", lambda: run)
    enter(monkeypatch, make_context())
    monkeypatch.setattr(tasks, "get_current_context", dict)
    return run


@pytest.fixture
def calls(monkeypatch) -> list[tuple[Any, ...]]:
    """The calls of all steps, whose results are those above."""
    calls: list[tuple[Any, ...]] = []

    def replacement(name: str):
        def step(*arguments: Any, **named: Any) -> Any:
            calls.append((name, *arguments, *named.items()))
            return RETURNED.get(name, f"result of {name}")

        return step

    for name in ARGUMENTS:
        monkeypatch.setattr(steps, name, replacement(name))
    return calls


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_task_calls_its_step_once_with_the_run_and_its_arguments_and_returns_the_result(run, calls, name):
    result = call(name)

    given = [it for it in ARGUMENTS[name] if it != FOR_THE_GRID]
    assert calls == [(name, run, *given, *TOLD.get(name, []))]
    assert result == EXPECTED.get(name, RETURNED.get(name, f"result of {name}"))


def test_every_task_is_tried_here():
    found = {name for name, it in vars(tasks).items() if hasattr(it, "function")}

    assert found == {*ARGUMENTS, "resolve_window", "roll_back"}


def test_the_window_is_shown_as_two_moments(run):
    assert tasks.resolve_window.function() == {"start": "2026-01-02T02:00:00+00:00", "end": "2026-01-03T02:00:00+00:00"}


def test_without_a_delivery_the_run_is_skipped_with_the_reason(run, calls, monkeypatch):
    monkeypatch.setattr(steps, "list_batch", lambda _: [])

    with pytest.raises(AirflowSkipException, match="Nothing was delivered"):
        call("list_batch")


def test_a_promotion_that_was_overtaken_is_skipped_with_its_reasons(run, calls, monkeypatch):
    refusal = make_decision("the champion changed from v0 to v1", "run it again")
    monkeypatch.setattr(steps, "promote_challenger", lambda *_, **__: refusal)

    with pytest.raises(AirflowSkipException, match="^Not promoted: the champion changed from v0 to v1; run it again$"):
        call("promote_challenger")


def test_a_dry_run_is_skipped_and_says_that_it_is_one(run, calls, monkeypatch):
    monkeypatch.setattr(steps, "promote_challenger", lambda *_, **__: make_decision(is_dry_run=True))

    with pytest.raises(AirflowSkipException, match="^Not promoted: dry run: the run was asked to decide only"):
        call("promote_challenger")


def test_the_gates_are_told_that_a_backfill_may_not_promote(run, calls, monkeypatch):
    monkeypatch.setattr(tasks, "may_promote", lambda: False)

    call("decide_promotion")

    assert calls == [("decide_promotion", run, "s3://b/evaluation", ("allowed", False), ("rebaseline", False))]


@pytest.mark.parametrize("name", ["decide_promotion", "promote_challenger"])
def test_decision_and_promotion_are_told_that_a_champion_that_cannot_be_scored_may_go(run, calls, monkeypatch, name):
    monkeypatch.setattr(tasks, "may_rebaseline", lambda: True)

    call(name)

    assert calls[0][-1] == ("rebaseline", True)


def test_a_rollback_is_handed_the_recipe_the_store_and_the_order_and_returns_the_champion(run, monkeypatch):
    order = RollbackOrder("v1", "recall fell", "manual__1", STARTED_AT, "ada")
    monkeypatch.setattr(tasks, "this_rollback", lambda: (make_config(), run.store, order))
    calls = []
    monkeypatch.setattr(steps, "roll_back", lambda *arguments: calls.append(arguments) or make_move("v1"))

    assert tasks.roll_back.function() == "v1"

    assert calls == [(make_config(), run.store, order)]


@pytest.mark.parametrize("name", ["validate_batch", "accept_batch"])
def test_the_intake_is_told_that_a_new_baseline_is_wanted(run, calls, monkeypatch, name):
    monkeypatch.setattr(tasks, "registers_baseline", lambda: True)

    call(name)

    assert calls == [(name, run, *ARGUMENTS[name], ("register_baseline", True))]


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_error_of_a_step_reaches_airflow_as_it_is(run, monkeypatch, name):
    def step(*_: object, **__: object) -> None:
        raise StorageUnavailableError("get s3://b/a", "timeout")

    monkeypatch.setattr(steps, name, step)

    with pytest.raises(StorageUnavailableError):
        call(name)


@pytest.mark.parametrize("name", ["validate_batch", "select_challenger"])
def test_the_results_of_mapped_tasks_arrive_at_the_step_as_a_list(run, calls, name):
    # Airflow hands over a sequence that fetches each item when it is looked at.
    getattr(tasks, name).function(iter(("s3://b/0", "s3://b/1")))

    assert calls == [(name, run, ["s3://b/0", "s3://b/1"], *TOLD.get(name, []))]


@pytest.mark.parametrize(
    ("name", "key", "shown"),
    [
        ("inspect_images", "shard", "listing-0001"),
        ("extract_embeddings", "shard", "shard 2/3 · 500 images"),
        ("train_candidate", "candidate", "smote · linear"),
    ],
)
def test_a_mapped_task_is_labelled_with_what_it_works_on(run, calls, monkeypatch, name, key, shown):
    context: dict[str, Any] = {}
    monkeypatch.setattr(tasks, "get_current_context", lambda: context)

    call(name)

    assert context == {key: shown}
