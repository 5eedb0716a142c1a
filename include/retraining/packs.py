"""Packs: the small images of a day's delivery, many in one object, since a request costs more than a small image does.

A pack is a cache and nothing else. Whoever reads an image from one compares it with the sha256 that intake accepted,
and reads the delivered object where the pack is missing or damaged; a bucket without packs works. Reading images, out
of packs or not, is in `dataset/images.py`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from itertools import accumulate

import pyarrow as pa
import pyarrow.compute as pc

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.schemas import PACK_INDEX
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, StoredObject, uri_of
from include.retraining.storage.parallel import get_many
from include.retraining.storage.publishing import sha256
from include.retraining.storage.tables import arrow_to_parquet, from_parquet, to_arrow

logger = logging.getLogger(__name__)

SMALL_BYTES = 64 * 2**10  # of a larger image the request is no longer the greater part of the cost
PACK_BYTES = 8 * 2**20
MOST_PACK_BYTES = PACK_BYTES + SMALL_BYTES
FEWEST_IMAGES = 16  # fewer are as soon read one by one
PACK, INDEX = ".bin", ".parquet"


@dataclass(frozen=True)
class Place:
    """Where in a pack an image lies.

    Attributes:
        pack: Key of the pack.
        offset: Of its first byte.
        size_bytes: How many it has.
    """

    pack: str
    offset: int
    size_bytes: int


def keep_small(
    store: ObjectStore, classifier: str, days: Iterable[date], bodies: Iterable[bytes | None]
) -> Iterator[bytes | None]:
    """Yields the bodies of delivered objects as they come, and keeps the small ones in packs.

    Same bodies in the same order give packs of the same names and bytes. Beside the body that was yielded last, at most
    three packs' bytes are in memory.

    Args:
        store: Where to.
        classifier: Whose images they are.
        days: The day of each body's delivery. Bodies of a day come one after the other: a pack ends where a day does.
        bodies: What the objects hold; None for a missing one.

    Side effects:
        A thread writes packs under `layout.packs`, each before its index; all are written when the last body is taken.
        What a caller that stops early had in hand is not.

    Raises:
        StorageUnavailableError: If a pack cannot be written.
    """
    with ThreadPoolExecutor(1) as pool:
        packer = _Packer(store, classifier, pool)
        for day, body in zip(days, bodies, strict=True):
            packer.add(day, body)
            yield body
        packer.finish()


def locate(store: ObjectStore, classifier: str, day: date, digests: Sequence[str]) -> list[Place | None]:
    """Returns where the packs of a day's delivery hold images; None for an image that none of them holds.

    Args:
        store: Where from.
        classifier: Whose images they are.
        day: Of the delivery.
        digests: sha256 of each image's file, in hexadecimal.

    Returns:
        A place a digest, in their order. The newest packs come first, since those of the last delivery of a day hold
        all of its images. Indexes that cannot be right are passed over with a warning.
    """
    indexes = list(_indexes(store, layout.packs(classifier, day)))
    if not indexes:
        return [None] * len(digests)
    table = pa.concat_tables(indexes)
    wanted = pa.array(map(bytes.fromhex, digests), PACK_INDEX.field("bytes_sha256").type)
    found = table.take(pc.index_in(wanted, value_set=table["bytes_sha256"])).to_pydict()
    return [
        None if pack is None else Place(pack, offset, size)
        for pack, offset, size in zip(found["pack"], found["offset"], found["size_bytes"], strict=True)
    ]


class _Packer:
    """Collects small bodies and has a thread write them whenever there are enough for a pack."""

    def __init__(self, store: ObjectStore, classifier: str, pool: ThreadPoolExecutor) -> None:
        self._store = store
        self._classifier = classifier
        self._pool = pool
        self._day: date | None = None
        self._bodies: list[bytes] = []
        self._size_bytes = 0
        self._writing: Future[None] | None = None

    def add(self, day: date, body: bytes | None) -> None:
        if day != self._day or self._size_bytes >= PACK_BYTES:
            self._flush()
            self._day = day
        if body and len(body) <= SMALL_BYTES:
            self._bodies.append(body)
            self._size_bytes += len(body)

    def finish(self) -> None:
        """Returns when everything is written."""
        self._flush()
        self._wait()

    def _flush(self) -> None:
        self._wait()  # one at a time: a store that is slower than the decoder must not fill the memory
        if self._day is not None and self._bodies:
            prefix = layout.packs(self._classifier, self._day)
            self._writing = self._pool.submit(_write, self._store, prefix, self._bodies)
        self._bodies, self._size_bytes = [], 0

    def _wait(self) -> None:
        if self._writing is not None:
            self._writing.result()
            self._writing = None


def _write(store: ObjectStore, prefix: str, bodies: Sequence[bytes]) -> None:
    by_digest = {hashlib.sha256(body).digest(): body for body in bodies}
    if len(by_digest) < FEWEST_IMAGES:
        return
    content = b"".join(by_digest.values())
    key = f"{prefix}{sha256(content)}{PACK}"
    if store.exists(_index_of(key)) and store.exists(key):
        return
    sizes = [len(body) for body in by_digest.values()]
    ends = list(accumulate(sizes))
    columns = [list(by_digest), [end - size for end, size in zip(ends, sizes, strict=True)], sizes]
    index = pa.table(columns, schema=PACK_INDEX)
    store.put(key, content)
    store.put(_index_of(key), arrow_to_parquet(index))
    logger.info("packed images=%d bytes=%d", len(sizes), len(content))


def _index_of(pack: str) -> str:
    return f"{pack.removesuffix(PACK)}{INDEX}"


def _indexes(store: ObjectStore, prefix: str) -> Iterator[pa.Table]:
    """Yields what is in each pack under a prefix, the newest first, with a column `pack` for its key."""
    objects = {found.key: found for found in store.list(prefix)}
    packs = [found for key, found in objects.items() if key.endswith(PACK) and _index_of(key) in objects]
    packs.sort(key=lambda pack: pack.modified_at, reverse=True)
    bodies = get_many(store, [_index_of(pack.key) for pack in packs])
    for pack, body in zip(packs, bodies, strict=True):
        uri = uri_of(store, _index_of(pack.key))
        try:
            index = _checked(b"" if body is None else body, pack, uri)
        except ArtifactIntegrityError as error:
            logger.warning("a pack's index is passed over, its images are read one by one: %s", error)
            continue
        yield index.append_column("pack", pa.repeat(pack.key, len(index)))


def _checked(body: bytes, pack: StoredObject, uri: str) -> pa.Table:
    """Returns the rows of an index (schema `PACK_INDEX`), each of which lies inside its pack."""
    index = to_arrow(from_parquet(body, PACK_INDEX, uri), PACK_INDEX)
    if any(column.null_count for column in index.columns):
        raise ArtifactIntegrityError(uri, "an index without gaps", "empty fields")
    offsets, sizes = (index[name].to_numpy() for name in ("offset", "size_bytes"))
    if pack.size_bytes > MOST_PACK_BYTES:
        raise ArtifactIntegrityError(uri, f"a pack of at most {MOST_PACK_BYTES} bytes", f"{pack.size_bytes}")
    if len(index) and (offsets.min() < 0 or sizes.min() < 1 or (offsets > pack.size_bytes - sizes).any()):
        raise ArtifactIntegrityError(uri, f"images inside the {pack.size_bytes} bytes of the pack", "others")
    return index
