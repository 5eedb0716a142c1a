"""Many objects at once: threads, bounded, in the order asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from include.retraining.storage.base import ObjectStore

THREADS = 16  # small objects cost a round trip each, and little of a core
READ_AHEAD = 4 * THREADS


def get_many(store: ObjectStore, keys: Sequence[str]) -> Iterator[bytes | None]:
    """Yields the bytes of many objects in the order of their keys; None for a missing one.

    At most `READ_AHEAD` objects wait in memory.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(keys), READ_AHEAD):
            yield from pool.map(lambda key: _get_or_none(store, key), keys[start : start + READ_AHEAD])


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
