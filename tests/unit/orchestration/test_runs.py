from __future__ import annotations

from datetime import UTC, datetime

import pytest
from airflow.sdk.api.datamodels._generated import DagRunType

from include.orchestration import runs
from include.orchestration.runs import may_promote, may_rebaseline, this_rollback, this_run
from include.retraining.artifacts import RollbackOrder, Window
from include.retraining.errors import ConfigurationError
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_config
from tests.recipes import write_recipe
from tests.unit.orchestration.context import RUN_ID, enter, make_context


@pytest.fixture
def store(tmp_path, monkeypatch) -> InMemoryStore:
    """The lake; the recipe `flowers` is beside it."""
    write_recipe(tmp_path, make_config("flowers"))
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path))
    store = InMemoryStore()
    monkeypatch.setattr(runs, "lake", lambda: store)
    return store


def test_a_run_has_the_recipe_the_store_the_window_and_the_name_of_the_dags_run(store, monkeypatch):
    enter(monkeypatch, make_context())

    run = this_run()

    assert run.config == make_config("flowers")
    assert run.store is store
    assert run.window == Window(start=datetime(2026, 1, 2, 2, tzinfo=UTC), end=datetime(2026, 1, 3, 2, tzinfo=UTC))
    assert (run.run_id, run.started_at) == (RUN_ID, datetime(2026, 1, 3, 2, 0, 5, tzinfo=UTC))


def test_the_form_of_the_run_is_heeded(store, monkeypatch):
    enter(monkeypatch, make_context({"window_start": "2026-01-05", "window_end": "2026-01-06"}))

    assert this_run().window.start == datetime(2026, 1, 5, tzinfo=UTC)


def test_every_task_and_every_retry_sees_the_same_run(store, monkeypatch):
    enter(monkeypatch, make_context())

    assert this_run() == this_run()


def test_a_run_that_has_no_start_yet_counts_from_when_it_was_due(store, monkeypatch):
    enter(monkeypatch, make_context(start_date=None))

    assert this_run().started_at == datetime(2026, 1, 3, 2, tzinfo=UTC)


def test_a_recipe_that_is_gone_since_the_dag_was_parsed_is_named(store, monkeypatch):
    enter(monkeypatch, make_context(dag_id="retrain_birds"))

    with pytest.raises(ConfigurationError, match=r"birds\.yaml: there is no such classifier"):
        this_run()


@pytest.mark.parametrize(
    ("fields", "by"),
    [
        ({"run_type": DagRunType.SCHEDULED}, "scheduled"),
        ({"run_type": DagRunType.ASSET_TRIGGERED}, "asset_triggered"),
        ({"run_type": DagRunType.MANUAL, "triggering_user_name": "ada"}, "ada"),
        ({"run_type": DagRunType.BACKFILL, "triggering_user_name": "ada"}, "ada"),
        ({"run_type": DagRunType.MANUAL, "triggering_user_name": ""}, "manual"),
    ],
)
def test_a_run_knows_who_started_it_and_else_what_did(store, monkeypatch, fields, by):
    enter(monkeypatch, make_context(**fields))

    assert this_run().started_by == by


def test_airflow_tells_tasks_who_triggered_their_run():
    from airflow.sdk.api.datamodels._generated import DagRun

    assert "triggering_user_name" in DagRun.model_fields


def rollback_context(**form) -> dict:
    context = make_context(dag_id="rollback_flowers", run_id="manual__1", triggering_user_name="ada")
    return {**context, "params": {"version": None, "reason": "recall fell", **form}}


@pytest.mark.parametrize(
    ("asked", "version"),
    [(None, None), ("", None), ("  ", None), (" 20260103T0200-0123456789ab ", "20260103T0200-0123456789ab")],
)
def test_a_rollback_is_about_the_recipe_of_its_dag_and_what_its_form_asks(store, monkeypatch, asked, version):
    enter(monkeypatch, rollback_context(version=asked))

    config, lake, order = this_rollback()

    assert (config, lake) == (make_config("flowers"), store)
    assert order == RollbackOrder(
        version, "recall fell", "manual__1", datetime(2026, 1, 3, 2, 0, 5, tzinfo=UTC), by="ada"
    )


@pytest.mark.parametrize("asked", [True, False])
def test_a_champion_that_cannot_be_scored_is_replaced_only_where_that_is_asked(monkeypatch, asked):
    enter(monkeypatch, make_context({"rebaseline_champion": asked}))

    assert may_rebaseline() is asked


@pytest.mark.parametrize(
    ("run_type", "asked", "allowed"),
    [
        (DagRunType.SCHEDULED, None, True),
        (DagRunType.MANUAL, None, True),
        (DagRunType.ASSET_TRIGGERED, None, True),
        (DagRunType.BACKFILL, None, False),
        (DagRunType.BACKFILL, True, True),
        (DagRunType.BACKFILL, False, False),
        (DagRunType.SCHEDULED, True, True),
        (DagRunType.SCHEDULED, False, False),
        (DagRunType.MANUAL, False, False),
    ],
)
def test_a_run_may_promote_if_it_was_asked_to_or_by_itself_unless_it_is_a_backfill(
    monkeypatch, run_type, asked, allowed
):
    enter(monkeypatch, make_context({"promote": asked}, run_type=run_type))

    assert may_promote() is allowed


def test_the_types_of_run_are_those_that_the_rule_was_made_for():
    # A new one must be given a thought: may it promote by itself?
    assert {it.value for it in DagRunType} == {
        "backfill",
        "scheduled",
        "manual",
        "operator_triggered",
        "asset_triggered",
        "asset_materialization",
    }
