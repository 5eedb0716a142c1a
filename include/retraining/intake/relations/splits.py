"""Which split an accepted image gets, once and for ever. Nothing is read or stored here, and rows are numbers.

Splits are bits here, so that several are a union: the higher the bit, the further from training.
"""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from include.retraining.artifacts import Split
from include.retraining.config import DatasetConfig
from include.retraining.intake.relations.near_duplicates import Hashes, first_neighbours, near_components

BIT_OF: dict[str, int] = {"": 0, "train": 1, "validation": 2, "test": 4}
NAME_OF = {bit: name for name, bit in BIT_OF.items()}
SPLIT_BITS = (1, 2, 4)
TEST = BIT_OF["test"]

_FURTHEST = np.array([0, 1, 2, 2, 4, 4, 4, 4], np.uint8)
_IS_ONE = np.array([False, True, True, False, True, False, False, False])


@dataclass(frozen=True)
class SplitRows:
    """Distinct images of one day that want a split; n rows.

    Attributes:
        image_ids: Shape ``(n,)``, strings.
        groups: Shape ``(n,)``, strings; empty where there is none.
        hashes: Perceptual hashes.
    """

    image_ids: np.ndarray
    groups: np.ndarray
    hashes: Hashes

    def __len__(self) -> int:
        return len(self.image_ids)

    @cached_property
    def group_numbers(self) -> np.ndarray:
        """Number of each row's group, from 0; a row without a group has a number of its own."""
        names = [group or row for row, group in enumerate(self.groups)]
        return np.asarray(pd.factorize(np.array(names, object))[0])


@dataclass(frozen=True)
class Ties:
    """The splits that each row is bound to, as unions of bits; shape ``(n,)`` each, uint8.

    Attributes:
        pin: By the manifest.
        own: By what its image id was ever given.
        group: By its group's other images.
        near: By its near-duplicates.
    """

    pin: np.ndarray
    own: np.ndarray
    group: np.ndarray
    near: np.ndarray

    @property
    def given(self) -> np.ndarray:
        """By all but the manifest."""
        return np.asarray(self.own | self.group | self.near)

    @property
    def strong(self) -> np.ndarray:
        """By all but likeness."""
        return np.asarray(self.pin | self.own | self.group)

    @property
    def all(self) -> np.ndarray:
        """By anything."""
        return np.asarray(self.pin | self.given)


def hashed_split(key: str, config: DatasetConfig) -> Split:
    """Returns the split that a key falls into.

    The key's sha256, read as a fraction of 2**64, is compared with the cumulative fractions: test first, then
    validation, then train. So it depends on nothing but the key and the recipe.

    Args:
        key: Image id, or group where the image has one.
        config: Fractions and salt.
    """
    digest = hashlib.sha256(f"{config.salt}\x00{key}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < config.test_fraction:
        return "test"
    if position < config.test_fraction + config.validation_fraction:
        return "validation"
    return "train"


def is_one_split(bits: np.ndarray) -> np.ndarray:
    """Tells which unions hold exactly one split."""
    return np.asarray(_IS_ONE[bits])


def furthest(bits: np.ndarray) -> np.ndarray:
    """Returns of each union the split that is furthest from training; 0 where it is empty."""
    return np.asarray(_FURTHEST[bits])


def near_splits(queries: Hashes, targets: Hashes, splits: np.ndarray, config: DatasetConfig) -> np.ndarray:
    """Returns the union of the splits of each query's near-duplicates among targets, uint8."""
    if config.near_duplicate_bits is None or not len(targets):
        return np.zeros(len(queries), np.uint8)
    kinds = np.searchsorted(SPLIT_BITS, splits)
    found = first_neighbours(queries, targets, kinds, config.near_duplicate_bits, n_kinds=len(SPLIT_BITS))
    return np.asarray(((found >= 0) * np.array(SPLIT_BITS)).sum(axis=1), np.uint8)


def assign_splits(rows: SplitRows, ties: Ties, config: DatasetConfig) -> tuple[np.ndarray, Ties]:
    """Gives each row the split that all its ties agree on, together with its group and near-duplicates.

    Rows are joined to components by groups and near-duplicates. A component lies where earlier splits tie it, else
    where a pin does, else where the hash of its key does: its smallest group if there is one, else its smallest image
    id; of several, the split furthest from training. Rows with other ties are left out of the component, and tried
    again against what was assigned, until each has a split or cannot have one. So every row that is left over has
    ties that disagree, and assigning once more with what was assigned changes nothing.

    Where no image is dealt to the test split (``test_fraction`` 0), likeness alone does not bring an image into it.

    Args:
        rows: The images.
        ties: What binds them to splits that were given before.
        config: Fractions, salt and near-duplicate distance.

    Returns:
        The bit of each row's split, uint8, 0 where it has none; and the ties, those to the assigned rows added.
    """
    splits = np.zeros(len(rows), np.uint8)
    groups = rows.group_numbers
    pending = _is_free(ties)
    while pending.any():
        numbers = np.flatnonzero(pending)
        given, is_refused = _assign_once(_Pending(rows, ties, groups, numbers), config)
        splits[numbers] = given
        pending[numbers[is_refused | (given != 0)]] = False
        ties = _with_assigned(rows, ties, splits, numbers[given != 0], config)
        pending &= _is_free(ties)
    return splits, ties


@dataclass(frozen=True)
class _Pending:
    """Rows that still want a split: `numbers` among all rows."""

    rows: SplitRows
    ties: Ties
    groups: np.ndarray
    numbers: np.ndarray

    def tied(self, bits: np.ndarray) -> np.ndarray:
        return np.asarray(bits[self.numbers])

    def components(self, which: np.ndarray, config: DatasetConfig) -> np.ndarray:
        """Returns the component of some of the rows, by their places in `numbers`; from 0."""
        numbers = self.numbers[which]
        groups = np.unique(self.groups[numbers], return_inverse=True)[1]
        bits = config.near_duplicate_bits
        if bits is None:
            return groups
        clusters = near_components(self.rows.hashes[numbers], bits)
        n_groups = int(groups.max(initial=-1)) + 1
        n_nodes = n_groups + int(clusters.max(initial=-1)) + 1
        edges = (np.ones(len(numbers), bool), (groups, clusters + n_groups))
        labels = connected_components(coo_array(edges, shape=(n_nodes, n_nodes)), directed=False)[1]
        return np.unique(labels[groups], return_inverse=True)[1]


def _assign_once(pending: _Pending, config: DatasetConfig) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bit of each pending row's split, 0 where it has none yet; and which rows can have none."""
    ties = pending.ties
    components = pending.components(np.arange(len(pending.numbers)), config)
    given, pinned = (_union(pending.tied(bits), components) for bits in (ties.given, ties.pin))
    target = np.where(given != 0, furthest(given), furthest(pinned))
    fits = (pending.tied(ties.all) & ~target) == 0
    is_closed = (target == TEST) & (config.test_fraction == 0)
    pieces = components.copy()
    parted = (_union((~fits).astype(np.uint8), components) != 0) & fits & ~is_closed
    offset = len(pieces)
    pieces[parted] = offset + pending.components(parted, config)
    pieces[is_closed] = 2 * offset + pending.groups[pending.numbers[is_closed]]
    binding = np.where(is_closed, pending.tied(ties.strong), pending.tied(ties.all))
    is_bound = fits & (_union(binding * fits, pieces) != 0)
    splits = np.where(is_bound, target, 0).astype(np.uint8)
    untied = target == 0
    splits[untied] = _hashed(pending, components, untied, config)
    is_refused = is_closed & ~is_bound & (pending.tied(ties.near) & TEST != 0)
    return splits, is_refused


def _hashed(pending: _Pending, components: np.ndarray, which: np.ndarray, config: DatasetConfig) -> list[int]:
    smallest: dict[int, tuple[bool, str]] = {}
    places = [int(component) for component in components[which]]
    numbers = pending.numbers[which]
    for place, group, image_id in zip(
        places, pending.rows.groups[numbers], pending.rows.image_ids[numbers], strict=True
    ):
        key = (group == "", str(group or image_id))
        smallest[place] = min(key, smallest.get(place, key))
    bits = {place: BIT_OF[hashed_split(key, config)] for place, (_, key) in smallest.items()}
    return [bits[place] for place in places]


def _with_assigned(
    rows: SplitRows, ties: Ties, splits: np.ndarray, assigned: np.ndarray, config: DatasetConfig
) -> Ties:
    """Ties the rows that have no split to those that just got one."""
    left = np.flatnonzero(splits == 0)
    if not len(left) or not len(assigned):
        return ties
    groups = rows.group_numbers
    by_group = np.zeros(groups.max() + 1, np.uint8)
    np.bitwise_or.at(by_group, groups[assigned], splits[assigned])
    group, near = ties.group.copy(), ties.near.copy()
    group[left] |= by_group[groups[left]]
    near[left] |= near_splits(rows.hashes[left], rows.hashes[assigned], splits[assigned], config)
    return dataclasses.replace(ties, group=group, near=near)


def _is_free(ties: Ties) -> np.ndarray:
    return np.asarray((ties.all == 0) | is_one_split(ties.all))


def _union(bits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns for each row the union of the bits of all rows with its label."""
    numbers = np.unique(labels, return_inverse=True)[1]
    unions = np.zeros(int(numbers.max(initial=-1)) + 1, np.uint8)
    np.bitwise_or.at(unions, numbers, bits.astype(np.uint8))
    return np.asarray(unions[numbers])
