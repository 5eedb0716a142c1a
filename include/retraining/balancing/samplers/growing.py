"""What samplers share: which classes are to grow, and what becomes of those that are too small to interpolate in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Sampled


@dataclass(frozen=True, eq=False)
class GrowingClass:
    """A class that is to grow, of at least two rows.

    Attributes:
        label: Its name.
        rows: Positions of its rows, ascending.
        n_new: Rows that it lacks, at least 1.
        k: Neighbours to interpolate with, at most one less than it has rows.
    """

    label: str
    rows: np.ndarray
    n_new: int
    k: int


def grow(
    y: np.ndarray, counts: Mapping[str, int], k_neighbors: int, make: Callable[[GrowingClass], Pairs | None]
) -> Sampled:
    """Makes rows for every class that lacks some, in the order of the labels; the only row of a class is repeated.

    Args:
        y: Labels, shape `(n_rows,)`.
        counts: Rows by label after resampling.
        k_neighbors: Neighbours that are asked; where a class has fewer others, k is adapted and a warning says so.
        make: Gives the new rows of a class; None where the method finds no place for any.
    """
    neighbours, pieces, warnings = {}, [], []
    for label in np.unique(y).tolist():
        rows = np.flatnonzero(y == label)
        neighbours[label] = k = min(k_neighbors, len(rows) - 1)
        n_new = counts.get(label, len(rows)) - len(rows)
        if n_new < 1:
            continue
        if k < k_neighbors:
            warnings.append(too_small(label, len(rows), k_neighbors))
        made = repeated(rows[0], n_new) if k == 0 else make(GrowingClass(label, rows, n_new, k))
        if made is not None:
            pieces.append(made)
    return Sampled(joined(pieces), neighbours, tuple(warnings))


def too_small(label: str, n_rows: int, k_neighbors: int) -> str:
    """Returns the warning about a class with fewer rows than its neighbours and itself."""
    if n_rows == 1:
        return f"Class {label!r} has a single train row: it is repeated, nothing can be interpolated."
    return f"Class {label!r} has {n_rows} train rows: k = {n_rows - 1} is used there instead of {k_neighbors}."


def repeated(row: int, n_new: int) -> Pairs:
    """Returns copies of one row."""
    positions = np.full(n_new, row, dtype=np.int32)
    return Pairs(positions, positions, np.zeros(n_new))


def joined(pieces: list[Pairs]) -> Pairs:
    """Returns synthetic rows one after the other; cleaning comes later, so that none has rows that are left out."""
    return Pairs(
        base=np.concatenate([np.empty(0, np.int32), *(piece.base for piece in pieces)]),
        neighbour=np.concatenate([np.empty(0, np.int32), *(piece.neighbour for piece in pieces)]),
        step=np.concatenate([np.empty(0), *(piece.step for piece in pieces)]),
    )
