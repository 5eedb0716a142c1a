"""The batches of an epoch, from real rows and the plan's pairs: synthetic rows exist one batch at a time.

A batch is made while the one before it is trained on, on other threads: NumPy lets go of the interpreter meanwhile.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from include.retraining.training.strategies import TrainRows

AHEAD = 3  # batches that are made or ready before they are asked for
WORKERS = 2
BLOCK_ROWS = 16  # rows that are interpolated together: what they need stays in a core's cache


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows of one step.

    Attributes:
        X: Shape `(n_rows, n_features)`, float32; overwritten once the next batch is asked for.
        y: Class ids, shape `(n_rows,)`, int64.
    """

    X: np.ndarray
    y: np.ndarray


class _Buffer:
    """Where a batch is made, again and again: new memory for each would cost as much as the arithmetic."""

    def __init__(self, n_rows: int, n_features: int) -> None:
        block = (min(BLOCK_ROWS, n_rows), n_features)
        self.X = np.empty((n_rows, n_features), np.float32)
        self.first, self.difference, self.wide = (
            np.empty(block, np.float32),
            np.empty(block, np.float32),
            np.empty(block),
        )


class Batches:
    """The rows that a strategy trains on, in batches.

    Args:
        rows: What to train on.
        batch_size: Rows of a batch; the last one of an epoch may be smaller.
        seed: With the number of an epoch it decides the order of that epoch's rows.
    """

    def __init__(self, rows: TrainRows, batch_size: int, seed: int) -> None:
        self._rows = rows
        self._seed = seed
        kept = np.arange(len(rows.y), dtype=np.int32) if rows.pairs is None else rows.pairs.kept(len(rows.y))
        self._kept = kept
        self._y = rows.y[kept] if rows.pairs is None else np.concatenate([rows.y[kept], rows.pairs.labels(rows.y)])
        self._starts = range(0, rows.n_rows, batch_size)
        self._batch_size = batch_size
        n_largest = min(batch_size, rows.n_rows)
        self._buffers = [_Buffer(n_largest, rows.X.shape[1]) for _ in range(AHEAD + 1)]

    @property
    def n_steps(self) -> int:
        """Batches of an epoch."""
        return len(self._starts)

    @property
    def n_rows(self) -> int:
        """Rows of an epoch."""
        return len(self._y)

    @property
    def y(self) -> np.ndarray:
        """Class ids of all rows, shape `(n_rows,)`: of the real ones that are kept, then of the synthetic ones."""
        return self._y

    def order(self, epoch: int) -> np.ndarray:
        """Returns the rows of an epoch as positions in `y`, shape `(n_rows,)`.

        Every row once; where batches are drawn from all classes alike, so many draws with replacement, each of a class
        that has rows and then of one of its rows. Within a batch positions ascend: neighbours in memory are read
        together, and the sum over a batch does not depend on its order.

        Args:
            epoch: From 1.
        """
        rng = np.random.default_rng([self._seed, epoch])
        order = _alike(self._y, rng) if self._rows.draws_alike else rng.permutation(len(self._y))
        return np.concatenate([np.sort(order[start : start + self._batch_size]) for start in self._starts])

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """Yields the batches of an epoch, each whole until the next one is asked for; one epoch at a time."""
        order = self.order(epoch)
        ready: deque[Future[Batch]] = deque()
        with ThreadPoolExecutor(WORKERS, thread_name_prefix="batches") as workers:
            for step, start in enumerate(self._starts):
                chosen = order[start : start + self._batch_size]
                ready.append(workers.submit(self._make, chosen, self._buffers[step % len(self._buffers)]))
                if len(ready) > AHEAD:
                    yield ready.popleft().result()
            while ready:
                yield ready.popleft().result()

    def _make(self, chosen: np.ndarray, buffer: _Buffer) -> Batch:
        """Returns the batch of ascending positions, its vectors in a buffer."""
        X = buffer.X[: len(chosen)]
        n_real = int(np.searchsorted(chosen, len(self._kept)))
        # "clip" checks nothing, and so needs no copy of what it returns; all positions are within the rows.
        self._rows.X.take(self._kept[chosen[:n_real]], axis=0, out=X[:n_real], mode="clip")
        self._interpolate(chosen[n_real:] - len(self._kept), X[n_real:], buffer)
        return Batch(X, self._y[chosen])

    def _interpolate(self, synthetic: np.ndarray, out: np.ndarray, buffer: _Buffer) -> None:
        """Writes synthetic vectors: the very ones of `Pairs.interpolate`, with no array larger than a block."""
        pairs = self._rows.pairs
        if pairs is None:
            return
        base, neighbour, step = pairs.base[synthetic], pairs.neighbour[synthetic], pairs.step[synthetic, np.newaxis]
        for start in range(0, len(synthetic), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            n = len(base[block])
            first, difference, wide = buffer.first[:n], buffer.difference[:n], buffer.wide[:n]
            self._rows.X.take(base[block], axis=0, out=first, mode="clip")
            self._rows.X.take(neighbour[block], axis=0, out=difference, mode="clip")
            np.subtract(difference, first, out=difference)
            np.multiply(difference, step[block], out=wide)
            np.add(first, wide, out=out[block], casting="same_kind")


def _alike(y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns as many positions as there are rows, drawn with replacement from all classes alike."""
    by_class = np.argsort(y, kind="stable")
    classes, sizes = np.unique(y, return_counts=True)
    drawn = rng.integers(len(classes), size=len(y))
    within = rng.integers(sizes[drawn])
    order: np.ndarray = by_class[(np.cumsum(sizes) - sizes)[drawn] + within]
    return order
