"""Which rows lie around a row: its neighbours of the same class, and how many of all are of another."""

from __future__ import annotations

import numpy as np

from include.retraining.balancing.neighbours import nearest


def neighbours_within(X: np.ndarray, of: np.ndarray, among: np.ndarray, k: int) -> np.ndarray:
    """Returns the k nearest others of some rows of a class within the class, as positions, shape `(n_of, k)`.

    Args:
        X: All vectors, shape `(n_rows, n_features)`.
        of: Positions of the rows, each one of `among`.
        among: Positions of the rows of the class, ascending, more than `k`.
        k: How many, at least 1.
    """
    rows = X[among]
    queries = rows if of is among else X[of]
    found, _ = nearest(queries, rows, k, own=np.searchsorted(among, of))
    inside: np.ndarray = among[found]
    return inside


def others_around(X: np.ndarray, y: np.ndarray, of: np.ndarray, m: int) -> np.ndarray:
    """Returns how many of the m nearest rows of all classes are of another than the row itself, shape `(n_of,)`."""
    found, _ = nearest(X[of], X, m, own=of)
    n_others: np.ndarray = np.count_nonzero(y[found] != y[of][:, np.newaxis], axis=1)
    return n_others


def is_in_danger(n_others: np.ndarray, m: int) -> np.ndarray:
    """Tells which rows lie at the border: at least half of their m neighbours are of other classes, but not all."""
    in_danger: np.ndarray = (n_others >= m / 2) & (n_others < m)
    return in_danger
