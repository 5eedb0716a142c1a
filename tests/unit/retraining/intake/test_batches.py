from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from include.retraining.artifacts import Window
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.intake.acceptance import accept_batches
from include.retraining.intake.batches import current_batches, earlier_images, read_batch
from include.retraining.schemas import BATCH
from include.retraining.storage.memory import InMemoryStore
from tests.builders import CLASSIFIER, make_run
from tests.unit.retraining.intake.deliveries import verdicts_of

FIRST, SECOND, THIRD = (date(2026, 1, day) for day in (1, 2, 3))


def accepted(store, *rows):
    return accept_batches(make_run(store), verdicts_of(*rows)).batch_uris


def test_a_window_sees_the_current_batches_up_to_its_end():
    store = InMemoryStore()
    uris = accepted(store, *({"date": day, "image": "a.png"} for day in (FIRST, SECOND, THIRD)))
    window = Window(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))

    batches = current_batches(store, CLASSIFIER, window)

    assert {day: f"s3://memory/{prefix}" for day, prefix in batches.items()} == {
        day: uris[day] for day in (FIRST, SECOND)
    }


def test_a_batch_without_its_pointer_is_not_there_yet():
    store = InMemoryStore()
    accepted(store, {"date": FIRST})
    store.delete("batches/flowers/2026-01-01/current.json")

    assert current_batches(store, CLASSIFIER, make_run().window) == {}
    assert earlier_images(store, CLASSIFIER, SECOND).empty


def test_a_batch_is_read_back_by_image_id():
    store = InMemoryStore()
    uris = accepted(
        store,
        {"pixel_sha256": "b", "label": "poppy", "group": "garden", "split": "test"},
        {"pixel_sha256": "a"},
        {"pixel_sha256": "c", "outcome": "quarantined", "reason": "unknown_label"},
    )

    rows = read_batch(store, uris[SECOND].removeprefix("s3://memory/"))

    assert list(rows.columns) == BATCH.names
    assert rows[["image_id", "label", "group", "split"]].to_numpy().tolist() == [
        ["a", "daisy", "", ""],
        ["b", "poppy", "garden", "test"],
    ]


def test_a_batch_that_was_changed_since_is_refused():
    store = InMemoryStore()
    uris = accepted(store, {})
    prefix = uris[SECOND].removeprefix("s3://memory/")
    store.put(f"{prefix}manifest.parquet", b"something else")

    with pytest.raises(ArtifactIntegrityError, match="manifest.parquet"):
        read_batch(store, prefix)


def test_earlier_images_are_those_of_the_days_before():
    store = InMemoryStore()
    accepted(
        store,
        {"date": FIRST, "pixel_sha256": "one", "split": "test"},
        {"date": SECOND, "pixel_sha256": "two", "label": "poppy"},
        {"date": THIRD, "pixel_sha256": "three"},
    )

    earlier = earlier_images(store, CLASSIFIER, THIRD)

    expected = pd.DataFrame({"label": ["daisy", "poppy"], "split": ["test", ""]}, index=["one", "two"])
    pd.testing.assert_frame_equal(earlier, expected.rename_axis("image_id"), check_dtype=False, check_index_type=False)


def test_the_earliest_batch_says_what_an_image_is():
    store = InMemoryStore()
    accepted(
        store,
        {"date": SECOND, "pixel_sha256": "same", "label": "poppy"},
        {"date": FIRST, "pixel_sha256": "same", "label": "daisy"},
    )

    assert earlier_images(store, CLASSIFIER, THIRD)["label"].to_dict() == {"same": "daisy"}


def test_nothing_earlier_is_an_empty_table():
    earlier = earlier_images(InMemoryStore(), CLASSIFIER, FIRST)

    assert (list(earlier.columns), len(earlier)) == (["label", "split"], 0)
