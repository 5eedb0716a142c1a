from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.retraining.artifacts import ExtractorRecord, ImageRef
from include.retraining.dataset.images import read_images
from include.retraining.embedding.extraction import extraction
from include.retraining.embedding.extraction.extraction import extract, regrouped
from include.retraining.embedding.extraction.shards import Shard
from include.retraining.embedding.extractors import workers
from include.retraining.embedding.extractors.extractor import build_extractor
from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components, view_components
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.embedding.store.vectors import read_vectors, stored_part
from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.run import Run
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_config, make_run
from tests.datasets import pictured, split_rows
from tests.stores import DyingStore, holding

PART = 4
N_IMAGES = 10
ROWS = split_rows({"train": {"daisy": N_IMAGES}})
EMBEDDING = {"image_size": 32, "layers": ["block_2"], "batch_size": 3}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(extraction, "PART_IMAGES", PART)


@pytest.fixture
def run() -> Run:
    return make_run(config=make_config(embedding=EMBEDDING))


def extractor_of(run: Run) -> ExtractorRecord:
    """The recipe's own extractor."""
    weights = weights_of(run.config.embedding)
    components = fingerprint_components(run.config.embedding, weights)
    return ExtractorRecord(fingerprint(components), components, weights, origin="the recipe's weights")


def shard_of(run: Run, view: int = 0) -> Shard:
    """A shard of ten images that are in the store."""
    rows = pictured(run.store, ROWS)
    images = tuple(ImageRef(row["image_id"], row["key"], row["bytes_sha256"]) for row in rows)
    return Shard("shard 1/1 · 10 images", view, images)


def ids_of(images: Sequence[ImageRef]) -> list[str]:
    return [image.image_id for image in images]


def stored_parts(run: Run, shard: Shard, vectors_of: str) -> list[bool]:
    """Tells of each part whether it is stored and whole."""
    starts = range(0, len(shard.images), PART)
    parts = [shard.images[start : start + PART] for start in starts]
    return [stored_part(run.store, vectors_of, ids_of(part)) is not None for part in parts]


def parts_in(run: Run) -> dict[str, bytes]:
    """The objects of all parts of all extractors."""
    return {key: body for key, body in run.store.objects.items() if key.startswith("embeddings/") and "/parts/" in key}


def test_the_vectors_of_a_shard_are_those_of_its_images(run):
    shard, extractor = shard_of(run), extractor_of(run)

    uri = extract(run, shard, extractor)

    assert uri == f"s3://memory/embeddings/{extractor.fingerprint}/parts/"
    network = build_extractor(run.store, run.config.embedding, extractor.weights)
    expected = network.embed(list(read_images(run.store, shard.images)))
    assert np.array_equal(read_vectors(run.store, extractor.fingerprint, ids_of(shard.images)), expected)


def test_a_view_is_embedded_from_changed_images_and_stored_under_a_fingerprint_of_its_own(run):
    from include.retraining.embedding.augmentation import build_augmenter

    run = make_run(run.store, make_config(embedding={**EMBEDDING, "views": 2}))
    shard, extractor = shard_of(run, view=2), extractor_of(run)

    extract(run, shard, extractor)

    augment = build_augmenter(run.config.embedding.augmentation)
    images = read_images(run.store, shard.images)
    changed = [augment(image, ref.image_id, 2) for image, ref in zip(images, shard.images, strict=True)]
    expected = build_extractor(run.store, run.config.embedding, extractor.weights).embed(changed)
    vectors_of = fingerprint(view_components(extractor.components, run.config.embedding, 2))
    assert vectors_of != extractor.fingerprint
    assert np.array_equal(read_vectors(run.store, vectors_of, ids_of(shard.images)), expected)
    assert stored_parts(run, shard, extractor.fingerprint) == [False] * 3


def test_a_repeat_writes_nothing_and_needs_no_network(run, monkeypatch):
    shard, extractor = shard_of(run), extractor_of(run)
    uri = extract(run, shard, extractor)
    before = dict(run.store.objects)
    monkeypatch.setattr(workers, "_ready", {})
    monkeypatch.setattr(workers, "build_extractor", None)
    told = []

    assert extract(run, shard, extractor, progress=lambda *done: told.append(done)) == uri

    assert run.store.objects == before
    assert told == [(N_IMAGES, N_IMAGES)]


def test_progress_starts_at_what_is_stored_and_goes_up_to_all_images(run):
    shard, extractor = shard_of(run), extractor_of(run)
    extract(run, Shard("another", 0, shard.images[:PART]), extractor)
    told = []

    extract(run, shard, extractor, progress=lambda *done: told.append(done))

    assert told == [(done, N_IMAGES) for done in (4, 7, 10)]


def test_a_shard_that_is_killed_at_any_write_goes_on_behind_its_last_whole_part():
    complete = make_run(config=make_config(embedding=EMBEDDING))
    shard, extractor = shard_of(complete), extractor_of(complete)
    images_only = dict(complete.store.objects)
    extract(complete, shard, extractor)
    n_writes = len(parts_in(complete))
    assert n_writes >= 9  # three parts, each with files and a manifest

    for writes in range(n_writes):
        dying = make_run(DyingStore(writes, images_only), complete.config)
        with pytest.raises(StorageUnavailableError):
            extract(dying, shard, extractor)
        revived = make_run(holding(dying.store.objects), complete.config)
        whole_parts = stored_parts(revived, shard, extractor.fingerprint)
        told = []
        extract(revived, shard, extractor, progress=lambda *done, told=told: told.append(done))

        assert told[0][0] == sum(whole_parts[:2]) * PART + whole_parts[2] * 2
        assert parts_in(revived) == parts_in(complete)
    assert sum(whole_parts) == 2


def test_a_part_that_could_not_be_written_fails_the_shard_even_if_the_store_recovers():
    class Stumbling(InMemoryStore):
        stumbled = False

        def put(self, key, body, *, content_type="application/octet-stream"):
            if "/parts/" in key and not self.stumbled:
                self.stumbled = True
                raise StorageUnavailableError("put", "busy")
            super().put(key, body, content_type=content_type)

    run = make_run(Stumbling(), make_config(embedding=EMBEDDING))
    shard, extractor = shard_of(run), extractor_of(run)

    with pytest.raises(StorageUnavailableError, match="busy"):
        extract(run, shard, extractor)

    assert stored_parts(run, shard, extractor.fingerprint)[0] is False


def test_an_image_that_changed_since_it_was_accepted_fails_the_shard_and_the_parts_before_it_stay(run):
    shard, extractor = shard_of(run), extractor_of(run)
    run.store.put(shard.images[9].key, run.store.get(shard.images[0].key))

    with pytest.raises(ArtifactIntegrityError, match="as when it was accepted"):
        extract(run, shard, extractor)

    assert stored_parts(run, shard, extractor.fingerprint) == [True, True, False]
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("embedding-")] == []


def test_a_part_whose_bytes_were_damaged_is_computed_again(run):
    shard, extractor = shard_of(run), extractor_of(run)
    extract(run, shard, extractor)
    before = dict(run.store.objects)
    part = stored_part(run.store, extractor.fingerprint, ids_of(shard.images[4:8]))
    (key,) = [key for key in parts_in(run) if key.startswith(key_of(run.store, part)) and "/vectors" in key]
    body = bytearray(run.store.get(key))
    body[-3] ^= 1
    run.store.put(key, bytes(body))
    told = []

    extract(run, shard, extractor, progress=lambda *done: told.append(done))

    assert told[0] == (6, N_IMAGES)
    assert run.store.objects == before


def test_a_worker_whose_network_gives_other_vectors_than_it_should_stores_none(run, monkeypatch):
    def check_golden(*_: object) -> None:
        raise ArtifactIntegrityError("golden", "these vectors", "others")

    shard, extractor = shard_of(run), extractor_of(run)
    monkeypatch.setattr(workers, "_ready", {})
    monkeypatch.setattr(workers, "check_golden", check_golden)

    with pytest.raises(ArtifactIntegrityError, match="golden"):
        extract(run, shard, extractor)

    assert stored_parts(run, shard, extractor.fingerprint) == [False] * 3
    assert workers._ready == {}


def test_the_shards_of_one_process_share_a_network_until_another_is_asked_for(run, monkeypatch):
    built = []

    def build(store: InMemoryStore, config: object, weights: object) -> object:
        built.append(config)
        return build_extractor(store, config, weights)

    monkeypatch.setattr(workers, "_ready", {})
    monkeypatch.setattr(workers, "build_extractor", build)
    shard, extractor = shard_of(run), extractor_of(run)
    other = make_run(run.store, make_config(embedding={**EMBEDDING, "batch_size": 5}))

    extract(run, Shard("1/2", 0, shard.images[:5]), extractor)
    extract(run, Shard("2/2", 0, shard.images[5:]), extractor)
    extract(other, Shard("1/1", 0, shard.images[1:4]), extractor)

    assert built == [run.config.embedding, other.config.embedding]
    assert len(workers._ready) == 1


@given(lengths=st.lists(st.integers(1, 6), max_size=8), sizes=st.lists(st.integers(1, 6), max_size=40))
def test_rows_are_regrouped_in_order_whatever_the_lengths(lengths, sizes):
    rows = np.arange(sum(lengths))[:, None]
    bounds = np.cumsum([0, *sizes])
    arrays = [rows[start:end] for start, end in zip(bounds, bounds[1:], strict=False) if start < len(rows)]
    if sum(sizes) < len(rows):
        arrays.append(rows[bounds[-1] :])

    groups = list(regrouped(iter(arrays), lengths))

    assert [len(group) for group in groups] == lengths
    assert [int(row) for group in groups for row in group[:, 0]] == list(range(len(rows)))
