from __future__ import annotations

from datetime import UTC, date, datetime

import pandas as pd
import pytest

from include.retraining.artifacts import Window
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.intake.batches import TABLE, all_revisions, current_batches, read_batch
from include.retraining.schemas import BATCH
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import publish
from include.retraining.storage.tables import to_parquet
from tests.builders import CLASSIFIER, make_run
from tests.datasets import accept, row

FIRST, SECOND, THIRD = (date(2026, 1, day) for day in (1, 2, 3))


def test_a_window_sees_the_current_batches_up_to_its_end():
    store = InMemoryStore()
    for day in (THIRD, FIRST, SECOND):
        accept(store, day, [row(f"of {day}")])
    window = Window(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC))

    batches = current_batches(store, CLASSIFIER, window)

    assert list(batches) == [FIRST, SECOND]
    assert [list(read_batch(store, prefix)["image_id"]) for prefix in batches.values()] == [
        ["of 2026-01-01"],
        ["of 2026-01-02"],
    ]


def test_a_batch_without_its_pointer_does_not_count_yet_and_is_known():
    store = InMemoryStore()
    accept(store, FIRST, [row("a")])
    store.delete(layout.current_batch(CLASSIFIER, FIRST))

    assert current_batches(store, CLASSIFIER, make_run().window) == {}
    revisions = all_revisions(store, CLASSIFIER)[FIRST]
    assert revisions.current is None
    assert [list(read_batch(store, prefix)["image_id"]) for prefix in revisions.others] == [["a"]]


def test_every_revision_of_every_day_is_known():
    store = InMemoryStore()
    accept(store, SECOND, [row("x")])
    for image in ("a", "b", "c"):
        accept(store, FIRST, [row(image)])

    revisions = all_revisions(store, CLASSIFIER)

    assert list(revisions) == [FIRST, SECOND]
    assert read_batch(store, revisions[FIRST].current)["image_id"].item() == "c"
    assert {read_batch(store, prefix)["image_id"].item() for prefix in revisions[FIRST].others} == {"a", "b"}
    assert revisions[SECOND].others == ()


def test_a_revision_that_was_not_published_to_its_end_does_not_exist():
    store = InMemoryStore()
    accept(store, FIRST, [row("a")])
    store.put(f"{layout.batch(CLASSIFIER, FIRST, 'half')}manifest.parquet", b"half")

    assert all_revisions(store, CLASSIFIER)[FIRST].others == ()


def test_a_batch_is_read_back():
    store = InMemoryStore()
    accept(store, FIRST, [row("a"), row("b", "poppy", group="garden", split="test", pinned=True)])
    (prefix,) = current_batches(store, CLASSIFIER, make_run().window).values()

    rows = read_batch(store, prefix)

    assert list(rows.columns) == BATCH.names
    assert rows[["image_id", "label", "group", "split", "pinned"]].to_numpy().tolist() == [
        ["a", "daisy", "", "train", False],
        ["b", "poppy", "garden", "test", True],
    ]


def test_a_batch_of_an_earlier_version_has_no_attributes():
    store = InMemoryStore()
    old = BATCH.remove(BATCH.get_field_index("attributes"))
    body = to_parquet(pd.DataFrame([row("a"), row("b")]), old)
    publish(store, "batches/flowers/2026-01-01/old/", {TABLE: body})

    rows = read_batch(store, "batches/flowers/2026-01-01/old/")

    assert list(rows.columns) == BATCH.names
    assert rows[["image_id", "attributes"]].to_numpy().tolist() == [["a", ""], ["b", ""]]


def test_a_batch_that_was_changed_since_is_refused():
    store = InMemoryStore()
    accept(store, FIRST, [row("a")])
    (prefix,) = current_batches(store, CLASSIFIER, make_run().window).values()
    store.put(f"{prefix}manifest.parquet", b"something else")

    with pytest.raises(ArtifactIntegrityError, match="manifest.parquet"):
        read_batch(store, prefix)
