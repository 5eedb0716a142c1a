"""Exact search for perceptual hashes that differ in few bits. What follows from a neighbour is decided elsewhere.

Two hashes that differ in at most d bits agree in at least one of d + 1 disjoint bands of bits (pigeonhole; multi-index
hashing: Norouzi, Punjani and Fleet 2012, doi:10.1109/CVPR.2012.6248043). So each band is sorted, hashes that agree in
it are compared, a block of pairs at a time, and pairs that could tell nothing new are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

HASH_BITS = 256
WORDS = 4  # of 64 bits
BLOCK_PAIRS = 1 << 18
FIRST_SPAN = 64  # hashes of a band that a hash is compared with before it is asked whether it needs more
BAND_BITS = 32  # a band is looked up by at most so many of its bits

# Neighbouring bits of a hash resemble each other: bands of mixed bits tell hashes apart better.
_MIXED = np.random.default_rng(0).permutation(HASH_BITS)
_ODD = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], np.uint64)


@dataclass(frozen=True)
class Hashes:
    """Perceptual hashes of some rows.

    Attributes:
        words: Shape ``(n_rows, 4)``, uint64; zeros where there is none.
        present: Shape ``(n_rows,)``, bool; False for pictures that show next to nothing.
    """

    words: np.ndarray
    present: np.ndarray

    def __len__(self) -> int:
        return len(self.present)

    def __getitem__(self, which: np.ndarray) -> Hashes:
        """Returns the hashes of some rows, by a mask or numbers."""
        return Hashes(self.words[which], self.present[which])

    def followed_by(self, others: Hashes) -> Hashes:
        """Returns these hashes and then others."""
        return Hashes(np.concatenate([self.words, others.words]), np.concatenate([self.present, others.present]))


def parse_hashes(column: pd.Series) -> Hashes:
    """Returns hashes that are written as 64 hexadecimal digits; an empty string means that there is none."""
    texts = ["" if isinstance(text, float) or text is None else text for text in column]
    body = bytes.fromhex("".join(text or "0" * (HASH_BITS // 4) for text in texts))
    words = np.frombuffer(body, np.uint64).reshape(-1, WORDS)
    return Hashes(words, np.array([text != "" for text in texts], bool))


def scrambled(words: np.ndarray) -> np.ndarray:
    """Returns a uint64 for each hash: the same for equal hashes, and in all likelihood another for others."""
    mixed = np.zeros(len(words), np.uint64)
    for number in range(WORDS):
        mixed = (mixed ^ words[:, number]) * _ODD[number]
        mixed ^= mixed >> np.uint64(29)
    return mixed


def first_neighbours(queries: Hashes, targets: Hashes, kinds: np.ndarray, bits: int, *, n_kinds: int) -> np.ndarray:
    """Finds for each query one target of each kind within a Hamming distance.

    Args:
        queries: n hashes.
        targets: m hashes.
        kinds: Kind of each target, shape ``(m,)``, in ``[0, n_kinds)``.
        bits: Largest distance.
        n_kinds: Number of kinds.

    Returns:
        Numbers of targets, shape ``(n, n_kinds)``, int64; -1 where there is none. Of several, the target whose
        `scrambled` hash is smallest, so that neither the order of targets nor their copies decide.
    """
    found = np.full((len(queries), n_kinds), -1)
    asked, asked_of = _distinct(queries.words, np.flatnonzero(queries.present))
    for kind in range(n_kinds):
        held, _ = _distinct(targets.words, np.flatnonzero(targets.present & (kinds == kind)))
        best = _first_of(queries.words[asked], targets.words[held], bits)
        found[queries.present, kind] = np.append(held, -1)[best[asked_of]]
    return found


def near_components(hashes: Hashes, bits: int) -> np.ndarray:
    """Returns the clusters of near-duplicates: hashes that are linked by steps of at most `bits` bits.

    Returns:
        Number of the cluster of each row, shape ``(n_rows,)``, int64, from 0; a row without a hash is alone.
    """
    distinct, number_of = _distinct(hashes.words, np.flatnonzero(hashes.present))
    words = hashes.words[distinct]
    labels = np.arange(len(distinct))
    for band in range(bits + 1 if len(distinct) > 1 else 0):
        labels = _join_band(words, _band_keys(words, band, bits + 1), labels, bits)
    clusters = np.arange(len(hashes)) + len(distinct)
    clusters[hashes.present] = labels[number_of]
    return np.unique(clusters, return_inverse=True)[1]


def _distinct(words: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns one row number for each hash that occurs, ordered by scrambled hash, and each row's number among them."""
    mixed, first, number_of = np.unique(scrambled(words[rows]), return_index=True, return_inverse=True)
    equal = (words[rows] == words[rows[first[number_of]]]).all(axis=1)
    others = np.flatnonzero(~equal)  # two hashes that scramble to one: they stay apart
    number_of[others] = len(mixed) + np.arange(len(others))
    return np.concatenate([rows[first], rows[others]]), number_of


def _first_of(queries: np.ndarray, targets: np.ndarray, bits: int) -> np.ndarray:
    """Returns the number of the first target within reach of each query, ``len(targets)`` where there is none."""
    best = np.full(len(queries), len(targets))
    for band in range(bits + 1 if len(queries) and len(targets) else 0):
        keys = _band_keys(targets, band, bits + 1)
        order = np.argsort(keys, kind="stable")
        ordered, wanted = keys[order], _band_keys(queries, band, bits + 1)
        start = np.searchsorted(ordered, wanted, side="left")
        stop = np.searchsorted(ordered, wanted, side="right")
        _search_spans(queries, targets[order], order, (start, stop), best, bits)
    return best


def _search_spans(
    queries: np.ndarray,
    targets: np.ndarray,
    order: np.ndarray,
    spans: tuple[np.ndarray, np.ndarray],
    best: np.ndarray,
    bits: int,
) -> None:
    """Compares each query with its span of targets, whose numbers rise, until none can be better; updates `best`."""
    start, stop = spans
    active = np.flatnonzero(start < stop)
    width = FIRST_SPAN
    while len(active := active[(start[active] < stop[active])]):
        active = active[order[start[active]] < best[active]]
        ends = np.minimum(start[active] + width, stop[active])
        for which, position in _pairs(start[active], ends):
            query = active[which]
            useful = order[position] < best[query]
            query, position = query[useful], position[useful]
            near = _is_near(queries[query], targets[position], bits)
            np.minimum.at(best, query[near], order[position[near]])
        start[active] = ends
        width *= 4


def _join_band(words: np.ndarray, keys: np.ndarray, labels: np.ndarray, bits: int) -> np.ndarray:
    """Joins the clusters of near hashes that agree in a band; returns the new labels.

    Of the hashes that agree, those outside the most frequent cluster are compared with all; so nothing is done where
    all are of one cluster already.
    """
    order = np.argsort(keys, kind="stable")
    _, first, run, sizes = np.unique(keys[order], return_index=True, return_inverse=True, return_counts=True)
    todo = np.flatnonzero(sizes[run] > 1)
    patience, waited = 1, 0
    todo = todo[_is_outside(run[todo], labels[order[todo]])]
    while len(todo):
        size = max(1, int(np.searchsorted(np.cumsum(sizes[run[todo]]), BLOCK_PAIRS)))
        batch, todo = todo[:size], todo[size:]
        before = labels
        for which, position in _pairs(first[run[batch]], first[run[batch]] + sizes[run[batch]]):
            one, other = order[batch[which]], order[position]
            differ = labels[one] != labels[other]
            one, other = one[differ], other[differ]
            near = _is_near(words[one], words[other], bits)
            labels = _joined(labels, one[near], other[near])
        waited += labels is not before
        if waited >= patience:  # counting clusters costs as much as a block
            everyone = np.flatnonzero(np.isin(run, run[todo]))
            outside = everyone[_is_outside(run[everyone], labels[order[everyone]])]
            todo = todo[np.isin(todo, outside)]
            patience, waited = 2 * patience, 0
    return labels


def _is_outside(runs: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Tells which rows are not of the label that is most frequent in their run."""
    if not len(runs):
        return np.zeros(0, bool)
    order = np.lexsort((labels, runs))
    is_new = np.ones(len(order), bool)
    is_new[1:] = (np.diff(runs[order]) != 0) | (np.diff(labels[order]) != 0)
    segment = np.cumsum(is_new) - 1
    sizes, segment_run = np.bincount(segment), runs[order][is_new]
    by_run = np.lexsort((sizes, segment_run))
    is_largest = np.zeros(len(sizes), bool)
    is_largest[by_run[np.append(np.diff(segment_run[by_run]) != 0, True)]] = True
    outside = np.empty(len(order), bool)
    outside[order] = ~is_largest[segment]
    return outside


def _joined(labels: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    if not len(one):
        return labels
    names, ends = np.unique(np.concatenate([labels[one], labels[other]]), return_inverse=True)
    edges = (np.ones(len(one), bool), (ends[: len(one)], ends[len(one) :]))
    n_clusters, cluster = connected_components(coo_array(edges, shape=(len(names),) * 2), directed=False)
    smallest = np.full(n_clusters, len(labels))
    np.minimum.at(smallest, cluster, names)
    renamed = np.arange(len(labels))
    renamed[names] = smallest[cluster]
    return np.asarray(renamed[labels])


def _band_keys(words: np.ndarray, band: int, n_bands: int) -> np.ndarray:
    keys = np.zeros(len(words), np.uint32)
    for bit in _MIXED[band::n_bands][:BAND_BITS]:
        keys = (keys << np.uint32(1)) | ((words[:, bit // 64] >> np.uint64(bit % 64)) & np.uint64(1)).astype(np.uint32)
    return keys


def _is_near(one: np.ndarray, other: np.ndarray, bits: int) -> np.ndarray:
    return np.asarray(np.bitwise_count(one ^ other).sum(axis=1, dtype=np.uint16) <= bits)


def _pairs(starts: np.ndarray, stops: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields all pairs of a number i and a position in ``[starts[i], stops[i])``, in blocks of limited size."""
    ends = np.cumsum(stops - starts)
    begins = ends - (stops - starts)
    for offset in range(0, int(ends[-1]) if len(ends) else 0, BLOCK_PAIRS):
        pair = np.arange(offset, min(offset + BLOCK_PAIRS, int(ends[-1])))
        which = np.searchsorted(ends, pair, side="right")
        yield which, starts[which] + pair - begins[which]
