"""A resampling plan as a value: which two images each synthetic vector lies between, and where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from include.retraining.errors import ArtifactIntegrityError


@dataclass(frozen=True)
class Plan:
    """What SMOTE decided, without the vectors.

    Attributes:
        rows: Schema `PLAN`; one row a synthetic vector.
    """

    rows: pd.DataFrame

    def labels(self) -> np.ndarray:
        """Returns the label of every synthetic row."""
        labels: np.ndarray = self.rows["label"].to_numpy()
        return labels

    def interpolate(self, X: np.ndarray, image_ids: np.ndarray) -> np.ndarray:
        """Returns the synthetic vectors.

        They are computed as imbalanced-learn computes them: difference in the vectors' type, step and sum in float64,
        then a cast back (Chawla et al., 2002, "SMOTE", section 4.2).

        Args:
            X: Vectors of the train images, shape `(n_samples, n_features)`.
            image_ids: Their ids, shape `(n_samples,)`.

        Returns:
            Shape `(n_synthetic, n_features)`, of the type of `X`.

        Raises:
            ArtifactIntegrityError: If a parent is not among the ids: only train images may be parents.
        """
        position = pd.Index(image_ids)
        base = position.get_indexer(self.rows["base"])
        neighbour = position.get_indexer(self.rows["neighbour"])
        strangers = int((base < 0).sum() + (neighbour < 0).sum())
        if strangers:
            raise ArtifactIntegrityError("resampling plan", "parents from the train split alone", f"{strangers} others")
        step = self.rows["step"].to_numpy()[:, np.newaxis]
        synthetic: np.ndarray = (X[base] + step * (X[neighbour] - X[base])).astype(X.dtype)
        return synthetic
