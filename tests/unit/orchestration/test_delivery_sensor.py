from __future__ import annotations

import asyncio
import importlib
import json
import threading
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from airflow.triggers.base import TriggerEvent

from include.orchestration import delivery_sensor, runs
from include.orchestration.delivery_sensor import DeliverySensor, DeliveryTrigger
from include.retraining.errors import (
    ConfigurationError,
    DataContractError,
    PermanentError,
    StorageUnavailableError,
)
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_config, make_run
from tests.recipes import write_recipe
from tests.unit.retraining.intake.deliveries import deliver

PREFIX = "incoming/flowers/2026-01-02/"
NOW = datetime(2026, 1, 3, 2, 0, 10, tzinfo=UTC)
FIRED = {"problem": ""}


class Clock:
    """What the sensor takes for the present; sleeping moves it on."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []
        self.meanwhile: Any = lambda: None

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += timedelta(seconds=seconds)
        self.meanwhile()


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(delivery_sensor.timezone, "utcnow", lambda: clock.now)
    monkeypatch.setattr(delivery_sensor.asyncio, "sleep", clock.sleep)
    return clock


@pytest.fixture
def store(monkeypatch, tmp_path) -> InMemoryStore:
    """A delivery without its marker, and a recipe that waits two hours for it."""
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1"})
    config = make_config(intake={"wait_minutes": 120})
    write_recipe(tmp_path, config)
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path))
    monkeypatch.setattr(delivery_sensor, "lake", lambda: store)
    monkeypatch.setattr(runs, "this_run", lambda: make_run(store, config))
    return store


@pytest.fixture
def sensor() -> DeliverySensor:
    return DeliverySensor(task_id="await_delivery")


def deferred_by(sensor: DeliverySensor) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as deferral:
        sensor.execute({})
    return deferral.value


def revived(trigger: DeliveryTrigger) -> DeliveryTrigger:
    """The trigger as another process makes it of what the database holds."""
    path, arguments = trigger.serialize()
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(module), name)(**json.loads(json.dumps(arguments)))


def events_of(trigger: DeliveryTrigger) -> list[TriggerEvent]:
    async def collect() -> list[TriggerEvent]:
        return [event async for event in trigger.run()]

    return asyncio.run(collect())


def make_trigger(**fields: Any) -> DeliveryTrigger:
    return DeliveryTrigger(
        **{
            "classifier": "flowers",
            "window_start": "2026-01-02T02:00:00+00:00",
            "window_end": "2026-01-03T02:00:00+00:00",
            "deadline": (NOW + timedelta(hours=2)).isoformat(),
            "poll_seconds": 30.0,
            **fields,
        }
    )


def test_a_complete_delivery_is_not_waited_for(sensor, store, clock):
    store.put(f"{PREFIX}_READY", b"")

    assert sensor.execute({}) is None


def test_where_nothing_was_delivered_nothing_is_waited_for(sensor, store, clock):
    store.objects.clear()

    assert sensor.execute({}) is None


def test_a_delivery_that_is_not_complete_is_left_to_the_triggerer_with_an_absolute_deadline(sensor, store, clock):
    deferral = deferred_by(sensor)

    deadline = (NOW + timedelta(minutes=120)).isoformat()
    assert (deferral.method_name, deferral.kwargs) == ("look_again", {"deadline": deadline})
    assert deferral.trigger.serialize() == (
        "include.orchestration.delivery_sensor.DeliveryTrigger",
        make_trigger(deadline=deadline).serialize()[1],
    )


def test_a_recipe_that_does_not_wait_is_refused_at_once(sensor, store, clock, monkeypatch):
    impatient = make_run(store, make_config(intake={"wait_minutes": 0}))
    monkeypatch.setattr(runs, "this_run", lambda: impatient)

    with pytest.raises(DataContractError) as refusal:
        sensor.execute({})

    assert isinstance(refusal.value, PermanentError)
    assert refusal.value.batch == f"s3://memory/{PREFIX}"
    (told,) = refusal.value.failed_checks
    assert "it holds 1 image and no manifest" in told
    assert "_READY is missing" in told
    assert told.endswith("; waited 0 minutes")


def test_when_it_wakes_and_all_is_there_it_ends_also_after_the_deadline(sensor, store, clock):
    store.put(f"{PREFIX}_READY", b"")

    assert sensor.look_again({}, event=FIRED, deadline=(NOW - timedelta(hours=1)).isoformat()) is None


def test_when_it_wakes_at_the_deadline_and_something_is_missing_the_delivery_is_refused(sensor, store, clock):
    with pytest.raises(DataContractError, match="_READY is missing.*waited 120 minutes"):
        sensor.look_again({}, event=FIRED, deadline=NOW.isoformat())


def test_when_the_marker_was_taken_away_again_it_waits_on_for_the_same_deadline(sensor, store, clock):
    deadline = (NOW + timedelta(seconds=1)).isoformat()

    with pytest.raises(TaskDeferred) as deferral:
        sensor.look_again({}, event=FIRED, deadline=deadline)

    assert deferral.value.kwargs == {"deadline": deadline}
    assert deferral.value.trigger.deadline == deadline


def test_a_trigger_that_could_not_look_is_the_operators_to_mend(sensor, store, clock):
    with pytest.raises(ConfigurationError, match="triggerer: it could not look at the delivery: no connection"):
        sensor.look_again({}, event={"problem": "no connection"}, deadline=NOW.isoformat())


def test_the_trigger_fires_once_the_marker_is_there(store, clock):
    def arrive() -> None:
        if len(clock.slept) == 3:
            store.put(f"{PREFIX}_READY", b"")

    clock.meanwhile = arrive

    assert events_of(revived(make_trigger())) == [TriggerEvent(FIRED)]
    assert clock.slept == [30.0, 30.0, 30.0]


def test_the_trigger_fires_at_the_deadline_and_not_later(store, clock):
    assert events_of(make_trigger(deadline=(NOW + timedelta(seconds=70)).isoformat())) == [TriggerEvent(FIRED)]
    assert clock.slept == [30.0, 30.0, 10.0]


def test_a_triggerer_that_takes_over_does_not_begin_to_wait_anew(sensor, store, clock):
    trigger = deferred_by(sensor).trigger
    clock.now += timedelta(minutes=119, seconds=50)

    assert events_of(revived(trigger)) == [TriggerEvent(FIRED)]
    assert clock.slept == [10.0]


def test_a_store_that_is_away_for_a_while_is_asked_again(store, clock, monkeypatch):
    calls = []

    def lake() -> InMemoryStore:
        calls.append(threading.current_thread())
        if len(calls) < 3:
            raise StorageUnavailableError("list s3://lake/incoming/", "timeout")
        store.put(f"{PREFIX}_READY", b"")
        return store

    monkeypatch.setattr(delivery_sensor, "lake", lake)

    assert events_of(make_trigger()) == [TriggerEvent(FIRED)]
    assert clock.slept == [30.0, 30.0]
    assert threading.main_thread() not in calls


def test_the_store_is_opened_once_and_never_asked_in_the_triggerers_loop(store, clock, monkeypatch):
    threads, opened = [], []

    class WatchedStore(InMemoryStore):
        def exists(self, key):
            threads.append(threading.current_thread())
            return super().exists(key)

    watched = WatchedStore()
    watched.objects.update(store.objects)
    monkeypatch.setattr(delivery_sensor, "lake", lambda: opened.append(1) or watched)

    events_of(make_trigger(deadline=(NOW + timedelta(seconds=70)).isoformat()))

    assert len(opened) == 1
    assert len(threads) == 3
    assert threading.main_thread() not in threads


def test_an_error_that_waiting_cannot_heal_is_told_at_once(store, clock, monkeypatch):
    def lake() -> InMemoryStore:
        raise ConfigurationError("Airflow connection 's3_lake'", "there is none", "Define it")

    monkeypatch.setattr(delivery_sensor, "lake", lake)

    (event,) = events_of(make_trigger())

    assert event.payload == {"problem": "Airflow connection 's3_lake': there is none. Define it"}
    assert clock.slept == []


def test_what_is_delivered_while_the_trigger_waits_is_waited_for_too(store, clock):
    def arrive() -> None:
        if len(clock.slept) == 1:
            store.put(f"{PREFIX}_READY", b"")
            deliver(store, {"daisy/a.png": b"1"}, day=date(2026, 1, 3))
        if len(clock.slept) == 3:
            store.put("incoming/flowers/2026-01-03/_READY", b"")

    clock.meanwhile = arrive

    assert events_of(make_trigger(window_end="2026-01-04T02:00:00+00:00")) == [TriggerEvent(FIRED)]
    assert clock.slept == [30.0, 30.0, 30.0]


def test_a_restarted_trigger_reads_the_recipe_that_its_own_environment_names(store, clock, monkeypatch, tmp_path):
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path / "mistyped"))

    (event,) = events_of(revived(make_trigger()))

    assert "there is no such classifier" in event.payload["problem"]
