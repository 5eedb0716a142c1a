"""SMOTE, then cleaning: rows are left out, real and synthetic ones alike, that their neighbours contradict."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from include.retraining.balancing.neighbours import nearest
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Sampled, Streams
from include.retraining.balancing.samplers.smote import sample_smote
from include.retraining.config import SmoteEnn, SmoteTomek


def sample_smote_tomek(
    X: np.ndarray, y: np.ndarray, counts: Mapping[str, int], strategy: SmoteTomek, streams: Streams
) -> Sampled:
    """Plans SMOTE's rows and leaves out both rows of every Tomek link, in all classes.

    Args:
        X: Vectors, shape `(n_rows, n_features)`, float32 or float64; synthetic ones are made of them, in memory.
        y: Labels, shape `(n_rows,)`.
        counts: Rows by label before cleaning.
        strategy: Number of neighbours.
        streams: Random numbers.

    References:
        Batista et al., 2004, "A study of the behavior of several methods for balancing machine learning training data".
    """
    sampled = sample_smote(X, y, counts, k_neighbors=strategy.k_neighbors, streams=streams)
    return _cleaned(X, y, sampled, is_in_tomek_link)


def sample_smote_enn(
    X: np.ndarray, y: np.ndarray, counts: Mapping[str, int], strategy: SmoteEnn, streams: Streams
) -> Sampled:
    """Plans SMOTE's rows and leaves out every row one of whose nearest neighbours is of another class.

    Args:
        X: Vectors, shape `(n_rows, n_features)`, float32 or float64; synthetic ones are made of them, in memory.
        y: Labels, shape `(n_rows,)`.
        counts: Rows by label before cleaning.
        strategy: Numbers of neighbours.
        streams: Random numbers.

    References:
        Batista et al., 2004, as above.
        Wilson, 1972, "Asymptotic Properties of Nearest Neighbor Rules Using Edited Data".
    """
    sampled = sample_smote(X, y, counts, k_neighbors=strategy.k_neighbors, streams=streams)
    return _cleaned(X, y, sampled, lambda X, y: is_contradicted(X, y, strategy.n_neighbors))


def is_in_tomek_link(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Tells which rows are of another class than their nearest row, whose nearest row they are, shape `(n_rows,)`."""
    rows = np.arange(len(X))
    found, _ = nearest(X, X, 1, own=rows)
    other = found[:, 0]
    linked: np.ndarray = (other[other] == rows) & (y[other] != y)
    return linked


def is_contradicted(X: np.ndarray, y: np.ndarray, n_neighbors: int) -> np.ndarray:
    """Tells which rows have another class among their nearest neighbours, shape `(n_rows,)`."""
    found, _ = nearest(X, X, min(n_neighbors, len(X) - 1), own=np.arange(len(X)))
    contradicted: np.ndarray = (y[found] != y[:, np.newaxis]).any(axis=1)
    return contradicted


def _cleaned(
    X: np.ndarray, y: np.ndarray, sampled: Sampled, find: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> Sampled:
    """Leaves out what `find` finds among real and synthetic rows together, but keeps a real row of every class."""
    pairs = sampled.pairs
    out = find(np.concatenate([X, pairs.interpolate(X)]), np.concatenate([y, pairs.labels(y)]))
    real, synthetic = out[: len(X)], out[len(X) :]
    saved, warnings = _saved(y, real)
    real[saved] = False
    cleaned = Pairs(
        base=pairs.base[~synthetic],
        neighbour=pairs.neighbour[~synthetic],
        step=pairs.step[~synthetic],
        dropped=np.flatnonzero(real).astype(np.int32),
    )
    return dataclasses.replace(sampled, pairs=cleaned, warnings=(*sampled.warnings, *warnings))


def _saved(y: np.ndarray, out: np.ndarray) -> tuple[list[int], list[str]]:
    """Returns the first row of every class that would lose all of its real rows, and a warning for each."""
    saved, warnings = [], []
    for label in np.unique(y).tolist():
        rows = np.flatnonzero(y == label)
        if out[rows].all():
            saved.append(int(rows[0]))
            warnings.append(f"Class {label!r} would lose all of its {len(rows)} train rows to cleaning: one is kept.")
    return saved, warnings
