"""ADASYN: interpolation with more rows where a class has more neighbours of other classes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Sampled, Streams
from include.retraining.balancing.samplers.drawing import Draws
from include.retraining.balancing.samplers.growing import GrowingClass, grow
from include.retraining.balancing.samplers.surroundings import neighbours_within, others_around
from include.retraining.config import Adasyn


def sample_adasyn(
    X: np.ndarray, y: np.ndarray, counts: Mapping[str, int], strategy: Adasyn, streams: Streams
) -> Sampled:
    """Plans about as many rows as are asked; none for a class whose rows have no neighbour of another.

    How many rows each row is the base of is rounded, so that a class may end with some more or some less.

    Args:
        X: Vectors, shape `(n_rows, n_features)`, float32 or float64.
        y: Labels, shape `(n_rows,)`.
        counts: Rows by label after resampling.
        strategy: Number of neighbours.
        streams: Random numbers.

    References:
        He et al., 2008, "ADASYN: Adaptive synthetic sampling approach for imbalanced learning", steps 1 to 4.
    """
    draws, m = Draws(streams), min(strategy.n_neighbors, len(X) - 1)

    def make(growing: GrowingClass) -> Pairs | None:
        difficulty = others_around(X, y, growing.rows, m) / m
        if not difficulty.any():
            return None
        times = np.rint(difficulty / difficulty.sum() * growing.n_new).astype(int)
        base = np.repeat(growing.rows, times)
        if not base.size:
            return None
        rng = draws.going_on(growing.label)
        column = rng.choice(growing.k, size=len(base))
        step = rng.uniform(size=len(base))
        neighbours = neighbours_within(X, growing.rows, growing.rows, growing.k)
        neighbour = np.repeat(neighbours, times, axis=0)[np.arange(len(base)), column]
        return Pairs(base.astype(np.int32), neighbour.astype(np.int32), step)

    return grow(y, counts, strategy.n_neighbors, make)
