from __future__ import annotations

import threading
import time

import pytest

from include.retraining.errors import StorageUnavailableError
from include.retraining.storage import parallel
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.parallel import copy_many, get_many, put_many
from tests.stores import DyingStore


class SlowFirstStore(InMemoryStore):
    """Answers for the first key only after it has answered for the second."""

    def __init__(self) -> None:
        super().__init__()
        self.second_is_read = threading.Event()

    def get(self, key: str) -> bytes:
        if key == "k0":
            assert self.second_is_read.wait(10)
        if key == "k1":
            self.second_is_read.set()
        return super().get(key)


class CountingStore(InMemoryStore):
    def __init__(self) -> None:
        super().__init__()
        self.reads = 0

    def get(self, key: str) -> bytes:
        self.reads += 1
        return super().get(key)


def filled(store: InMemoryStore, number: int) -> list[str]:
    keys = [f"k{index}" for index in range(number)]
    for key in keys:
        store.put(key, key.encode())
    return keys


def test_objects_come_in_the_order_of_their_keys_however_slow_the_first_is():
    store = SlowFirstStore()
    keys = filled(store, 8)
    assert list(get_many(store, keys)) == [key.encode() for key in keys]


def test_more_objects_than_are_read_ahead_come_whole_and_in_order():
    store = InMemoryStore()
    keys = filled(store, 2 * parallel.READ_AHEAD + 3)[::-1]
    assert list(get_many(store, keys)) == [key.encode() for key in keys]


def test_no_more_is_read_ahead_than_promised():
    store = CountingStore()
    found = get_many(store, filled(store, 3 * parallel.READ_AHEAD))
    next(found)
    assert store.reads <= parallel.READ_AHEAD
    found.close()


def test_reading_ahead_goes_on_while_objects_are_used():
    store = CountingStore()
    found = get_many(store, filled(store, 3 * parallel.READ_AHEAD))
    for _ in range(parallel.READ_AHEAD + 1):
        next(found)
    deadline = time.monotonic() + 10
    while store.reads < 2 * parallel.READ_AHEAD and time.monotonic() < deadline:
        time.sleep(0.001)
    assert store.reads == 2 * parallel.READ_AHEAD
    found.close()


class MeasuringStore(InMemoryStore):
    """Counts the bytes that were asked for."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self.asked_bytes = 0
        self.lock = threading.Lock()

    def get(self, key: str) -> bytes:
        with self.lock:
            self.asked_bytes += self.size
        return bytes(self.size)


def test_no_more_bytes_are_read_ahead_than_promised(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parallel, "READ_AHEAD_BYTES", 1000)
    store = MeasuringStore(size=300)
    given = 0
    for body in get_many(store, ["k"] * 50, [300] * 50):
        assert store.asked_bytes - given <= 1000
        given += len(body or b"")
    assert given == 50 * 300


def test_an_object_that_is_larger_than_all_that_may_wait_is_read_alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parallel, "READ_AHEAD_BYTES", 1000)
    store = MeasuringStore(size=5000)
    given = 0
    for body in get_many(store, ["k"] * 5, [5000] * 5):
        assert store.asked_bytes - given == 5000
        given += len(body or b"")
    assert given == 5 * 5000


def test_as_many_sizes_as_keys_are_expected():
    with pytest.raises(ValueError, match="shorter"):
        list(get_many(InMemoryStore(), ["a", "b"], [1]))


def test_nothing_more_is_read_once_nobody_asks():
    store = CountingStore()
    before = set(threading.enumerate())
    found = get_many(store, filled(store, 3 * parallel.READ_AHEAD))
    next(found)
    found.close()
    reads = store.reads
    time.sleep(0.02)
    assert store.reads == reads <= parallel.READ_AHEAD
    assert set(threading.enumerate()) <= before


def test_a_missing_object_is_none_in_its_place():
    store = InMemoryStore()
    filled(store, 2)
    assert list(get_many(store, ["k1", "missing", "k0", "missing"])) == [b"k1", None, b"k0", None]
    assert list(get_many(store, [])) == []


def test_a_store_that_is_away_is_an_error_and_not_a_missing_object():
    store = DyingStore(writes=0)
    with pytest.raises(StorageUnavailableError):
        store.put("k", b"")
    with pytest.raises(StorageUnavailableError):
        list(get_many(store, ["k"]))


def test_many_objects_are_written_with_the_content_type_of_their_names():
    seen = {}

    class TypedStore(InMemoryStore):
        def put(self, key, body, *, content_type="application/octet-stream"):
            seen[key] = content_type
            super().put(key, body, content_type=content_type)

    store = TypedStore()
    files = {f"{index}.json": b"%d" % index for index in range(40)}
    put_many(store, files, lambda key: f"type of {key}")
    assert store.objects == files
    assert seen == {key: f"type of {key}" for key in files}


def test_a_write_that_fails_is_raised():
    with pytest.raises(StorageUnavailableError):
        put_many(DyingStore(writes=3), {str(index): b"" for index in range(8)}, str)


def test_many_objects_are_copied_and_a_missing_source_is_raised():
    store = InMemoryStore()
    keys = filled(store, 20)
    copy_many(store, [(key, f"copies/{key}") for key in keys])
    assert [store.get(f"copies/{key}") for key in keys] == [key.encode() for key in keys]
    with pytest.raises(KeyError):
        copy_many(store, [("k0", "x"), ("missing", "y")])
