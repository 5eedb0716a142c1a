"""Exact nearest rows: matrix products find a few candidates, float64 distances settle them.

The products run in the rows' own type: float32 takes half the time and memory of float64, but cannot rank rows that are
nearly as far. So each pair gets a lower bound of its squared distance, which no rounding can exceed: of centred vectors
x and y it is (1 - c)(|x|² + |y|²) - 2 x·y, with c = (2 n_features + 16) eps (a dot product of n terms errs by at most
n eps / 2 times the product of the norms in whatever order it is summed; Higham, 2002, "Accuracy and Stability of
Numerical Algorithms", section 3.1; norms, centring and sums take the rest). The k + `SPARE` rows of the smallest bounds
are ranked by their distances in float64. If the k-th of these is nearer than the bound of all rows that are no
candidates, no row was missed; the few queries without that proof are searched once more in float64, where every row is
ranked whose bound does not exceed the k-th distance.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SPARE = 5
"""Candidates beyond k. More make a second search rarer, and ranking dearer."""

_NUMBERS_AT_ONCE = 2**18
"""Numbers of row vectors whose distances are taken at once: 2 MiB in float64, which a cache holds."""


def nearest(
    queries: np.ndarray, rows: np.ndarray, k: int, *, own: np.ndarray | None = None, block_rows: int = 512
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the k nearest rows of every query by Euclidean distance, exactly, whatever the block size.

    Where `queries` is `rows` itself and `own` counts them through, every product serves both of its rows.

    Args:
        queries: Shape `(n_queries, n_features)`, float32 or float64, finite.
        rows: Shape `(n_rows, n_features)`, of the same type.
        k: At least 1, at most the rows that there are, less the own one.
        own: For every query the position of the row that it is itself, which is left out; shape `(n_queries,)`. None
            leaves out nothing.
        block_rows: Rows and queries that are multiplied at once. It bounds the memory beside input and result: some
            3 block_rows² + 4 block_rows · n_features numbers of the rows' type and 10 MiB; 64 block_rows² bytes more
            where most rows are equally far.

    Returns:
        Positions, int32, shape `(n_queries, k)`, by ascending distance, of equal distances by ascending position; and
        the distances, float64, likewise.

    Raises:
        ValueError: If shapes, types or k do not fit, or a number is not finite or too large to be squared.
    """
    _refuse_unfit(queries, rows, k, own)
    own = np.full(len(queries), -1) if own is None else own
    centre = rows.mean(axis=0, dtype=np.float64)
    blocks = _Blocks(rows, centre.astype(rows.dtype), block_rows)
    best = _Best.none(len(queries), k + SPARE)
    if queries is rows and np.array_equal(own, np.arange(len(rows))):
        _offer_each_pair_once(blocks, best)
    else:
        _offer_all(_Blocks(queries, centre.astype(rows.dtype), block_rows), blocks, own, best)
    squared = _squared_of(queries, rows, best.positions)
    order = np.lexsort((best.positions, squared))[:, :k]
    positions, squared = np.take_along_axis(best.positions, order, 1), np.take_along_axis(squared, order, 1)
    unproven = np.flatnonzero(~(squared[:, -1] < best.worst))
    if len(unproven):
        blocks = _Blocks(rows, centre, block_rows)
    for start in range(0, len(unproven), block_rows):
        some = unproven[start : start + block_rows]
        settled = _searched_again(queries[some], blocks, squared[some], own[some])
        positions[some], squared[some] = settled.positions, settled.values
    return positions, np.sqrt(squared)


def _refuse_unfit(queries: np.ndarray, rows: np.ndarray, k: int, own: np.ndarray | None) -> None:
    if queries.dtype != rows.dtype or rows.dtype not in (np.float32, np.float64):
        raise ValueError(f"Expected rows and queries both of float32 or float64; got {rows.dtype} and {queries.dtype}.")
    if queries.ndim != 2 or rows.ndim != 2 or queries.shape[1] != rows.shape[1]:
        raise ValueError(f"Expected two matrices of the same columns; got {queries.shape} and {rows.shape}.")
    others = len(rows) - (own is not None)
    if not 1 <= k <= others:
        raise ValueError(f"Expected k between 1 and the {others} other rows; got {k}. Lower it.")


class _Blocks:
    """Centred rows, block by block, with their part of the lower bounds.

    Attributes:
        X: The rows, not centred.
        starts: First position of every block.
        centre: What is subtracted. Its type is that of blocks, products and bounds.
    """

    def __init__(self, X: np.ndarray, centre: np.ndarray, block_rows: int) -> None:
        self.X, self.centre = X, centre
        self.starts = range(0, len(X), block_rows)
        limits, n_features = np.finfo(centre.dtype), X.shape[1]
        with np.errstate(over="ignore", invalid="ignore"):  # refused below
            norms = [np.einsum("ij,ij->i", block, block) for block in map(self.block, self.starts)]
            squares = np.concatenate([np.empty(0, centre.dtype), *norms])
            longest = 4 * squares.max(initial=0)  # no squared distance is larger
        if not np.isfinite(longest):
            raise ValueError(f"Expected finite vectors whose lengths can be squared in {X.dtype}. Scale them first.")
        shrunk = squares * (1 - (2 * n_features + 16) * limits.eps) - n_features * limits.tiny
        self._norms = shrunk.astype(centre.dtype)

    def block(self, start: int) -> np.ndarray:
        """Returns the centred rows of a block, a copy."""
        block: np.ndarray = self.X[start : start + self.starts.step] - self.centre
        return block

    def bounds(self, start: int, others: _Blocks, other_starts: range) -> Iterator[tuple[int, np.ndarray]]:
        """Yields the start of other blocks with the lower bounds of squared distances to the rows of this one."""
        block = self.block(start)
        block *= -2
        norms = self._norms[start : start + len(block), np.newaxis]
        for other in other_starts:
            bounds = block @ others.block(other).T
            bounds += norms
            bounds += others._norms[other : other + bounds.shape[1]]
            yield other, bounds


@dataclass(eq=False)
class _Best:
    """The rows of the smallest values so far, a line a query, ascending by value, then by position.

    Attributes:
        positions: Shape `(n_queries, n_kept)`, int32; -1 where there is none yet.
        values: Lower bounds or squared distances, likewise; infinite where there is none yet.
    """

    positions: np.ndarray
    values: np.ndarray

    @classmethod
    def none(cls, n_queries: int, n_kept: int) -> _Best:
        """Returns a start without any row."""
        shape = (n_queries, n_kept)
        return cls(np.full(shape, -1, dtype=np.int32), np.full(shape, np.inf))

    @property
    def worst(self) -> np.ndarray:
        """The values that a row must stay below to be kept, by query."""
        worst: np.ndarray = self.values[:, -1]
        return worst

    def offer(self, queries: np.ndarray, positions: np.ndarray, values: np.ndarray) -> None:
        """Takes pairs of query and row, ordered by query, where their values are among the smallest."""
        if not len(queries):
            return
        first = np.flatnonzero(np.diff(queries, prepend=-1))
        touched, counts = queries[first], np.diff(first, append=len(queries))
        n_kept = self.values.shape[1]
        slot = n_kept + np.arange(len(queries)) - np.repeat(first, counts)
        line = np.repeat(np.arange(len(touched)), counts)
        all_values = np.full((len(touched), n_kept + counts.max()), np.inf)
        all_positions = np.full(all_values.shape, -1, dtype=np.int32)
        all_values[:, :n_kept], all_positions[:, :n_kept] = self.values[touched], self.positions[touched]
        all_values[line, slot], all_positions[line, slot] = values, positions
        order = np.lexsort((all_positions, all_values))[:, :n_kept]
        self.values[touched] = np.take_along_axis(all_values, order, 1)
        self.positions[touched] = np.take_along_axis(all_positions, order, 1)


def _offer_all(queries: _Blocks, rows: _Blocks, own: np.ndarray, best: _Best) -> None:
    for start in queries.starts:
        for other, bounds in queries.bounds(start, rows, rows.starts):
            _leave_out_own(bounds, own[start : start + len(bounds)] - other)
            _offer_bounds(best, start, other, bounds)


def _offer_each_pair_once(rows: _Blocks, best: _Best) -> None:
    """Offers the bounds of every pair to both of its rows. The blocks' own pairs come first: few others pass then."""
    for start in rows.starts:
        for _, bounds in rows.bounds(start, rows, range(start, start + 1)):
            np.fill_diagonal(bounds, np.inf)
            _offer_bounds(best, start, start, bounds)
    for start in rows.starts:
        later = range(start + rows.starts.step, rows.starts.stop, rows.starts.step)
        for other, bounds in rows.bounds(start, rows, later):
            _offer_bounds(best, start, other, bounds)
            _offer_bounds(best, other, start, bounds, transposed=True)


def _leave_out_own(bounds: np.ndarray, own: np.ndarray) -> None:
    """Makes the bound of every query to itself infinite, where it is among these rows."""
    inside = np.flatnonzero((own >= 0) & (own < bounds.shape[1]))
    bounds[inside, own[inside]] = np.inf


def _offer_bounds(best: _Best, start: int, other: int, bounds: np.ndarray, *, transposed: bool = False) -> None:
    """Offers the bounds between two blocks to the first one's queries; transposed, they are the bounds' columns."""
    n_queries = bounds.shape[1 if transposed else 0]
    worst = best.worst[start : start + n_queries].astype(bounds.dtype)
    if np.isinf(worst).all() and not transposed:
        worst = _worst_of_best(bounds, best.values.shape[1])
    passing = np.flatnonzero(bounds < (worst if transposed else worst[:, np.newaxis]))
    query, row = np.divmod(passing, bounds.shape[1])
    values = bounds.ravel()[passing]
    if transposed:
        order = np.argsort(row, kind="stable")
        query, row, values = row[order], query[order], values[order]
    best.offer(start + query, other + row, values)


def _worst_of_best(bounds: np.ndarray, n_kept: int) -> np.ndarray:
    """Returns what the `n_kept` smallest bounds of every line stay below."""
    last = min(n_kept, bounds.shape[1]) - 1
    return np.nextafter(np.partition(bounds, last, axis=1)[:, last], np.inf, dtype=bounds.dtype)


def _searched_again(queries: np.ndarray, rows: _Blocks, squared: np.ndarray, own: np.ndarray) -> _Best:
    """Ranks all rows whose bound does not exceed the k-th of the squared distances that were found, in float64."""
    best = _Best.none(*squared.shape)
    limit = squared[:, -1].copy()
    for other, bounds in _Blocks(queries, rows.centre, len(queries)).bounds(0, rows, rows.starts):
        _leave_out_own(bounds, own - other)
        query, row = np.nonzero(bounds <= limit[:, np.newaxis])
        best.offer(query, other + row, _squared(queries, rows.X, query, other + row))
        limit[best.worst == 0] = -np.inf  # nothing is nearer than k copies, and later rows come after them
    return best


def _squared_of(queries: np.ndarray, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns the squared distances from queries to their candidates; infinite where there is none."""
    query = np.repeat(np.arange(len(queries), dtype=np.int32), positions.shape[1])
    squared = _squared(queries, rows, query, positions.ravel()).reshape(positions.shape)
    squared[positions < 0] = np.inf
    return squared


def _squared(queries: np.ndarray, rows: np.ndarray, query: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Returns the squared distances of pairs, float64: of equal pairs the same to the last bit."""
    squared = np.empty(len(query))
    at_once = max(1, _NUMBERS_AT_ONCE // queries.shape[1])
    for start in range(0, len(query), at_once):
        some = slice(start, start + at_once)
        difference = rows[position[some]].astype(np.float64)
        difference -= queries[query[some]]
        squared[some] = np.einsum("ij,ij->i", difference, difference)
    return squared
