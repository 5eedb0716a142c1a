from __future__ import annotations

import json

import numpy as np
import pytest

from include.retraining.embedding.vectors import IDS, VECTORS, read_vectors, stored_ids, write_part
from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST
from tests.stores import DyingStore, holding

FINGERPRINT = "f00d"


def vectors_of(*ids: str) -> np.ndarray:
    """A vector an id that tells which one it is."""
    return np.array([[float(ord(image_id)), -float(ord(image_id)), 0.5] for image_id in ids], np.float32)


def write(store: InMemoryStore, ids: str) -> str:
    return key_of(store, write_part(store, FINGERPRINT, list(ids), vectors_of(*ids)))


@pytest.fixture
def store() -> InMemoryStore:
    store = InMemoryStore()
    write(store, "abc")
    write(store, "de")
    return store


def test_vectors_come_in_the_order_asked_for_from_whichever_part_holds_them(store: InMemoryStore):
    found = read_vectors(store, FINGERPRINT, list("eacd"))
    assert np.array_equal(found, vectors_of(*"eacd"))
    assert found.dtype == np.float32


def test_the_stored_ids_are_those_of_all_parts_of_one_extractor(store: InMemoryStore):
    write_part(store, "beef", ["z"], vectors_of("z"))
    assert stored_ids(store, FINGERPRINT) == set("abcde")
    assert stored_ids(store, "beef") == {"z"}
    assert stored_ids(store, "f00") == set()


def test_a_vector_of_another_extractor_is_not_taken(store: InMemoryStore):
    write_part(store, "beef", ["z"], vectors_of("z"))
    with pytest.raises(ArtifactIntegrityError, match="expected vectors of 2 images, got none of 1 of them"):
        read_vectors(store, FINGERPRINT, ["a", "z"])


def test_where_nothing_is_stored_yet_every_vector_is_missing():
    with pytest.raises(ArtifactIntegrityError, match="none of 2 of them"):
        read_vectors(InMemoryStore(), FINGERPRINT, ["a", "b"])


def test_the_same_shard_computed_twice_is_one_part(store: InMemoryStore):
    before = dict(store.objects)
    write(store, "abc")
    assert store.objects == before


def test_a_shard_that_was_cut_otherwise_the_second_time_gives_the_same_vectors(store: InMemoryStore):
    write(store, "cd")
    assert np.array_equal(read_vectors(store, FINGERPRINT, list("abcde")), vectors_of(*"abcde"))
    assert stored_ids(store, FINGERPRINT) == set("abcde")


@pytest.mark.parametrize("writes", range(3))
def test_a_part_whose_writer_was_killed_is_not_seen_and_a_repeat_completes_it(store: InMemoryStore, writes: int):
    dying = DyingStore(writes, store.objects)
    with pytest.raises(StorageUnavailableError):
        write(dying, "fg")
    left = holding(dying.objects)
    assert stored_ids(left, FINGERPRINT) == set("abcde")
    with pytest.raises(ArtifactIntegrityError):
        read_vectors(left, FINGERPRINT, ["f"])
    write(left, "fg")
    assert np.array_equal(read_vectors(left, FINGERPRINT, list("fa")), vectors_of(*"fa"))


def test_only_parts_that_hold_an_asked_image_are_fetched(store: InMemoryStore):
    read = []

    class WatchedStore(InMemoryStore):
        def get(self, key):
            read.append(key)
            return super().get(key)

    watched = WatchedStore()
    watched.objects.update(store.objects)
    read_vectors(watched, FINGERPRINT, ["d"])
    assert sum(key.endswith(VECTORS) for key in read) == 1


def test_vectors_with_a_flipped_bit_are_refused(store: InMemoryStore):
    part = write(store, "hi")
    body = bytearray(store.get(f"{part}{VECTORS}"))
    body[-1] ^= 1
    store.put(f"{part}{VECTORS}", bytes(body))
    with pytest.raises(ArtifactIntegrityError, match=VECTORS):
        read_vectors(store, FINGERPRINT, ["h"])


@pytest.mark.parametrize("body", [json.dumps(["i", "h"]).encode(), b"not json", b""])
def test_ids_that_were_changed_are_refused_and_give_no_image_another_s_vector(store: InMemoryStore, body: bytes):
    part = write(store, "hi")
    store.put(f"{part}{IDS}", body)
    with pytest.raises(ArtifactIntegrityError, match=IDS):
        read_vectors(store, FINGERPRINT, ["h"])
    with pytest.raises(ArtifactIntegrityError, match=IDS):
        stored_ids(store, FINGERPRINT)


@pytest.mark.parametrize("name", [IDS, VECTORS])
def test_a_part_that_lost_a_file_is_refused(store: InMemoryStore, name: str):
    part = write(store, "hi")
    store.delete(f"{part}{name}")
    with pytest.raises(ArtifactIntegrityError, match=name):
        read_vectors(store, FINGERPRINT, ["h"])


def test_a_part_whose_manifest_was_forged_is_refused(store: InMemoryStore):
    part = write(store, "hi")
    store.put(f"{part}{MANIFEST}", b'{"digest": "d", "files": {}}')
    with pytest.raises(ArtifactIntegrityError, match=MANIFEST):
        read_vectors(store, FINGERPRINT, ["h"])


def test_an_image_that_is_asked_for_twice_is_refused(store: InMemoryStore):
    with pytest.raises(ValueError, match="Expected distinct ids; got 3 of which 2 differ"):
        read_vectors(store, FINGERPRINT, list("aba"))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_never_stored(store: InMemoryStore, bad: float):
    vectors = vectors_of("x", "y")
    vectors[1, 2] = bad
    with pytest.raises(ValueError, match="Expected finite vectors"):
        write_part(store, FINGERPRINT, ["x", "y"], vectors)
    assert stored_ids(store, FINGERPRINT) == set("abcde")


def test_as_many_vectors_as_ids_are_expected(store: InMemoryStore):
    with pytest.raises(ValueError, match="got 1 ids and 2 vectors"):
        write_part(store, FINGERPRINT, ["x"], vectors_of("x", "y"))
