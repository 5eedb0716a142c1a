from __future__ import annotations

import logging
from datetime import UTC, date, datetime

import pytest

from include.retraining.artifacts import Window
from include.retraining.errors import DataContractError
from include.retraining.intake.listing import list_delivery
from include.retraining.schemas import LISTING
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.tables import from_parquet, to_parquet
from tests.builders import make_run
from tests.unit.retraining.intake.deliveries import DAY, deliver

PREFIX = "incoming/flowers/2026-01-02/"


def columns(frame, *names):
    return list(frame[list(names)].itertuples(index=False, name=None))


def test_a_manifest_row_is_joined_with_its_object():
    store = InMemoryStore()
    deliver(store, {"x/a.png": b"12345"}, ["x/a.png,daisy,garden,test"])

    listing = list_delivery(make_run(store))

    assert columns(listing, *LISTING.names) == [(DAY, "x/a.png", f"{PREFIX}x/a.png", 5, "daisy", "garden", "test")]


def test_a_row_without_object_and_an_object_without_row_are_both_listed():
    store = InMemoryStore()
    deliver(store, {"there.png": b"1", "notes.txt": b"22", "_READY": b""}, ["there.png,daisy", "gone.png,poppy"])

    listing = list_delivery(make_run(store))

    assert columns(listing, "image", "key", "size_bytes", "label") == [
        ("there.png", f"{PREFIX}there.png", 1, "daisy"),
        ("gone.png", f"{PREFIX}gone.png", -1, "poppy"),
        ("", f"{PREFIX}notes.txt", 2, ""),
    ]


@pytest.mark.parametrize("name", ["", ".", "/etc/passwd", "../2026-01-01/a.png", "x/../../a.png", "x/../a.png"])
def test_a_name_that_leads_out_of_the_batch_gets_no_key(name):
    store = InMemoryStore()
    deliver(store, {"a.png": b"1"}, ["a.png,daisy", f'"{name}",daisy'])

    listing = list_delivery(make_run(store))

    assert columns(listing, "image", "key", "size_bytes")[1:] == [(name, "", -1)]


def test_a_name_that_begins_with_the_current_folder_means_the_same_object():
    store = InMemoryStore()
    deliver(store, {"a.png": b"1"}, ["./a.png,daisy"])

    assert columns(list_delivery(make_run(store)), "image", "key") == [("./a.png", f"{PREFIX}a.png")]


def test_without_a_manifest_an_image_has_its_folder_as_label():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1", "poppy/deep/b.png": b"2", "stray.png": b"3"})

    listing = list_delivery(make_run(store))

    assert columns(listing, "image", "key", "label") == [
        ("daisy/a.png", f"{PREFIX}daisy/a.png", "daisy"),
        ("poppy/deep/b.png", f"{PREFIX}poppy/deep/b.png", "poppy"),
        ("", f"{PREFIX}stray.png", ""),
    ]


def test_the_days_of_the_window_are_listed_in_order_and_no_other():
    store = InMemoryStore()
    for day in (4, 3, 2, 1):
        deliver(store, {"daisy/a.png": b"1"}, day=date(2026, 1, day))
    window = Window(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC))

    listing = list_delivery(make_run(store, window=window))

    assert list(listing["date"]) == [date(2026, 1, 2), date(2026, 1, 3)]


def test_a_folder_that_is_no_day_is_left_alone_and_named_in_the_log(caplog):
    store = InMemoryStore()
    store.put("incoming/flowers/20260102/daisy/a.png", b"1")
    store.put("incoming/flowers/old stuff/a.png", b"1")

    with caplog.at_level(logging.WARNING):
        listing = list_delivery(make_run(store))

    assert listing.empty
    assert [record.args[0] for record in caplog.records] == [
        "s3://memory/incoming/flowers/20260102/",
        "s3://memory/incoming/flowers/old stuff/",
    ]


def test_no_delivery_is_an_empty_listing_of_the_same_schema():
    store = InMemoryStore()
    store.put(PREFIX, b"")  # what a console writes for an empty folder

    listing = list_delivery(make_run(store))

    assert from_parquet(to_parquet(listing, LISTING), LISTING, "").empty


def test_a_marker_or_manifest_without_any_image_is_refused():
    store = InMemoryStore()
    deliver(store, {"_READY": b""}, [])

    with pytest.raises(DataContractError, match="holds _READY and labels.csv but no image: deliver the images"):
        list_delivery(make_run(store))


def test_an_unreadable_manifest_names_its_batch():
    store = InMemoryStore()
    deliver(store, {"a.png": b"1", "labels.csv": b"a.png,daisy\n"})

    with pytest.raises(DataContractError) as refusal:
        list_delivery(make_run(store))

    assert refusal.value.batch == "s3://memory/incoming/flowers/2026-01-02/"


def test_a_day_costs_one_listing_of_its_objects():
    class CountingStore(InMemoryStore):
        listed: list[str] = []

        def list(self, prefix):
            self.listed.append(prefix)
            return super().list(prefix)

    store = CountingStore()
    deliver(store, {f"{number}.png": b"1" for number in range(50)}, [f"{number}.png,daisy" for number in range(50)])

    list_delivery(make_run(store))

    assert store.listed == [PREFIX]
