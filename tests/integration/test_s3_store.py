from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from embedded.ports import find_free_ports
from embedded.stack import EmbeddedStack
from include.retraining.errors import ConfigurationError, StorageUnavailableError
from include.retraining.storage.s3 import S3Store
from tests.integration.s3_stores import impatient_store, s3_store

N_THREADS = 8
N_ROUNDS = 3


@pytest.fixture
def store(seaweed_stack: EmbeddedStack) -> Iterator[S3Store]:
    with s3_store(seaweed_stack) as opened:
        yield opened


@pytest.fixture
def prefix() -> str:
    """A place in the shared bucket that no other test uses."""
    return f"tests/{uuid4().hex}/"


def test_what_is_put_is_got(store: S3Store, prefix: str) -> None:
    store.put(prefix + "a", b"one", content_type="text/plain")
    store.put(prefix + "a", b"two")

    assert store.get(prefix + "a") == b"two"


@pytest.mark.parametrize("size_bytes", [0, 1, 9_000_001], ids=["empty", "one byte", "several chunks of the server"])
def test_bodies_of_any_size_come_back_whole(store: S3Store, prefix: str, size_bytes: int) -> None:
    body = bytes(index % 251 for index in range(size_bytes))

    store.put(prefix + "body", body)

    assert store.get(prefix + "body") == body
    assert [found.size_bytes for found in store.list(prefix)] == [size_bytes]


@pytest.mark.parametrize("name", ["with space", "ünïcode-µ", "a+b&c=d?e#f", "percent%20sign", "deep/er/still"])
def test_awkward_keys_are_keys(store: S3Store, prefix: str, name: str) -> None:
    store.put(prefix + name, b"x")
    store.copy(prefix + name, prefix + "copy of " + name)

    assert store.get(prefix + "copy of " + name) == b"x"
    assert prefix + name in {found.key for found in store.list(prefix)}


def test_existence_is_of_whole_keys(store: S3Store, prefix: str) -> None:
    store.put(prefix + "folder/object", b"x")

    assert store.exists(prefix + "folder/object")
    assert not store.exists(prefix + "folder/obj")
    assert not store.exists(prefix + "folder")


def test_a_deleted_object_is_gone_and_deleting_again_is_no_error(store: S3Store, prefix: str) -> None:
    store.put(prefix + "a", b"x")

    store.delete(prefix + "a")
    store.delete(prefix + "a")

    assert not store.exists(prefix + "a")
    with pytest.raises(KeyError):
        store.get(prefix + "a")


def test_a_copy_does_not_follow_its_source(store: S3Store, prefix: str) -> None:
    store.put(prefix + "source", b"old")
    store.copy(prefix + "source", prefix + "target")
    store.put(prefix + "source", b"new")

    assert store.get(prefix + "target") == b"old"


def test_a_listing_is_in_key_order_and_goes_past_a_thousand(store: S3Store, prefix: str) -> None:
    keys = [f"{prefix}{number:04d}" for number in range(1_050)]
    with ThreadPoolExecutor(N_THREADS) as pool:
        list(pool.map(lambda key: store.put(key, b"x"), reversed(keys)))

    assert [found.key for found in store.list(prefix)] == keys


def test_a_listing_tells_when_each_object_was_last_written(store: S3Store, prefix: str) -> None:
    store.put(prefix + "a", b"x")
    (first,) = store.list(prefix)
    time.sleep(1.1)  # the server tells the time to the second

    store.put(prefix + "a", b"y")

    (second,) = store.list(prefix)
    assert first.modified_at < second.modified_at
    assert second.modified_at.utcoffset() == timedelta(0)
    assert abs(datetime.now(UTC) - second.modified_at) < timedelta(minutes=1)


def test_a_listing_takes_its_prefix_literally(store: S3Store, prefix: str) -> None:
    store.put(prefix + "day/1", b"x")
    store.put(prefix + "day-2/1", b"x")

    assert [found.key for found in store.list(prefix + "day/")] == [prefix + "day/1"]
    assert list(store.list(prefix + "nothing/")) == []


def test_folders_are_named_without_slashes_and_files_left_out(store: S3Store, prefix: str) -> None:
    for name in ("2026-01-02/a", "2026-01-01/b", "2026-01-01/deep/c", "file"):
        store.put(prefix + name, b"x")

    assert list(store.list_folders(prefix)) == ["2026-01-01", "2026-01-02"]


@pytest.mark.parametrize("verb", ["get", "get_tagged", "copy"])
def test_a_missing_object_is_a_key_error(store: S3Store, prefix: str, verb: str) -> None:
    arguments = [prefix + "missing", prefix + "target"] if verb == "copy" else [prefix + "missing"]

    with pytest.raises(KeyError, match="missing"):
        getattr(store, verb)(*arguments)


def test_replacing_needs_the_tag_that_was_read(store: S3Store, prefix: str) -> None:
    key = prefix + "pointer.json"
    assert store.replace(key, b"one", etag=None)
    _, first = store.get_tagged(key)

    assert store.replace(key, b"two", etag=first)
    assert not store.replace(key, b"three", etag=first)

    body, second = store.get_tagged(key)
    assert body == b"two"
    assert second != first


def test_creating_what_is_there_and_replacing_what_is_not_both_lose(store: S3Store, prefix: str) -> None:
    store.put(prefix + "there", b"x")
    _, etag = store.get_tagged(prefix + "there")

    assert not store.replace(prefix + "there", b"y", etag=None)
    assert not store.replace(prefix + "absent", b"y", etag=etag)

    assert store.get(prefix + "there") == b"x"
    assert not store.exists(prefix + "absent")


@pytest.mark.parametrize("expects_object", [False, True], ids=["create", "replace"])
def test_of_writers_at_the_same_moment_exactly_one_wins(store: S3Store, prefix: str, expects_object: bool) -> None:
    for number in range(N_ROUNDS):
        key = f"{prefix}{number}.json"
        etag = None
        if expects_object:
            store.put(key, b"before")
            etag = store.get_tagged(key)[1]
        together = threading.Barrier(N_THREADS)

        def write(writer: int, *, key: str = key, etag: str | None = etag, start: threading.Barrier = together) -> bool:
            start.wait()
            return store.replace(key, f"writer {writer}".encode(), etag=etag)

        with ThreadPoolExecutor(N_THREADS) as pool:
            won = list(pool.map(write, range(N_THREADS)))

        assert won.count(True) == 1
        assert store.get(key) == f"writer {won.index(True)}".encode()


@pytest.mark.parametrize("verb", ["get", "exists", "put", "replace", "list", "list_folders", "copy", "delete"])
def test_wrong_keys_are_the_operator_s_to_mend(seaweed_stack: EmbeddedStack, verb: str) -> None:
    with s3_store(seaweed_stack, secret_key="not-the-secret") as store, pytest.raises(ConfigurationError) as caught:
        call(store, verb)

    assert "s3_lake" in caught.value.cure


@pytest.mark.parametrize("verb", ["get", "put", "replace", "list", "copy"])
def test_a_missing_bucket_is_the_operator_s_to_mend(seaweed_stack: EmbeddedStack, verb: str) -> None:
    with s3_store(seaweed_stack, bucket="no-such-bucket") as store, pytest.raises(ConfigurationError) as caught:
        call(store, verb)

    assert "NoSuchBucket" in caught.value.problem


@pytest.mark.parametrize("verb", ["get", "exists", "put", "replace", "list", "list_folders", "copy", "delete"])
def test_a_server_that_does_not_answer_may_be_tried_again(seaweed_stack: EmbeddedStack, verb: str) -> None:
    nobody = find_free_ports().s3
    with (
        impatient_store(seaweed_stack, port=nobody) as store,
        pytest.raises(StorageUnavailableError) as caught,
    ):
        call(store, verb)

    assert "s3://lake/key" in caught.value.operation


def test_a_server_that_was_stopped_is_missed_by_an_open_store(fresh_stack: EmbeddedStack) -> None:
    fresh_stack.up(["seaweedfs"])
    with impatient_store(fresh_stack) as store:
        store.put("key", b"x")
        fresh_stack.down()

        with pytest.raises(StorageUnavailableError):
            store.get("key")


def call(store: S3Store, verb: str) -> None:
    """Calls a verb of the store with some arguments."""
    match verb:
        case "put":
            store.put("key", b"x")
        case "replace":
            store.replace("key", b"x", etag=None)
        case "copy":
            store.copy("key", "target")
        case "list":
            list(store.list("key"))
        case _:
            getattr(store, verb)("key")
