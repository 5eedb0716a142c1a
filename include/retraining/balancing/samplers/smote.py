"""SMOTE, decided but not carried out: which rows to interpolate between, and where."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from include.retraining.balancing.neighbours import nearest
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Sampled, Streams
from include.retraining.balancing.samplers.growing import GrowingClass, grow


def sample_smote(
    X: np.ndarray, y: np.ndarray, counts: Mapping[Any, int], *, k_neighbors: int, streams: Streams
) -> Sampled:
    """Chooses parents and steps until every class has the rows that are asked, class by class in the labels' order.

    With the streams of mode `imblearn` the interpolated rows are those of `imblearn.over_sampling.SMOTE` of the same
    seed, over the same rows in the same order, to the last bit. Three things are arbitrary there, and decided here:
    which of several distinct rows at one distance are the nearest (here the first ones), which of two rows is nearer
    whose distances differ by less than the rounding of imbalanced-learn's products (here the nearer one; float64 in
    general, float32 for a matrix in Fortran's order), and what a class of at most k rows gives (an error there).

    A class of n ≤ k rows is interpolated with n - 1 neighbours, a single row is repeated; both are told in a warning.

    Args:
        X: Shape `(n_rows, n_features)`, float32 or float64, finite. Integers are refused: differences of unsigned ones
            wrap, and steps would be rounded away.
        y: Labels, shape `(n_rows,)`.
        counts: Rows by label after resampling, as `asked_counts` gives them.
        k_neighbors: Neighbours to choose from, at least 1.
        streams: Where random numbers come from.

    Raises:
        ValueError: If `X` is of another type, or not finite.

    References:
        Chawla et al., 2002, "SMOTE: Synthetic Minority Over-sampling Technique".
    """
    if X.dtype not in (np.float32, np.float64):
        raise ValueError(f"Expected vectors of float32 or float64; got {X.dtype}. Convert them: X.astype('float32').")
    return grow(y, counts, k_neighbors, lambda growing: _pairs(X[growing.rows], growing, streams.of(growing.label)))


def _pairs(X: np.ndarray, growing: GrowingClass, rng: np.random.RandomState) -> Pairs:
    """Draws pairs within one class, given its vectors. The draws are those of imbalanced-learn, in their order."""
    positions, _ = nearest(X, X, growing.k, own=np.arange(len(X)))
    base, column = np.divmod(rng.randint(low=0, high=positions.size, size=growing.n_new), growing.k)
    step = rng.uniform(size=growing.n_new)
    rows = growing.rows.astype(np.int32)
    return Pairs(rows[base], rows[positions[base, column]], step)
