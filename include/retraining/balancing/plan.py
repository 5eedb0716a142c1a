"""A resampling plan: which two images each synthetic vector lies between, and where; and its place in the store.

What makes one is in `smote.py`; reading one needs no imbalanced-learn, which takes seconds to import.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.schemas import PLAN
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, key_of, uri_of
from include.retraining.storage.publishing import publish, read_published, sha256
from include.retraining.storage.tables import from_parquet, to_parquet

ROWS = "plan.parquet"


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

    def interpolate(self, X: np.ndarray, row_ids: np.ndarray) -> np.ndarray:
        """Returns the synthetic vectors.

        They are computed as imbalanced-learn computes them: difference in the vectors' type, step and sum in float64,
        then a cast back (Chawla et al., 2002, "SMOTE", section 4.2).

        Args:
            X: Vectors of the train images and their views, shape `(n_samples, n_features)`.
            row_ids: Their ids, shape `(n_samples,)`.

        Returns:
            Shape `(n_synthetic, n_features)`, of the type of `X`.

        Raises:
            ArtifactIntegrityError: If a parent is not among the ids: only train rows may be parents.
        """
        position = pd.Index(row_ids)
        base = position.get_indexer(self.rows["base"])
        neighbour = position.get_indexer(self.rows["neighbour"])
        strangers = int((base < 0).sum() + (neighbour < 0).sum())
        if strangers:
            raise ArtifactIntegrityError("resampling plan", "parents from the train split alone", f"{strangers} others")
        step = self.rows["step"].to_numpy()[:, np.newaxis]
        synthetic: np.ndarray = (X[base] + step * (X[neighbour] - X[base])).astype(X.dtype)
        return synthetic


def publish_plan(store: ObjectStore, classifier: str, plan: Plan) -> tuple[str, str]:
    """Publishes a plan under the digest of its content; returns its URI and that digest."""
    body = to_parquet(plan.rows, PLAN)
    digest = sha256(body)[:16]
    prefix = layout.resampling(classifier, digest)
    publish(store, prefix, {ROWS: body})
    return uri_of(store, prefix), digest


def read_plan(store: ObjectStore, uri: str) -> Plan:
    """Returns a published plan, verified against its manifest."""
    return Plan(from_parquet(read_published(store, key_of(store, uri), ROWS), PLAN, uri))
