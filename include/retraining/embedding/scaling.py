"""Standard scores of vectors, fitted on train rows alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SMALLEST_DEVIATION = 1e-6
"""A feature that varies less carries nothing, and is left in its unit. Divided by so little, the first row in which a
dead unit of the network does say something would have a score of some hundred thousand."""


@dataclass(frozen=True)
class Scaler:
    """Shifts and scales each feature to mean 0 and deviation 1 over the rows it was fitted on.

    Attributes:
        mean: Shape `(n_features,)`, float32.
        deviation: Shape `(n_features,)`, float32, all positive; 1 for a feature that does not vary.
    """

    mean: np.ndarray
    deviation: np.ndarray

    def transform(self, X: np.ndarray) -> np.ndarray:
        """Returns the standard scores, float32, of the shape of `X`."""
        scaled: np.ndarray = (X - self.mean) / self.deviation
        return scaled.astype(np.float32, copy=False)


def fit_scaler(X_train: np.ndarray) -> Scaler:
    """Fits a scaler on train rows.

    Args:
        X_train: Shape `(n_samples, n_features)`, at least one row.
    """
    wide = X_train.astype(np.float64)
    deviation = wide.std(axis=0)
    deviation[deviation < SMALLEST_DEVIATION] = 1.0
    return Scaler(mean=wide.mean(axis=0).astype(np.float32), deviation=deviation.astype(np.float32))
