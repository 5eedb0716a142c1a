"""The ledger: all splits that were ever given, read from every revision of every batch. It decides nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from include.retraining.intake.batches import all_revisions, read_batch
from include.retraining.intake.relations.near_duplicates import Hashes, parse_hashes
from include.retraining.intake.relations.splits import BIT_OF
from include.retraining.storage.base import ObjectStore

_TEXTS = ("image_id", "group", "key")
_ROWS = pa.schema(
    [
        *((name, pa.large_string()) for name in _TEXTS),
        ("label", pa.dictionary(pa.int32(), pa.string())),
        ("split", pa.uint8()),  # its bit, see `splits.py`
        ("date", pa.date32()),
        ("is_current", pa.bool_()),
        ("has_hash", pa.bool_()),
        ("hash", pa.binary(32)),
    ]
)


@dataclass(frozen=True)
class Ledger:
    """Rows of batches: all of the current revisions, and of superseded ones what those do not repeat.

    About 200 bytes a row. Splits are given as bits (`splits.py`), and where several were given, as their union.

    Attributes:
        rows: Image id, group, key, label, split, day, whether the revision is current, perceptual hash.
    """

    rows: pa.Table

    def followed_by(self, day: date, frames: Iterator[pd.DataFrame]) -> Ledger:
        """Returns the ledger in which a day's current batch consists of these rows; what it held stays known.

        Args:
            day: The day.
            frames: Accepted rows (schema `VERDICTS`).
        """
        superseded = self.rows.set_column(
            _ROWS.get_field_index("is_current"),
            "is_current",
            pc.and_(self.rows["is_current"], pc.not_equal(self.rows["date"], pa.scalar(day))),
        )
        names = {"pixel_sha256": "image_id", "assigned_split": "split"}
        added = [_table(frame.drop(columns="split").rename(columns=names), day, is_current=True) for frame in frames]
        return Ledger(_compact([superseded, *added]))

    def __len__(self) -> int:
        """Rows."""
        return int(self.rows.num_rows)

    @property
    def splits(self) -> np.ndarray:
        """Bit of the split of each row, uint8."""
        return self._numbers("split")

    @property
    def hashes(self) -> Hashes:
        """Perceptual hash of each row."""
        column = self.rows["hash"].combine_chunks()
        words = np.frombuffer(column.buffers()[1] or b"", np.uint64).reshape(-1, 4)
        return Hashes(words[column.offset : column.offset + len(column)], self._numbers("has_hash"))

    @property
    def is_current(self) -> np.ndarray:
        """Tells which rows belong to current batches."""
        return self._numbers("is_current")

    def is_of(self, day: date) -> np.ndarray:
        """Tells which rows belong to any revision of a day's batch."""
        return np.asarray(pc.equal(self.rows["date"], pa.scalar(day)).to_numpy())

    def is_current_before(self, day: date) -> np.ndarray:
        """Tells which rows belong to the current batches of earlier days."""
        return np.asarray(self.is_current & pc.less(self.rows["date"], pa.scalar(day)).to_numpy())

    def images_before(self, image_ids: pd.Series, day: date) -> pd.DataFrame:
        """Returns those of some images that the current batches of earlier days hold.

        Returns:
            Columns `label`, `group`, `split` (by name) and `key`, by image id; of an image in several batches, the
            earliest.
        """
        wanted = pc.is_in(self.rows["image_id"], value_set=_texts(image_ids).unique())
        found = self.rows.filter(pc.and_(wanted, pa.array(self.is_current_before(day))))
        frame = found.select(["image_id", "date", "label", "group", "split", "key"]).to_pandas()
        frame["split"] = frame["split"].map({bit: name for name, bit in BIT_OF.items()}).astype(str)
        frame["label"] = frame["label"].astype(str)
        return frame.sort_values(["date", "key"]).drop_duplicates("image_id").set_index("image_id").drop(columns="date")

    def splits_given(self, column: str, values: pd.Series, tiers: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the splits that rows with certain values were given, uint8, with the shape of `values`.

        Args:
            column: `image_id` or `group`.
            values: What to look up.
            tiers: Which rows count, bool; of a value that has rows in several tiers, those in the first.
        """
        wanted = _texts(values)
        distinct = wanted.unique()
        number = pc.fill_null(pc.index_in(self.rows[column], value_set=distinct), -1).to_numpy()
        chosen = np.zeros(len(distinct), np.uint8)
        for is_in_tier in tiers:
            union = np.zeros(len(distinct), np.uint8)
            rows = np.flatnonzero((number >= 0) & is_in_tier)
            np.bitwise_or.at(union, number[rows], self.splits[rows])
            chosen = np.where(chosen == 0, union, chosen)
        return np.asarray(chosen[pc.index_in(wanted, value_set=distinct).to_numpy()])

    def is_settled(self, image_ids: pd.Series, groups: pd.Series) -> np.ndarray:
        """Tells which images were accepted before in just these groups."""
        held = self.rows.filter(pc.is_in(self.rows["image_id"], value_set=_texts(image_ids).unique()))
        pairs = set(zip(held["image_id"].to_pylist(), held["group"].to_pylist(), strict=True))
        return np.array([pair in pairs for pair in zip(image_ids, groups, strict=True)], bool)

    def keys_of(self, numbers: np.ndarray) -> list[str]:
        """Returns the keys of some rows."""
        return list(self.rows["key"].take(pa.array(numbers)).to_pylist())

    def holds(self, column: str, values: Sequence[str]) -> np.ndarray:
        """Tells which rows have one of some values in a column, `image_id` or `group`."""
        return np.asarray(pc.is_in(self.rows[column], value_set=pa.array(values, pa.large_string())).to_numpy())

    def first_keys(self, column: str, which: np.ndarray) -> dict[str, str]:
        """Returns the smallest key of some rows, by their value in a column."""
        held = self.rows.select([column, "key"]).filter(pa.array(which)).to_pandas()
        return dict(held.groupby(column)["key"].min())

    def _numbers(self, name: str) -> np.ndarray:
        return np.asarray(self.rows[name].to_numpy())


def read_ledger(store: ObjectStore, classifier: str) -> Ledger:
    """Reads all revisions of all batches of a classifier, one at a time.

    Raises:
        ArtifactIntegrityError: If a published revision is not what its manifest names.
    """
    tables = []
    for day, revisions in all_revisions(store, classifier).items():
        current = [] if revisions.current is None else [_table(read_batch(store, revisions.current), day)]
        others = [_table(read_batch(store, prefix), day, is_current=False) for prefix in revisions.others]
        tables.append(_compact([*current, *others]) if others else pa.concat_tables(current))
    return Ledger(_compact(tables))


def _table(frame: pd.DataFrame, day: date, *, is_current: bool = True) -> pa.Table:
    hashes = parse_hashes(frame["perceptual_hash"])
    texts = {name: _texts(frame[name]) for name in _TEXTS}
    columns = {
        **texts,
        "label": pa.array(frame["label"], pa.string()).dictionary_encode(),
        "split": pa.array(frame["split"].map(BIT_OF).to_numpy(), pa.uint8()),
        "date": pa.array([day] * len(frame), pa.date32()),
        "is_current": pa.array([is_current] * len(frame), pa.bool_()),
        "has_hash": pa.array(hashes.present),
        "hash": pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(32), len(frame), [None, pa.py_buffer(hashes.words.tobytes())]
        ),
    }
    return pa.table(columns, schema=_ROWS)


def _compact(tables: Sequence[pa.Table]) -> pa.Table:
    """Joins tables, without the superseded rows whose image, group and split other rows have too."""
    table = pa.concat_tables([_ROWS.empty_table(), *tables]).unify_dictionaries()
    superseded = table.filter(pc.invert(table["is_current"]))
    if superseded.num_rows == 0:
        return table.combine_chunks()
    is_involved = pc.is_in(table["image_id"], value_set=pc.unique(superseded["image_id"])).to_numpy()
    facts = table.select(["image_id", "group", "split", "is_current"]).filter(pa.array(is_involved)).to_pandas()
    ordered = facts.sort_values("is_current", ascending=False, kind="stable")
    is_repeated = ordered.duplicated(["image_id", "group", "split"]).reindex(facts.index) & ~facts["is_current"]
    kept = np.ones(table.num_rows, bool)
    kept[is_involved] = ~is_repeated.to_numpy()
    return table.filter(pa.array(kept)).combine_chunks()


def _texts(values: pd.Series) -> pa.Array:
    array = pa.array(values, pa.large_string())
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
