"""How a candidate meets the imbalance: what it does to the train rows and their weights. Nothing else sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from include.retraining.balancing.plan import Plan
from include.retraining.config import Strategy


@dataclass(frozen=True)
class TrainRows:
    """What a head is fitted on.

    Attributes:
        X: Standard scores, shape `(n_samples, n_features)`, float32.
        y: Class ids, shape `(n_samples,)`.
        sample_weight: Weights with mean 1, shape `(n_samples,)`, float32.
    """

    X: np.ndarray
    y: np.ndarray
    sample_weight: np.ndarray


def apply_strategy(
    strategy: Strategy, X: np.ndarray, y: np.ndarray, row_ids: np.ndarray, *, plan: Plan, labels: tuple[str, ...]
) -> TrainRows:
    """Returns the rows that a strategy trains on.

    Args:
        strategy: `none`: rows as they are. `class_weights`: each row weighs the inverse of its class's share.
            `smote`: the plan's synthetic rows are added.
        X: Standard scores of the train images and their views, shape `(n_samples, n_features)`.
        y: Their class ids.
        row_ids: Their ids, as the plan names them.
        plan: The resampling plan; used by `smote` only.
        labels: Class names in id order.
    """
    if strategy == "smote":
        class_of = {label: index for index, label in enumerate(labels)}
        synthetic = np.array([class_of[label] for label in plan.labels()], dtype=y.dtype)
        X = np.concatenate([X, plan.interpolate(X, row_ids)])
        y = np.concatenate([y, synthetic])
    weight = np.ones(len(y), dtype=np.float32)
    if strategy == "class_weights":
        counts = np.bincount(y, minlength=len(labels))
        weight = (len(y) / (len(labels) * counts[y])).astype(np.float32)
    return TrainRows(X=X, y=y, sample_weight=weight)
