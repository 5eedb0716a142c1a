from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components
from include.retraining.embedding.shards import MOST_SHARDS, Shard, extract, keep_shard, plan
from include.retraining.embedding.vectors import read_vectors
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.run import Run
from tests.builders import make_config, make_run
from tests.datasets import pictured, publish_snapshot, split_rows, store_vectors

ROWS = split_rows({"train": {"daisy": 5, "poppy": 3}, "test": {"daisy": 2}})


def run_with(shard_images: int) -> Run:
    return make_run(config=make_config(embedding={"shard_images": shard_images}))


def images_of(shards: list[Shard]) -> list[str]:
    return [image.image_id for shard in shards for image in shard.images]


def test_every_image_of_every_split_is_planned_once_with_where_it_lies():
    run = run_with(4)
    record, shards = plan(run, publish_snapshot(run, ROWS).uri)
    assert images_of(shards) == sorted(row["image_id"] for row in ROWS)
    by_id = {row["image_id"]: row for row in ROWS}
    for image in (image for shard in shards for image in shard.images):
        assert image.key == by_id[image.image_id]["key"]
        assert image.bytes_sha256 == by_id[image.image_id]["bytes_sha256"]
    assert (record.n_images, record.n_stored, record.n_missing) == (10, 0, 10)
    assert record.components == fingerprint_components(run.config.embedding)
    assert record.fingerprint == fingerprint(record.components)


def test_only_images_without_a_vector_are_planned():
    run = run_with(4)
    snapshot = publish_snapshot(run, ROWS)
    store_vectors(run, ROWS[::2], np.ones((5, 2), np.float32))
    record, shards = plan(run, snapshot.uri)
    assert images_of(shards) == sorted(row["image_id"] for row in ROWS[1::2])
    assert (record.n_images, record.n_stored, record.n_missing) == (10, 5, 5)


def test_vectors_of_images_that_are_not_in_the_snapshot_do_not_count():
    run = run_with(4)
    store_vectors(run, [{"image_id": "elsewhere"}], np.ones((1, 2), np.float32))
    record, _ = plan(run, publish_snapshot(run, ROWS).uri)
    assert (record.n_stored, record.n_missing) == (0, 10)


def test_where_every_vector_is_stored_there_is_no_shard():
    run = run_with(4)
    snapshot = publish_snapshot(run, ROWS)
    store_vectors(run, ROWS, np.ones((10, 2), np.float32))
    record, shards = plan(run, snapshot.uri)
    assert shards == []
    assert (record.n_stored, record.n_missing) == (10, 0)


def test_vectors_of_another_extractor_are_computed_anew():
    run = run_with(4)
    snapshot = publish_snapshot(run, ROWS)
    store_vectors(run, ROWS, np.ones((10, 2), np.float32))
    other = make_run(run.store, make_config(embedding={"image_size": 64}))
    assert plan(other, snapshot.uri)[0].n_missing == 10


def test_a_shard_says_which_of_how_many_it_is():
    run = run_with(4)
    _, shards = plan(run, publish_snapshot(run, ROWS).uri)
    assert [shard.label for shard in shards] == [
        "shard 1/3 · 3 images",
        "shard 2/3 · 3 images",
        "shard 3/3 · 4 images",
    ]


def test_a_kept_shard_comes_back_whole():
    run = run_with(4)
    _, shards = plan(run, publish_snapshot(run, ROWS).uri)
    assert [run.load(keep_shard(run, index, shard), Shard) for index, shard in enumerate(shards)] == shards


@pytest.fixture(scope="module")
def cut():
    """Cuts as many images as asked for into shards, without a snapshot each time."""
    from include.retraining.embedding.shards import ShardImage, _cut

    images = [ShardImage(f"{number:05d}", "k", "b") for number in range(5000)]
    return lambda number, size: _cut(images[:number], size)


@given(number=st.integers(0, 5000), size=st.integers(1, 3000))
def test_shards_are_even_no_larger_than_asked_and_never_more_than_airflow_shows_well(cut, number: int, size: int):
    shards = cut(number, size)
    lengths = [len(shard.images) for shard in shards]
    assert images_of(shards) == [f"{index:05d}" for index in range(number)]
    assert len(shards) <= MOST_SHARDS == 64
    assert max(lengths, default=0) <= max(size, -(-number // MOST_SHARDS))
    assert max(lengths, default=0) - min(lengths, default=0) <= 1
    assert all(lengths)


def small_run() -> Run:
    return make_run(config=make_config(embedding={"image_size": 32, "layers": ["block_2"], "batch_size": 4}))


def test_the_vectors_of_a_shard_are_those_of_its_images_and_nothing_is_missing_afterwards():
    from include.retraining.embedding.extractor import build_extractor
    from include.retraining.pictures import decode_image

    run = small_run()
    rows = pictured(run.store, ROWS)
    snapshot = publish_snapshot(run, rows)
    record, (shard,) = plan(run, snapshot.uri)
    uri = extract(run, shard)
    assert uri.startswith(f"s3://memory/embeddings/{record.fingerprint}/")
    images = [decode_image(run.store.get(row["key"])) for row in rows]
    expected = build_extractor(run.config.embedding).embed(images)
    found = read_vectors(run.store, record.fingerprint, [row["image_id"] for row in rows])
    assert np.array_equal(found, expected)
    record, shards = plan(run, snapshot.uri)
    assert (record.n_missing, shards) == (0, [])


def test_a_shard_that_is_computed_twice_gives_one_part():
    run = small_run()
    _, (shard,) = plan(run, publish_snapshot(run, pictured(run.store, ROWS)).uri)
    uri = extract(run, shard)
    before = dict(run.store.objects)
    assert extract(run, shard) == uri
    assert run.store.objects == before


def test_an_image_that_changed_since_it_was_accepted_gets_no_vector():
    run = small_run()
    rows = pictured(run.store, ROWS)
    _, (shard,) = plan(run, publish_snapshot(run, rows).uri)
    run.store.put(rows[3]["key"], run.store.get(rows[4]["key"]))
    with pytest.raises(ArtifactIntegrityError, match="as when it was accepted"):
        extract(run, shard)
    assert list(run.store.list("embeddings/")) == []
