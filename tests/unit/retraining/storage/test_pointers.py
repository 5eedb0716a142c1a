from __future__ import annotations

import pytest

from include.retraining.artifacts import BatchPointer, ChampionPointer
from include.retraining.errors import ArtifactIntegrityError, PointerMovedError
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.pointers import move_pointer, read_pointer

KEY = "batches/flowers/2026-01-02/current.json"
FIRST, SECOND, THIRD = (BatchPointer(digest=digest, revision=1) for digest in "abc")


@pytest.fixture
def store() -> InMemoryStore:
    store = InMemoryStore()
    move_pointer(store, KEY, FIRST, etag=None)
    return store


def test_a_pointer_that_was_never_set_is_nothing():
    assert read_pointer(InMemoryStore(), KEY, BatchPointer) == (None, None)


def test_a_pointer_moves_with_the_tag_that_was_read(store: InMemoryStore):
    found, etag = read_pointer(store, KEY, BatchPointer)
    assert found == FIRST
    move_pointer(store, KEY, SECOND, etag=etag)
    assert read_pointer(store, KEY, BatchPointer)[0] == SECOND


def test_a_pointer_that_somebody_else_moved_is_not_overwritten(store: InMemoryStore):
    _, etag = read_pointer(store, KEY, BatchPointer)
    move_pointer(store, KEY, SECOND, etag=etag)
    with pytest.raises(PointerMovedError, match=r"s3://memory/batches/flowers/2026-01-02/current\.json was moved"):
        move_pointer(store, KEY, THIRD, etag=etag)
    assert read_pointer(store, KEY, BatchPointer)[0] == SECOND


def test_the_first_pointer_of_two_writers_wins(store: InMemoryStore):
    with pytest.raises(PointerMovedError):
        move_pointer(store, KEY, SECOND, etag=None)
    assert read_pointer(store, KEY, BatchPointer)[0] == FIRST


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"digest": "a"}', b'{"digest": "a", "revision": "many"}'])
def test_a_pointer_that_cannot_be_read_is_an_error_and_not_taken_for_none(store: InMemoryStore, body: bytes):
    store.put(KEY, body)
    with pytest.raises(ArtifactIntegrityError, match="expected a BatchPointer record"):
        read_pointer(store, KEY, BatchPointer)


def test_a_pointer_of_another_kind_is_refused(store: InMemoryStore):
    with pytest.raises(ArtifactIntegrityError, match="expected a ChampionPointer record"):
        read_pointer(store, KEY, ChampionPointer)
