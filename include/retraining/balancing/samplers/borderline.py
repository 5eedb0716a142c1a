"""Borderline-SMOTE: interpolation from the rows that lie at the border of their class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Sampled, Streams
from include.retraining.balancing.samplers.drawing import Draws, draw_pairs
from include.retraining.balancing.samplers.growing import GrowingClass, grow
from include.retraining.balancing.samplers.surroundings import is_in_danger, neighbours_within, others_around
from include.retraining.config import BorderlineSmote


def sample_borderline(
    X: np.ndarray, y: np.ndarray, counts: Mapping[str, int], strategy: BorderlineSmote, streams: Streams
) -> Sampled:
    """Plans rows between border rows and their neighbours of the same class; none for a class without border rows.

    Args:
        X: Vectors, shape `(n_rows, n_features)`, float32 or float64.
        y: Labels, shape `(n_rows,)`.
        counts: Rows by label after resampling.
        strategy: Numbers of neighbours.
        streams: Random numbers.

    References:
        Han et al., 2005, "Borderline-SMOTE", the first of its two methods.
    """
    draws, m = Draws(streams), min(strategy.m_neighbors, len(X) - 1)

    def make(growing: GrowingClass) -> Pairs | None:
        border = growing.rows[is_in_danger(others_around(X, y, growing.rows, m), m)]
        if not border.size:
            return None
        neighbours = neighbours_within(X, border, growing.rows, growing.k)
        return draw_pairs(draws.anew(growing.label), border, neighbours, growing.n_new)

    return grow(y, counts, strategy.k_neighbors, make)
