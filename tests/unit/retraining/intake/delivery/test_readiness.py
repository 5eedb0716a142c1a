from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from include.retraining.artifacts import Window
from include.retraining.intake.delivery.readiness import UnfinishedDelivery, is_complete, unfinished
from include.retraining.run import Run
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_config, make_run
from tests.unit.retraining.intake.deliveries import DAY, deliver

PREFIX = "incoming/flowers/2026-01-02/"
MARKER = "_READY is missing, which the data owner writes when everything else is there"


def run_over(store: InMemoryStore, window: Window | None = None, **intake: Any) -> Run:
    fields = {} if window is None else {"window": window}
    return make_run(store, make_config(intake=intake), **fields)


def unfinished_days(run: Run, now: datetime) -> list[date]:
    """The unfinished days, after a check that both questions have the same answer."""
    found = unfinished(run, now)
    assert is_complete(run, now) is not bool(found)
    return [delivery.day for delivery in found]


@pytest.mark.parametrize("complete_when", ["marker", "untouched"])
def test_a_day_for_which_nothing_was_delivered_is_not_waited_for(complete_when):
    store = InMemoryStore()
    store.put("incoming/flowers/", b"")
    store.put(PREFIX, b"")  # what a console writes for an empty folder

    assert unfinished_days(run_over(store, complete_when=complete_when), store.now) == []


def test_a_delivery_without_its_marker_is_described_with_what_is_missing():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1", "daisy/b.png": b"1"})
    store.now += timedelta(minutes=5)
    deliver(store, {}, ["daisy/a.png,daisy"])

    found = unfinished(run_over(store), store.now + timedelta(days=9))

    assert found == (UnfinishedDelivery(DAY, f"s3://memory/{PREFIX}", 2, ("labels.csv",), store.now, MARKER),)
    assert str(found[0]) == (
        "the delivery of 2026-01-02 is not complete: it holds 2 images and labels.csv, the newest change was at "
        f"2026-01-01T00:05:00+00:00; {MARKER}"
    )


def test_the_marker_completes_a_delivery_at_once():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1"})
    run = run_over(store)
    assert unfinished_days(run, store.now) == [DAY]

    store.put(f"{PREFIX}_READY", b"")

    assert unfinished_days(run, store.now) == []


@pytest.mark.parametrize("name", ["deep/_READY", "_READY.txt", "_ready", "_READY/a.png"])
def test_only_the_marker_itself_is_the_marker(name):
    store = InMemoryStore()
    deliver(store, {name: b""})

    assert unfinished_days(run_over(store), store.now) == [DAY]


def test_released_images_alone_are_complete_with_their_manifest():
    store = InMemoryStore()
    deliver(store, {"released/a.png": b"1"})
    run = run_over(store)

    (found,) = unfinished(run, store.now)
    assert "released/labels.csv is missing: the command `release` writes it last" in str(found)
    store.put(f"{PREFIX}released/labels.csv", b"image,label\n")
    assert unfinished_days(run, store.now) == []


@pytest.mark.parametrize("name", ["0.png", "zinnia/a.png"])
def test_released_images_do_not_complete_a_delivery_that_has_begun(name):
    store = InMemoryStore()
    deliver(store, {"released/a.png": b"1", "released/labels.csv": b"image,label\n", name: b"1"})

    (found,) = unfinished(run_over(store), store.now)

    assert (found.n_images, found.manifests) == (2, ("released/labels.csv",))
    assert "_READY is missing" in found.missing


def test_untouched_is_complete_when_the_newest_object_is_old_enough():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1"})
    store.now += timedelta(minutes=20)
    deliver(store, {"daisy/b.png": b"1", "_READY": b""})
    run = run_over(store, complete_when="untouched", untouched_minutes=30)

    assert unfinished_days(run, store.now + timedelta(minutes=29, seconds=59)) == [DAY]
    assert unfinished_days(run, store.now + timedelta(minutes=30)) == []


def test_an_unfinished_upload_says_how_long_nothing_may_change():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1"})

    (found,) = unfinished(run_over(store, complete_when="untouched", untouched_minutes=45), store.now)

    assert "it holds 1 image and no manifest" in str(found)
    assert "once nothing has changed for 45 minutes: the data owner must finish the upload" in str(found)


def test_each_day_of_the_window_counts_and_no_other():
    store = InMemoryStore()
    for day in (5, 4, 3, 2, 1):
        deliver(store, {"daisy/a.png": b"1"}, day=date(2026, 1, day))
    store.put("incoming/flowers/2026-01-03/_READY", b"")
    store.put("incoming/flowers/20260102/daisy/a.png", b"1")
    window = Window(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 5, tzinfo=UTC))

    assert unfinished_days(run_over(store, window), store.now) == [date(2026, 1, 2), date(2026, 1, 4)]


def test_a_look_at_a_large_delivery_reads_no_more_of_its_listing_than_it_must():
    class LazyStore(InMemoryStore):
        listed = 0

        def list(self, prefix):
            for found in super().list(prefix):
                self.listed += 1
                yield found

    store = LazyStore()
    deliver(store, {f"daisy/{number}.png": b"1" for number in range(1000)})
    run = run_over(store)

    assert not is_complete(run, store.now)
    assert store.listed == 1

    store.put(f"{PREFIX}_READY", b"")

    assert is_complete(run, store.now)
    assert store.listed == 1
