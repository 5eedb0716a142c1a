"""Many objects at once: threads, bounded, in the order asked for."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import repeat

from include.retraining.storage.base import ObjectStore

THREADS = 16  # small objects cost a round trip each, and little of a core
READ_AHEAD = 4 * THREADS
READ_AHEAD_BYTES = 64 * 2**20


def get_many(store: ObjectStore, keys: Sequence[str], sizes: Sequence[int] | None = None) -> Iterator[bytes | None]:
    """Yields the bytes of many objects in the order of their keys; None for a missing one.

    At most `READ_AHEAD` objects wait in memory, and where sizes are given at most `READ_AHEAD_BYTES`, or one object
    that is larger; beside them there is the one that was yielded last.

    Args:
        store: Where from.
        keys: Object keys.
        sizes: In bytes, as listed; None where they are not known.
    """
    pool = ThreadPoolExecutor(THREADS)
    waiting: deque[tuple[Future[bytes | None], int]] = deque()
    waiting_bytes = 0
    try:
        for key, size in zip(keys, repeat(0, len(keys)) if sizes is None else sizes, strict=True):
            while waiting and (len(waiting) >= READ_AHEAD or waiting_bytes + size > READ_AHEAD_BYTES):
                found, found_bytes = waiting.popleft()
                waiting_bytes -= found_bytes
                yield found.result()
            waiting.append((pool.submit(_get_or_none, store, key), size))
            waiting_bytes += size
        while waiting:
            yield waiting.popleft()[0].result()
    finally:
        pool.shutdown(cancel_futures=True)  # what has begun ends; nobody asks for the rest


def put_many(store: ObjectStore, files: Mapping[str, bytes], content_type_of: Callable[[str], str]) -> None:
    """Writes many objects, in no order; after a failure what has begun ends, what has not is left out."""
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda key: store.put(key, files[key], content_type=content_type_of(key)), files):
            pass


def copy_many(store: ObjectStore, pairs: Sequence[tuple[str, str]]) -> None:
    """Copies many objects, each from the first key of a pair to the second."""
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda pair: store.copy(*pair), pairs):
            pass


def _get_or_none(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except KeyError:
        return None
