from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from include.retraining.storage.base import StoredObject
from include.retraining.storage.memory import InMemoryStore


@pytest.fixture
def store() -> InMemoryStore:
    store = InMemoryStore()
    for key in ("a/2.json", "a/10.json", "a/b/c.png", "a/b/d/e.png", "ab/1.json", "z"):
        store.put(key, key.encode())
    return store


def test_an_object_is_read_as_it_was_written(store: InMemoryStore):
    store.put("k", b"first")
    store.put("k", b"second")
    assert store.get("k") == b"second"
    assert store.get_tagged("k")[0] == b"second"
    assert store.exists("k")


def test_what_is_stored_does_not_change_with_the_buffer_it_came_from(store: InMemoryStore):
    buffer = bytearray(b"first")
    store.put("k", buffer)
    buffer[:] = b"other"
    assert store.get("k") == b"first"


@pytest.mark.parametrize("verb", ["get", "get_tagged"])
def test_a_missing_object_is_a_key_error(store: InMemoryStore, verb: str):
    with pytest.raises(KeyError):
        getattr(store, verb)("missing")
    with pytest.raises(KeyError):
        store.copy("missing", "k")
    assert not store.exists("missing")
    assert not store.exists("k")


def test_a_copy_is_independent_of_its_source(store: InMemoryStore):
    store.copy("z", "copy")
    store.put("z", b"changed")
    assert store.get("copy") == b"z"


def test_a_listing_is_in_key_order_and_bound_by_the_letters_of_the_prefix(store: InMemoryStore):
    assert [found.key for found in store.list("a/")] == ["a/10.json", "a/2.json", "a/b/c.png", "a/b/d/e.png"]
    assert [found.key for found in store.list("a")][-1] == "ab/1.json"
    assert list(store.list("a/2")) == [StoredObject("a/2.json", 8, store.now)]
    assert list(store.list("missing/")) == []


def test_folders_are_listed_once_each_in_order_without_objects_and_what_lies_deeper(store: InMemoryStore):
    assert store.list_folders("") == ("a", "ab")
    assert store.list_folders("a/") == ("b",)
    assert store.list_folders("a/b/") == ("d",)
    assert store.list_folders("a/b/d/") == ()


def test_a_deleted_object_is_gone_and_deleting_it_again_is_no_error(store: InMemoryStore):
    store.delete("z")
    store.delete("z")
    assert not store.exists("z")


def test_a_conditional_write_succeeds_with_the_tag_that_was_read(store: InMemoryStore):
    _, etag = store.get_tagged("z")
    assert store.replace("z", b"new", etag=etag)
    assert store.get("z") == b"new"


def test_a_conditional_write_with_an_old_tag_writes_nothing(store: InMemoryStore):
    _, etag = store.get_tagged("z")
    store.put("z", b"theirs")
    assert not store.replace("z", b"ours", etag=etag)
    assert store.get("z") == b"theirs"


def test_a_conditional_write_that_expects_no_object_succeeds_only_the_first_time(store: InMemoryStore):
    assert store.replace("k", b"ours", etag=None)
    assert not store.replace("k", b"theirs", etag=None)
    assert store.get("k") == b"ours"


def test_a_conditional_write_that_expects_an_object_fails_where_there_is_none(store: InMemoryStore):
    _, etag = store.get_tagged("z")
    store.delete("z")
    assert not store.replace("z", b"ours", etag=etag)
    assert not store.exists("z")


def test_of_many_writers_that_race_exactly_one_wins(store: InMemoryStore):
    _, etag = store.get_tagged("z")
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda number: store.replace("z", b"%d" % number, etag=etag), range(64)))
    assert won.count(True) == 1
    assert store.get("z") == b"%d" % won.index(True)


def test_a_listing_tells_when_each_object_was_last_written_by_the_clock_that_a_test_moves(store: InMemoryStore):
    written = store.now
    store.now = written + timedelta(minutes=5)
    store.put("a/2.json", b"again")
    store.copy("z", "a/z")

    assert {found.key: found.modified_at for found in store.list("a/")} == {
        "a/10.json": written,
        "a/2.json": store.now,
        "a/b/c.png": written,
        "a/b/d/e.png": written,
        "a/z": store.now,
    }
    assert store.now.utcoffset() == timedelta(0)
