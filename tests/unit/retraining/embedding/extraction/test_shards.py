from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.retraining.artifacts import ExtractorRecord, ImageRef
from include.retraining.embedding.extraction.shards import (
    MOST_SHARDS,
    Shard,
    cut,
    keep_shard,
    plan,
    recall_shard,
)
from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components, view_components
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.embedding.store.vectors import write_part
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.run import Run
from include.retraining.schemas import SHARD
from include.retraining.storage.base import key_of
from include.retraining.storage.tables import to_parquet
from tests.builders import make_config, make_run
from tests.datasets import publish_snapshot, split_rows

ROWS = split_rows({"train": {"daisy": 5, "poppy": 3}, "test": {"daisy": 2}})
TRAIN_IDS = [row["image_id"] for row in ROWS if row["split"] == "train"]


def run_with(**embedding: object) -> Run:
    return make_run(config=make_config(embedding={"shard_images": 4, **embedding}))


def extractor_of(run: Run) -> ExtractorRecord:
    """The recipe's own extractor."""
    weights = weights_of(run.config.embedding)
    components = fingerprint_components(run.config.embedding, weights)
    return ExtractorRecord(fingerprint(components), components, weights, origin="the recipe's weights")


def view_fingerprint(run: Run, view: int) -> str:
    return fingerprint(view_components(extractor_of(run).components, run.config.embedding, view))


def store_vectors(run: Run, rows: list[dict], vectors_of: str | None = None) -> str:
    """Stores vectors of rows; returns the URI of their part."""
    ids = [row["image_id"] for row in rows]
    return write_part(run.store, vectors_of or extractor_of(run).fingerprint, ids, np.ones((len(ids), 2), np.float32))


def planned(run: Run):
    return plan(run, publish_snapshot(run, ROWS).uri, extractor_of(run))


def ids_of(shards: list[Shard], view: int = 0) -> list[str]:
    return [image.image_id for shard in shards if shard.view == view for image in shard.images]


def test_every_image_of_every_split_is_planned_once_with_where_it_lies():
    run = run_with()

    record, shards = planned(run)

    assert sorted(ids_of(shards)) == sorted(row["image_id"] for row in ROWS)
    by_id = {row["image_id"]: row for row in ROWS}
    for image in (image for shard in shards for image in shard.images):
        assert image.key == by_id[image.image_id]["key"]
        assert image.bytes_sha256 == by_id[image.image_id]["bytes_sha256"]
    assert (record.n_images, record.n_vectors, record.n_stored, record.n_missing, record.n_damaged) == (
        10,
        10,
        0,
        10,
        0,
    )
    assert record.components == extractor_of(run).components
    assert record.fingerprint == fingerprint(record.components)


def test_images_are_planned_in_the_order_in_which_they_lie_in_the_store():
    _, shards = planned(run_with())

    keys = [image.key for shard in shards for image in shard.images]

    assert keys == sorted(keys)


def test_only_images_without_a_vector_are_planned():
    run = run_with()
    store_vectors(run, ROWS[::2])

    record, shards = planned(run)

    assert sorted(ids_of(shards)) == sorted(row["image_id"] for row in ROWS[1::2])
    assert (record.n_images, record.n_stored, record.n_missing) == (10, 5, 5)


def test_vectors_of_images_that_are_not_in_the_snapshot_do_not_count():
    run = run_with()
    store_vectors(run, [{"image_id": "e" * 64}])

    record, _ = planned(run)

    assert (record.n_stored, record.n_missing) == (0, 10)


def test_where_every_vector_is_stored_there_is_no_shard():
    run = run_with()
    store_vectors(run, ROWS)

    record, shards = planned(run)

    assert shards == []
    assert (record.n_stored, record.n_missing, record.why_missing) == (10, 0, ())


def test_a_vector_that_is_stored_in_other_bytes_than_were_published_is_missing_and_said_to_be_damaged():
    run = run_with()
    store_vectors(run, ROWS[:4])
    prefix = key_of(run.store, store_vectors(run, ROWS[4:7]))
    (key,) = [found.key for found in run.store.list(prefix) if found.key[len(prefix) :].startswith("vectors")]
    run.store.put(key, run.store.get(key)[:-1] + b"\x01")

    record, shards = planned(run)

    assert sorted(ids_of(shards)) == sorted(row["image_id"] for row in ROWS[4:])
    assert (record.n_stored, record.n_missing, record.n_damaged) == (4, 6, 3)


def test_vectors_of_another_extractor_are_computed_anew_and_the_plan_says_what_differs():
    run = run_with()
    planned(run)
    store_vectors(run, ROWS)
    other = make_run(run.store, make_config(embedding={"image_size": 64}))

    record, _ = planned(other)

    assert record.n_missing == 10
    (reason,) = record.why_missing
    assert "image_size" in reason
    assert "96" in reason
    assert "64" in reason


def test_a_plan_that_is_made_twice_is_the_same_and_writes_nothing_more():
    run = run_with(views=1)
    first = planned(run)
    before = dict(run.store.objects)

    assert planned(run) == first
    assert run.store.objects == before


def test_views_are_planned_for_train_images_alone_in_shards_of_their_own():
    run = run_with(views=2)

    record, shards = planned(run)

    assert sorted(ids_of(shards, view=1)) == sorted(ids_of(shards, view=2)) == sorted(TRAIN_IDS)
    assert (record.n_images, record.n_vectors, record.n_missing) == (10, 26, 26)
    assert [shard.label for shard in shards] == [
        "shard 1/7 · 3 images",
        "shard 2/7 · 3 images",
        "shard 3/7 · 4 images",
        "shard 4/7 · 4 images · view 1",
        "shard 5/7 · 4 images · view 1",
        "shard 6/7 · 4 images · view 2",
        "shard 7/7 · 4 images · view 2",
    ]


def test_only_those_vectors_of_a_view_are_planned_that_are_not_stored():
    run = run_with(views=2)
    store_vectors(run, ROWS)
    store_vectors(run, ROWS, view_fingerprint(run, 1))

    record, shards = planned(run)

    assert {shard.view for shard in shards} == {2}
    assert sorted(ids_of(shards, view=2)) == sorted(TRAIN_IDS)
    assert (record.n_stored, record.n_missing) == (18, 8)


def test_an_augmentation_that_is_new_is_why_vectors_of_views_are_missing():
    run = run_with(views=1)
    planned(run)
    store_vectors(run, ROWS)
    store_vectors(run, ROWS, view_fingerprint(run, 1))
    other = make_run(run.store, make_config(embedding={"views": 1, "augmentation": {"engine": "keras", "seed": 7}}))

    record, _ = planned(other)

    assert (record.n_stored, record.n_missing) == (10, 8)
    assert "augmentation" in record.why_missing[0]


@pytest.mark.parametrize("view", [0, 3])
def test_a_kept_shard_comes_back_whole(view):
    run = run_with()
    images = tuple(ImageRef(f"{n:064x}", f"k{n}", f"b{n}", "pack" if n % 2 else "", n, 2 * n) for n in range(5))
    shard = Shard("shard 1/1 · 5 images", view, images)

    uri = keep_shard(run, 7, shard)

    assert uri == f"s3://memory/{run.prefix}embedding/shard-0007.parquet"
    assert recall_shard(run, uri) == shard


@pytest.mark.parametrize("body", [b"{}", to_parquet(pd.DataFrame(columns=SHARD.names), SHARD)])
def test_an_object_that_is_no_shard_is_refused(body):
    run = run_with()
    run.store.put("a.parquet", body)

    with pytest.raises(ArtifactIntegrityError, match=r"a\.parquet"):
        recall_shard(run, "s3://memory/a.parquet")


@given(numbers=st.lists(st.integers(0, 2000), min_size=1, max_size=17), size=st.integers(1, 3000))
def test_shards_are_even_no_larger_than_asked_and_never_more_than_airflow_shows_well(numbers, size):
    images = [ImageRef(f"{number:05d}", "k", "b") for number in range(2000)]

    shards = cut({view: images[:number] for view, number in enumerate(numbers)}, size)

    assert len(shards) <= MOST_SHARDS == 64
    at_size = sum(-(-number // size) for number in numbers)
    for view, number in enumerate(numbers):
        lengths = [len(shard.images) for shard in shards if shard.view == view]
        assert ids_of(shards, view) == [f"{index:05d}" for index in range(number)]
        assert all(lengths)
        assert max(lengths, default=0) - min(lengths, default=0) <= 1
        if at_size <= MOST_SHARDS:
            assert len(lengths) == -(-number // size)
    if at_size > MOST_SHARDS:
        assert len(shards) > MOST_SHARDS // 2
