from __future__ import annotations

import logging
from datetime import UTC, date, datetime

import pytest

from include.retraining.artifacts import Window
from include.retraining.errors import DataContractError
from include.retraining.intake.delivery.listing import list_delivery
from include.retraining.intake.exchange import keep_listings, recall_listing
from include.retraining.schemas import LISTING
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.tables import from_parquet, to_parquet
from tests.builders import make_config, make_run
from tests.unit.retraining.intake.deliveries import DAY, deliver

PREFIX = "incoming/flowers/2026-01-02/"


def columns(frame, *names):
    return list(frame[list(names)].itertuples(index=False, name=None))


def rows_of(store, **fields):
    return list_delivery(make_run(store, **fields)).rows


def warnings_of(store, **intake):
    return list_delivery(make_run(store, make_config(intake=intake))).warnings


def test_a_manifest_row_is_joined_with_its_object():
    store = InMemoryStore()
    deliver(store, {"x/a.png": b"12345"})
    store.put(f"{PREFIX}labels.csv", b"image,label,group,split,site\nx/a.png,daisy,garden,test,north\n")

    listing = rows_of(store)

    said = ("daisy", "garden", "test", '{"site":"north"}')
    assert columns(listing, *LISTING.names) == [(DAY, "x/a.png", f"{PREFIX}x/a.png", 5, *said)]


def test_what_no_manifest_names_has_no_attributes():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1", "daisy/b.png": b"2"})
    without_manifest = rows_of(store)
    store.put(f"{PREFIX}labels.csv", b"image,label,site\ndaisy/a.png,daisy,north\n")

    assert list(without_manifest["attributes"]) == ["", ""]
    assert columns(rows_of(store), "image", "attributes") == [("daisy/a.png", '{"site":"north"}'), ("", "")]


def test_lines_about_one_image_that_differ_in_attributes_alone_come_in_one_order():
    store = InMemoryStore()
    deliver(store, {"a.png": b"1"})
    lines = [b"a.png,daisy,south", b"a.png,daisy,north"]

    for order in (lines, lines[::-1]):
        store.put(f"{PREFIX}labels.csv", b"\n".join([b"image,label,site", *order]))
        assert list(rows_of(store)["attributes"]) == ['{"site":"north"}', '{"site":"south"}']


def test_a_row_without_object_and_an_object_without_row_are_both_listed():
    store = InMemoryStore()
    deliver(store, {"there.png": b"1", "notes.txt": b"22", "_READY": b""}, ["there.png,daisy", "gone.png,poppy"])

    listing = rows_of(store)

    assert columns(listing, "image", "key", "size_bytes", "label") == [
        ("gone.png", f"{PREFIX}gone.png", -1, "poppy"),
        ("", f"{PREFIX}notes.txt", 2, ""),
        ("there.png", f"{PREFIX}there.png", 1, "daisy"),
    ]


@pytest.mark.parametrize("name", ["", ".", "/etc/passwd", "../2026-01-01/a.png", "x/../../a.png", "x/../a.png"])
def test_a_name_that_leads_out_of_the_batch_gets_no_key(name):
    store = InMemoryStore()
    deliver(store, {"a.png": b"1"}, ["a.png,daisy", f'"{name}",daisy'])

    listing = rows_of(store)

    assert columns(listing, "image", "key", "size_bytes") == [(name, "", -1), ("a.png", f"{PREFIX}a.png", 1)]


def test_a_name_that_begins_with_the_current_folder_means_the_same_object():
    store = InMemoryStore()
    deliver(store, {"a.png": b"1"}, ["./a.png,daisy"])

    assert columns(rows_of(store), "image", "key") == [("./a.png", f"{PREFIX}a.png")]


def test_without_a_manifest_an_image_has_its_folder_as_label():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1", "poppy/deep/b.png": b"2", "stray.png": b"3"})

    listing = rows_of(store)

    assert columns(listing, "image", "key", "label") == [
        ("daisy/a.png", f"{PREFIX}daisy/a.png", "daisy"),
        ("poppy/deep/b.png", f"{PREFIX}poppy/deep/b.png", "poppy"),
        ("", f"{PREFIX}stray.png", ""),
    ]


@pytest.mark.parametrize("name", ["a b.png", "日本 ñ.png", "two\nlines.png", "<script>.png", "a'b.png", "a%2Fb.png"])
def test_an_awkward_name_is_an_objects_name_letter_for_letter(name):
    store = InMemoryStore()
    deliver(store, {name: b"1"}, [f'"{name}", Daisy'])

    assert columns(rows_of(store), "image", "key", "size_bytes", "label") == [(name, f"{PREFIX}{name}", 1, " Daisy")]


def test_every_mention_of_an_image_is_a_row_and_rows_are_in_an_order_that_the_manifests_order_does_not_change():
    lines = [
        "b.png,poppy",
        "a.png,poppy,,test",
        "./a.png,daisy",
        "a.png,poppy",
        "a.png,daisy",
        "../x,daisy",
        "a.png,,g",
    ]
    listings = []
    for order in (lines, lines[::-1]):
        store = InMemoryStore()
        deliver(store, {"b.png": b"1", "a.png": b"1"}, order)
        listings.append(columns(rows_of(store), "key", "image", "label", "split", "group"))

    assert listings[0] == listings[1]
    assert listings[0] == [
        ("", "../x", "daisy", "", ""),
        (f"{PREFIX}a.png", "./a.png", "daisy", "", ""),
        (f"{PREFIX}a.png", "a.png", "", "", "g"),
        (f"{PREFIX}a.png", "a.png", "daisy", "", ""),
        (f"{PREFIX}a.png", "a.png", "poppy", "", ""),
        (f"{PREFIX}a.png", "a.png", "poppy", "test", ""),
        (f"{PREFIX}b.png", "b.png", "poppy", "", ""),
    ]


def test_images_are_in_key_order_through_all_shards():
    store = InMemoryStore()
    names = [f"{number}.png" for number in range(40)]
    deliver(store, dict.fromkeys(names, b"1"), [f"{name},daisy" for name in reversed(names)])
    run = make_run(store, make_config(intake={"shard_images": 7}))

    uris = keep_listings(run, list_delivery(run).rows)

    keys = [key for uri in uris for key in recall_listing(run, uri)["key"]]
    assert keys == sorted(f"{PREFIX}{name}" for name in names)


def test_released_images_are_read_from_their_own_manifest_beside_the_owners():
    store = InMemoryStore()
    deliver(
        store,
        {
            "a.png": b"1",
            "released/a.png": b"22",
            "released/x/b.png": b"333",
            "released/stray.png": b"4",
            "released/labels.csv": b"image,label\na.png,poppy\nx/b.png,daisy\n../a.png,poppy\ngone.png,poppy\n",
        },
        ["a.png,daisy"],
    )

    assert columns(rows_of(store), "image", "key", "size_bytes", "label") == [
        ("../a.png", "", -1, "poppy"),
        ("a.png", f"{PREFIX}a.png", 1, "daisy"),
        ("a.png", f"{PREFIX}released/a.png", 2, "poppy"),
        ("gone.png", f"{PREFIX}released/gone.png", -1, "poppy"),
        ("", f"{PREFIX}released/stray.png", 1, ""),
        ("x/b.png", f"{PREFIX}released/x/b.png", 3, "daisy"),
    ]


def test_with_released_images_released_is_no_label_folder():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1", "released/a.png": b"1", "released/labels.csv": b"image,label\na.png,poppy\n"})

    assert columns(rows_of(store), "image", "key", "label") == [
        ("daisy/a.png", f"{PREFIX}daisy/a.png", "daisy"),
        ("a.png", f"{PREFIX}released/a.png", "poppy"),
    ]


def test_without_their_manifest_released_is_a_folder_like_any_other():
    store = InMemoryStore()
    deliver(store, {"released/a.png": b"1"})

    assert columns(rows_of(store), "image", "label") == [("released/a.png", "released")]


def test_the_days_of_the_window_are_listed_in_order_and_no_other():
    store = InMemoryStore()
    for day in (4, 3, 2, 1):
        deliver(store, {"daisy/a.png": b"1"}, day=date(2026, 1, day))
    window = Window(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC))

    listing = rows_of(store, window=window)

    assert list(listing["date"]) == [date(2026, 1, 2), date(2026, 1, 3)]


def test_a_folder_that_is_no_day_is_left_alone_and_named_in_the_log(caplog):
    store = InMemoryStore()
    store.put("incoming/flowers/20260102/daisy/a.png", b"1")
    store.put("incoming/flowers/old stuff/a.png", b"1")

    with caplog.at_level(logging.WARNING):
        listing = rows_of(store)

    assert listing.empty
    assert [record.args[0] for record in caplog.records] == [
        "s3://memory/incoming/flowers/20260102/",
        "s3://memory/incoming/flowers/old stuff/",
    ]


def test_no_delivery_is_an_empty_listing_of_the_same_schema():
    store = InMemoryStore()
    store.put(PREFIX, b"")  # what a console writes for an empty folder

    listing = rows_of(store)

    assert from_parquet(to_parquet(listing, LISTING), LISTING, "").empty


def test_a_manifest_without_any_image_lists_what_is_missing():
    store = InMemoryStore()
    deliver(store, {"_READY": b""}, ["a.png,daisy"])

    assert columns(rows_of(store), "image", "size_bytes") == [("a.png", -1)]


def test_a_header_without_lines_lists_every_object_as_not_named():
    store = InMemoryStore()
    deliver(store, {"a.png": b"1", "daisy/b.png": b"1"}, [])

    assert columns(rows_of(store), "image", "key", "label") == [
        ("", f"{PREFIX}a.png", ""),
        ("", f"{PREFIX}daisy/b.png", ""),
    ]


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


def test_what_a_manifest_warns_of_is_kept_by_day():
    store = InMemoryStore()
    deliver(store, {"a.png": b"1", "_READY": b"", "labels.csv": b"image;label;\na.png;daisy;\n"})
    deliver(store, {"a.png": b"1", "_READY": b""}, ["a.png,daisy"], day=date(2026, 1, 3))
    window = Window(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC))

    assert list_delivery(make_run(store, window=window)).warnings == {
        DAY: (
            "labels.csv: separated by semicolons, and read so; commas are expected",
            "labels.csv: not used, since a column needs a name of 1 to 64 printable characters, without '=' "
            "and without spaces around it: ''",
        )
    }


def test_a_missing_marker_is_a_warning_only_where_the_recipe_wants_one():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1"})

    assert warnings_of(store, complete_when="untouched") == {}
    ((day, (warning,)),) = warnings_of(store, complete_when="marker").items()
    assert day == DAY
    assert warning == (
        "the delivery may not be complete: _READY is missing, which the data owner writes when everything else is there"
    )

    store.put(f"{PREFIX}_READY", b"")

    assert warnings_of(store, complete_when="marker") == {}


def test_released_images_alone_want_no_marker_but_their_manifest():
    store = InMemoryStore()
    deliver(store, {"released/a.png": b"1"})

    assert "released/labels.csv is missing" in warnings_of(store)[DAY][0]

    store.put(f"{PREFIX}released/labels.csv", b"image,label\na.png,daisy\n")

    assert warnings_of(store) == {}


@pytest.mark.parametrize("name", ["Labels.csv", "label.csv", "labels.json", "LABELS.PARQUET"])
def test_a_name_that_is_nearly_a_manifests_is_told(name):
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1", "daisy/labels.json": b"1", "_READY": b"", name: b"image,label\n"})

    (warning,) = warnings_of(store)[DAY]

    assert warning == f"{name} is no manifest: one is named labels.csv, labels.parquet, labels.jsonl, letter for letter"


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
