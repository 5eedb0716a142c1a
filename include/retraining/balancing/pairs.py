"""What resampling decided, as positions: which two rows each synthetic row lies between, and where.

Needs NumPy alone: training reads it without imbalanced-learn, which takes seconds to import.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


def _no_positions() -> np.ndarray:
    return np.empty(0, dtype=np.int32)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Synthetic rows as pairs of parents, and the rows that are left out: 16 bytes a synthetic row.

    Attributes:
        base: Position of each synthetic row's first parent, shape `(n_synthetic,)`, int32.
        neighbour: Position of its second parent, of the same class, likewise.
        step: How far from the first to the second, float64; in [0, 1] but for extrapolations, which are negative.
        dropped: Positions of the rows that cleaning leaves out, ascending, int32.
    """

    base: np.ndarray
    neighbour: np.ndarray
    step: np.ndarray
    dropped: np.ndarray = field(default_factory=_no_positions)

    def __len__(self) -> int:
        """Returns how many synthetic rows there are."""
        return len(self.base)

    def interpolate(self, X: np.ndarray, rows: slice | np.ndarray = slice(None)) -> np.ndarray:
        """Returns synthetic vectors, as imbalanced-learn computes them.

        The difference is taken in the vectors' own type, step and sum in float64, then all is cast back (Chawla et al.,
        2002, "SMOTE", section 4.2).

        Args:
            X: The vectors that positions count, shape `(n_rows, n_features)`, float32 or float64.
            rows: Which synthetic rows; by default all.

        Returns:
            Shape `(n_chosen, n_features)`, of the type of `X`.
        """
        base, neighbour, step = self.base[rows], self.neighbour[rows], self.step[rows]
        first = X[base]
        synthetic: np.ndarray = (first + step[:, np.newaxis] * (X[neighbour] - first)).astype(X.dtype)
        return synthetic

    def labels(self, y: np.ndarray) -> np.ndarray:
        """Returns the labels of the synthetic rows, given those of the rows that positions count."""
        labels: np.ndarray = y[self.base]
        return labels

    def kept(self, n_rows: int) -> np.ndarray:
        """Returns the positions that are not left out, ascending, shape `(n_rows - n_dropped,)`."""
        return np.delete(np.arange(n_rows, dtype=np.int32), self.dropped)
