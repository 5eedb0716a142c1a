"""Which images have a vector, and in which part: answered without reading a vector.

Every part's ids lie in a small file of their own. Where many parts came together, their ids are merged into one sorted
object, which a reader opens instead; parts that are younger than it are read one by one. The parts are the truth: a
merged index only saves reading, and one that is damaged or gone costs time, no answer.

An entry is the first 16 bytes of an id and the number of a part: 20 bytes. The other half of the id is compared when
the part is read; until then two ids would be taken for one where 128 bits of a sha256 agree.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from include.retraining.embedding.store.parts import (
    ID_BYTES,
    IDS,
    StoredPart,
    binary_ids,
    from_arrow,
    ids_of,
    list_parts,
    part_prefix,
    pass_over,
    put_part,
    to_arrow,
)
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import get_many
from include.retraining.storage.publishing import MANIFEST, read_published, sha256

ENTRIES = "entries.arrow"
PARTS = "parts.json"
MOST_LOOSE_PARTS = 32  # two rounds of get_many's threads

_ENTRIES_SCHEMA = pa.schema([("high", pa.uint64()), ("low", pa.uint64()), ("part", pa.uint32())])
_AT_ONCE = 100_000  # a block of questions takes 15 MB

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entries:
    """Sorted entries of an index. All shapes are `(n_entries,)`.

    Attributes:
        high: Bytes 0 to 7 of each id as a number, uint64, ascending.
        low: Bytes 8 to 15, uint64, ascending where `high` is equal.
        part: Position of the part in `parts`, uint32, ascending where the id is equal.
        parts: Names of the parts.
    """

    high: np.ndarray
    low: np.ndarray
    part: np.ndarray
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Index:
    """The ids of all stored vectors of one extractor.

    Attributes:
        parts: The published parts whose ids it knows, in the order of their names.
        merged: Entries of a merged index; none where there is no whole one. Some of its parts may be gone.
        loose: Entries of the parts that the merged index does not cover.
        merged_name: Of the merged index; empty where there is none.
    """

    parts: tuple[StoredPart, ...]
    merged: Entries
    loose: Entries
    merged_name: str

    def missing(self, image_ids: Sequence[str]) -> np.ndarray:
        """Tells for each id whether it has no vector, shape `(n_ids,)`, bool.

        Raises:
            ValueError: If an id is not 64 hexadecimal digits.
        """
        is_missing = np.ones(len(image_ids), bool)
        for start in range(0, len(image_ids), _AT_ONCE):
            rows, _ = self.holders(binary_ids(image_ids[start : start + _AT_ONCE]))
            is_missing[start + rows] = False
        return is_missing

    def holders(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns where ids are stored.

        Args:
            ids: Shape `(n_ids,)`, as `binary_ids` gives them.

        Returns:
            Positions in `ids`, and for each the position in `parts` of a part that holds it; both of shape
            `(n_found,)`, ordered by the first and then the second. An id that lies in two parts is there twice.
        """
        number = {part.name: position for position, part in enumerate(self.parts)}
        high, low = _halves(ids)
        found = [(np.empty(0, np.int64), np.empty(0, np.int64))]
        for entries in (self.merged, self.loose):
            renumbered = np.array([number.get(name, -1) for name in entries.parts], np.int64)
            for rows, at in _lookups(entries, high, low):
                holders = renumbered[entries.part[at]]
                found.append((rows[holders >= 0], holders[holders >= 0]))
        rows, holders = (np.concatenate(each) for each in zip(*found, strict=True))
        order = np.lexsort((holders, rows))
        return rows[order], holders[order]


def open_index(store: ObjectStore, fingerprint: str) -> Index:
    """Returns the index of an extractor's vectors.

    Lists all parts, reads the merged index that covers most of them, and the ids of the parts that it does not cover.
    What is damaged is passed over with a warning: an image whose ids cannot be read counts as missing.
    """
    stored = list_parts(store, fingerprint)
    merged_name, merged = _read_merged(store, fingerprint, {part.name for part in stored})
    covered = set(merged.parts)
    loose = _read_loose(store, fingerprint, [part.name for part in stored if part.name not in covered])
    known = covered.union(loose.parts)
    return Index(tuple(part for part in stored if part.name in known), merged, loose, merged_name)


def merge_index(store: ObjectStore, fingerprint: str) -> None:
    """Merges the ids of all parts into one object, where more than `MOST_LOOSE_PARTS` are in no merged index yet.

    Side effects:
        Publishes the merged index, its manifest last. Then removes all others but the one that it was made from:
        whoever has just chosen that one can still read it. A reader that loses an index all the same takes another
        one, or the parts.
    """
    index = open_index(store, fingerprint)
    if len(index.loose.parts) <= MOST_LOOSE_PARTS:
        return
    entries = _merge(index)
    names = json.dumps(entries.parts).encode()
    name = sha256(names)[:16]
    root = layout.embedding_index(fingerprint)
    put_part(store, f"{root}{name}/", {PARTS: names, ENTRIES: _entries_to_arrow(entries)})
    logger.info("merged index parts=%d vectors=%d name=%s", len(entries.parts), len(entries.high), name)
    for other in set(store.list_folders(root)) - {name, index.merged_name}:
        _remove(store, f"{root}{other}/")


def _remove(store: ObjectStore, prefix: str) -> None:
    store.delete(f"{prefix}{MANIFEST}")  # first: what is half removed must not look published
    for found in list(store.list(prefix)):
        store.delete(found.key)


def _read_merged(store: ObjectStore, fingerprint: str, stored: set[str]) -> tuple[str, Entries]:
    """Returns name and entries of the whole merged index that covers most of the stored parts."""
    root = layout.embedding_index(fingerprint)
    candidates = []
    for name in store.list_folders(root):
        parts = _parts_of_merged(store, f"{root}{name}/")
        candidates.append((len(stored.intersection(parts)), name, parts))
    for n_covered, name, parts in sorted(candidates, reverse=True):
        if not n_covered:
            break
        prefix = f"{root}{name}/"
        try:
            body = read_published(store, prefix, ENTRIES)
            return name, _entries_from_arrow(body, parts, uri_of(store, f"{prefix}{ENTRIES}"))
        except ArtifactIntegrityError as error:
            pass_over(error)
    return "", _no_entries()


def _parts_of_merged(store: ObjectStore, prefix: str) -> tuple[str, ...]:
    """Returns the parts that a merged index covers; none where it is damaged or not finished."""
    if not store.exists(f"{prefix}{MANIFEST}"):
        return ()
    try:
        return tuple(json.loads(read_published(store, prefix, PARTS)))
    except ArtifactIntegrityError as error:
        pass_over(error)
        return ()


def _read_loose(store: ObjectStore, fingerprint: str, names: Sequence[str]) -> Entries:
    keys = [f"{part_prefix(fingerprint, name)}{IDS}" for name in names]
    known: list[str] = []
    halves: list[tuple[np.ndarray, np.ndarray]] = []
    for name, key, body in zip(names, keys, get_many(store, keys), strict=True):
        try:
            halves.append(_halves(ids_of(body, name, uri_of(store, key))))
            known.append(name)
        except ArtifactIntegrityError as error:
            pass_over(error)
    if not known:
        return _no_entries()
    part = np.repeat(np.arange(len(known), dtype=np.uint32), [len(high) for high, _ in halves])
    high, low = (np.concatenate(each) for each in zip(*halves, strict=True))
    return _sorted_entries(high, low, part, tuple(known))


def _merge(index: Index) -> Entries:
    """Returns the entries of all parts that are still there."""
    names = tuple(part.name for part in index.parts)
    number = {name: position for position, name in enumerate(names)}
    columns = []
    for entries in (index.merged, index.loose):
        renumbered = np.array([number.get(name, -1) for name in entries.parts], np.int64)
        part = renumbered[entries.part]
        alive = part >= 0
        columns.append((entries.high[alive], entries.low[alive], part[alive].astype(np.uint32)))
    high, low, part = (np.concatenate(each) for each in zip(*columns, strict=True))
    return _sorted_entries(high, low, part, names)


def _sorted_entries(high: np.ndarray, low: np.ndarray, part: np.ndarray, names: tuple[str, ...]) -> Entries:
    order = np.argsort(high, kind="stable")  # sorted runs one after the other: a merge, not a sort
    ordered = high[order]
    is_equal = ordered[1:] == ordered[:-1]
    if is_equal.any():
        tied = np.flatnonzero(np.append(is_equal, False) | np.insert(is_equal, 0, False))
        among = order[tied]
        order[tied] = among[np.lexsort((part[among], low[among], high[among]))]
    return Entries(ordered, low[order], part[order], names)


def _lookups(entries: Entries, high: np.ndarray, low: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields positions of wanted ids with positions of their entries; one round for every entry of an id."""
    rows = np.argsort(high)  # neighbours in the search are neighbours in memory
    at = np.searchsorted(entries.high, high[rows])
    while len(rows):
        inside = at < len(entries.high)
        rows, at = rows[inside], at[inside]
        equal = entries.high[at] == high[rows]
        rows, at = rows[equal], at[equal]
        equal = entries.low[at] == low[rows]
        yield rows[equal], at[equal]
        at = at + 1


def _halves(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    numbers = np.ascontiguousarray(ids).view(">u8").reshape(-1, ID_BYTES // 8)
    return numbers[:, 0].astype(np.uint64), numbers[:, 1].astype(np.uint64)


def _no_entries() -> Entries:
    return Entries(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.uint32), ())


def _entries_to_arrow(entries: Entries) -> bytes:
    columns: list[Any] = [pa.array(each) for each in (entries.high, entries.low, entries.part)]
    return to_arrow(pa.record_batch(columns, schema=_ENTRIES_SCHEMA))


def _entries_from_arrow(body: bytes, parts: tuple[str, ...], uri: str) -> Entries:
    batch = from_arrow(body, uri)
    if batch.schema != _ENTRIES_SCHEMA:
        raise ArtifactIntegrityError(uri, f"columns {_ENTRIES_SCHEMA.names}", f"columns {batch.schema.names}")
    high, low, part = (column.to_numpy(zero_copy_only=True) for column in batch.columns)
    return Entries(high, low, part, parts)
