from __future__ import annotations

import json
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.retraining.dataset.snapshot import COUNTS, IMAGES, freeze, read_snapshot, rows_of
from include.retraining.errors import (
    ArtifactIntegrityError,
    ConfigurationError,
    DataContractError,
    InsufficientDataError,
)
from include.retraining.schemas import SNAPSHOT
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import publish, read_published, sha256
from include.retraining.storage.tables import to_parquet
from tests.builders import LABELS, WINDOW, make_config, make_run
from tests.datasets import accept, row
from tests.stores import DyingStore

DAY = date(2026, 1, 2)
HASH = sha256(b"perceptual")
BEFORE, AFTER = DAY - timedelta(days=1), DAY + timedelta(days=1)

# Two train images and one for validation of each class: the least that can be frozen.
LEAST = [row(f"{label} {split} {n}", label, split=split) for label in LABELS for split, n in
         (("train", 0), ("train", 1), ("validation", 0))]  # fmt: skip


@pytest.fixture
def store() -> InMemoryStore:
    store = InMemoryStore()
    accept(store, DAY, LEAST)
    return store


def splits(store: InMemoryStore, uri: str) -> dict[str, str]:
    rows = read_snapshot(store, uri)
    return dict(zip(rows["image_id"], rows["split"], strict=True))


def test_a_snapshot_holds_every_image_once_sorted_with_its_split_and_its_day(store: InMemoryStore):
    accept(store, BEFORE, [row("z", "poppy", split="test", group="g", attributes='{"site":"north"}')])
    record = freeze(make_run(store))
    rows = read_snapshot(store, record.uri)
    assert list(rows.columns) == SNAPSHOT.names
    assert list(rows["image_id"]) == sorted({one["image_id"] for one in LEAST} | {"z"})
    first = rows.set_index("image_id").loc["z"]
    assert (first["split"], first["date"], first["group"], first["label"]) == ("test", BEFORE, "g", "poppy")
    assert first["attributes"] == '{"site":"north"}'
    assert record.counts["train"] == dict.fromkeys(LABELS, 2)
    assert record.counts["test"] == {"daisy": 0, "poppy": 1, "orchid": 0}
    assert list(record.batch_uris) == [BEFORE, DAY]
    assert (record.window_end, record.conflicts) == (WINDOW.end, 0)


def test_a_repeat_writes_nothing_and_says_the_same(store: InMemoryStore):
    record = freeze(make_run(store))
    assert freeze(make_run(DyingStore(writes=0, objects=store.objects))) == record


def test_only_days_that_the_window_sees_are_in_it(store: InMemoryStore):
    expected = freeze(make_run(store))
    accept(store, AFTER, [row("from the future", split="train")])
    assert freeze(make_run(store)) == expected


def test_a_batch_that_was_not_accepted_to_the_end_is_not_in_it(store: InMemoryStore):
    expected = freeze(make_run(store)).digest
    other = InMemoryStore()
    accept(other, BEFORE, [row("half", split="train")])
    store.objects.update({key: body for key, body in other.objects.items() if not key.endswith("current.json")})
    assert freeze(make_run(store)).digest == expected


def test_a_batch_whose_table_was_changed_is_refused(store: InMemoryStore):
    (key,) = [found.key for found in store.list("batches/") if found.key.endswith(".parquet")]
    store.put(key, store.get(key)[:-1])
    with pytest.raises(ArtifactIntegrityError, match=key):
        freeze(make_run(store))


@settings(max_examples=15)
@given(random=st.randoms())
def test_the_digest_depends_neither_on_the_order_of_rows_nor_on_the_order_in_which_days_were_accepted(random):
    days = {BEFORE: LEAST, DAY: [row("x", split="test"), row("y", "poppy", group="g"), row("z", "orchid")]}
    expected = None
    for _ in range(2):
        store = InMemoryStore()
        for day, rows in random.sample(sorted(days.items()), 2):
            accept(store, day, random.sample(rows, len(rows)))
        digest = freeze(make_run(store)).digest
        assert expected in (None, digest)
        expected = digest


def test_other_content_has_another_digest(store: InMemoryStore):
    digests = {freeze(make_run(store)).digest}
    for change in (
        {"label": "poppy"},
        {"split": "validation"},
        {"group": "g"},
        {"bytes_sha256": "b"},
        {"perceptual_hash": HASH},
    ):
        other = InMemoryStore()
        accept(other, DAY, [*LEAST, {**row("more", split="train"), **change}])
        digests.add(freeze(make_run(other)).digest)
    assert len(digests) == 6


def test_the_splits_are_those_of_the_batches_whatever_the_recipe_says(store: InMemoryStore):
    config = make_config(dataset={"validation_fraction": 0.1, "test_fraction": 0.8, "salt": "another"})

    found = splits(store, freeze(make_run(store, config)).uri)

    assert found == {one["image_id"]: one["split"] for one in LEAST}


def test_an_image_that_comes_again_keeps_its_first_day_and_a_disagreement_is_counted(store: InMemoryStore):
    twice = LEAST[0]["image_id"]
    accept(store, BEFORE, [row(twice, "daisy", split="train"), row("more", split="train")])
    record = freeze(make_run(store))
    assert record.conflicts == 0
    assert read_snapshot(store, record.uri).set_index("image_id").loc[twice, "date"] == BEFORE

    accept(store, BEFORE, [row(twice, "orchid", split="train"), row("more", split="train")])
    record = freeze(make_run(store))

    assert record.conflicts == 1
    again = read_snapshot(store, record.uri).set_index("image_id").loc[twice]
    assert (again["label"], again["split"]) == ("orchid", "train")


def test_late_files_of_an_old_day_are_in_it(store: InMemoryStore):
    accept(store, BEFORE, [row("early")])
    accept(store, BEFORE, [row("early"), row("late", split="test")])

    found = splits(store, freeze(make_run(store)).uri)

    assert (found["early"], found["late"]) == ("train", "test")


@pytest.mark.parametrize(("days", "is_held"), [(1, False), (2, True), (None, True)])
def test_a_rolling_window_holds_its_last_days_alone(store: InMemoryStore, days: int | None, is_held: bool):
    accept(store, BEFORE, [row("old")])

    record = freeze(make_run(store, make_config(dataset={"rolling_days": days})))

    assert ("old" in splits(store, record.uri)) == is_held
    assert (BEFORE in record.batch_uris) == is_held


def test_the_counts_are_stored_beside_the_images(store: InMemoryStore):
    record = freeze(make_run(store))

    counts = json.loads(read_published(store, key_of(store, record.uri), COUNTS))

    assert counts == record.counts
    assert counts["validation"] == dict.fromkeys(LABELS, 1)


def test_clusters_of_near_duplicates_are_counted(store: InMemoryStore):
    accept(store, BEFORE, [row("one", perceptual_hash=HASH), row("two", perceptual_hash=HASH)])

    assert freeze(make_run(store)).near_duplicate_clusters == 1


@pytest.mark.parametrize(
    ("leaking", "error", "named"),
    [
        ({"image_id": "a"}, DataContractError, "'a' in test (2026-01-02)"),
        ({"image_id": "b", "group": "g"}, DataContractError, "'g' in test (2026-01-02)"),
        ({"image_id": "b", "perceptual_hash": HASH}, ConfigurationError, "b.png' in test (2026-01-02)"),
    ],
    ids=["image", "group", "near-duplicate"],
)
def test_a_leak_is_refused_before_anything_is_written(leaking: dict[str, str], error: type[Exception], named: str):
    store = InMemoryStore()
    accept(store, BEFORE, [row("a", group="g", perceptual_hash=HASH)])
    accept(store, DAY, [*LEAST, row(**{"split": "test", **leaking})])

    with pytest.raises(error) as caught:
        freeze(make_run(store))

    assert named in str(caught.value)
    assert list(store.list("snapshots/")) == []


@pytest.mark.parametrize(
    ("left_out", "message"),
    [
        ("orchid train 1", "The train split needs at least 2 images a class; 'orchid' has 1"),
        ("poppy validation 0", "The validation split needs at least 1 images a class; 'poppy' has 0"),
    ],
)
def test_a_class_with_too_few_images_is_refused_before_anything_is_written(left_out: str, message: str):
    store = InMemoryStore()
    accept(store, DAY, [one for one in LEAST if one["image_id"] != left_out])
    with pytest.raises(InsufficientDataError) as caught:
        freeze(make_run(store))
    assert message in str(caught.value)
    assert list(store.list("snapshots/")) == []


def test_without_any_batch_every_class_is_short():
    with pytest.raises(InsufficientDataError) as caught:
        freeze(make_run(InMemoryStore()))
    assert caught.value.counts == dict.fromkeys(LABELS, 0)


def test_a_label_that_was_taken_out_of_the_recipe_leaves_the_dataset_with_its_images():
    # It is what InsufficientDataError advises; older batches still hold the label.
    store = InMemoryStore()
    accept(store, DAY, LEAST)
    record = freeze(make_run(store, make_config(labels=("daisy", "poppy"))))
    assert set(read_snapshot(store, record.uri)["label"]) == {"daisy", "poppy"}
    assert record.counts["train"] == {"daisy": 2, "poppy": 2}


def test_a_snapshot_that_was_changed_is_not_read(store: InMemoryStore):
    record = freeze(make_run(store))
    store.put(f"{key_of(store, record.uri)}{IMAGES}", b"other")
    with pytest.raises(ArtifactIntegrityError, match="expected sha256"):
        read_snapshot(store, record.uri)


def test_a_snapshot_with_an_image_twice_is_not_read(store: InMemoryStore):
    rows = read_snapshot(store, freeze(make_run(store)).uri)
    publish(store, "snapshots/flowers/twice/", {IMAGES: to_parquet(rows.iloc[[0, 0, 1]], SNAPSHOT)})
    with pytest.raises(ArtifactIntegrityError, match="expected one row an image"):
        read_snapshot(store, "s3://memory/snapshots/flowers/twice/")


def test_the_rows_of_a_split_are_its_own_in_the_order_of_their_ids(store: InMemoryStore):
    rows = read_snapshot(store, freeze(make_run(store)).uri)
    shuffled = rows.sample(frac=1, random_state=np.random.RandomState(0))
    train = rows_of(shuffled, "train")
    assert list(train["image_id"]) == sorted(one["image_id"] for one in LEAST if one["split"] == "train")
    assert list(train.index) == list(range(6))
    assert rows_of(rows, "test").empty
