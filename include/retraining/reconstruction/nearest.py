"""The real train row that lies nearest to a synthetic one."""

from __future__ import annotations

import numpy as np

from include.retraining.balancing.neighbours import nearest


def nearest_real(X_synthetic: np.ndarray, X_train: np.ndarray, *, other_than: np.ndarray | None = None) -> np.ndarray:
    """Returns the position of the nearest train row of each synthetic row; the first of equally near ones.

    A synthetic row lies between its parents, so that one of them is nearly always the nearest: leave them out to see
    what else is there.

    Args:
        X_synthetic: Standard scores, shape `(n_synthetic, n_features)`, float32.
        X_train: Standard scores, shape `(n_rows, n_features)`, float32, at least one row.
        other_than: Positions that are left out for each synthetic row, shape `(n_synthetic, n_left_out)`. Where that
            leaves no row at all, the nearest one stands.

    Returns:
        Shape `(n_synthetic,)`, int32.
    """
    n_left_out = 0 if other_than is None else other_than.shape[1]
    found, _ = nearest(X_synthetic, X_train, min(1 + n_left_out, len(X_train)))
    if other_than is None:
        return found[:, 0]
    is_allowed = (found[:, :, np.newaxis] != other_than[:, np.newaxis, :]).all(axis=2)
    chosen: np.ndarray = found[np.arange(len(found)), is_allowed.argmax(axis=1)]
    return chosen
