"""How a candidate meets the imbalance: what it does to rows, weights, logits or batches. Nothing else sees them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from include.retraining.balancing.pairs import Pairs
from include.retraining.config import Strategy
from include.retraining.config.strategies import (
    BalancedSampling,
    ClassWeights,
    LogitAdjustedLoss,
    LogitAdjustment,
    NoBalancing,
    ResamplingStrategy,
)


@dataclass(frozen=True, eq=False)
class TrainRows:
    """What a head is fitted on.

    Attributes:
        X: Standard scores of the real rows, shape `(n_real, n_features)`, float32.
        y: Their class ids, shape `(n_real,)`, int64.
        pairs: The synthetic rows and the real ones that are left out; None where nothing is resampled.
        class_weight: What a row of each class weighs in the loss, shape `(n_classes,)`, float32; mean 1 over the rows.
        loss_offset: Added to the logits while training, shape `(n_classes,)`, float32; None: nothing.
        score_offset: Added to the logits afterwards, likewise.
        draws_alike: Whether batches are drawn with replacement, from all classes alike.
    """

    X: np.ndarray
    y: np.ndarray
    pairs: Pairs | None
    class_weight: np.ndarray
    loss_offset: np.ndarray | None = None
    score_offset: np.ndarray | None = None
    draws_alike: bool = False

    @property
    def n_rows(self) -> int:
        """Rows that an epoch passes over: real ones that are not left out, and synthetic ones."""
        return len(self.y) if self.pairs is None else len(self.y) - len(self.pairs.dropped) + len(self.pairs)

    @property
    def n_classes(self) -> int:
        """Classes that the head tells apart, whether or not they have rows."""
        return len(self.class_weight)


def apply_strategy(
    strategy: Strategy, X: np.ndarray, y: np.ndarray, *, pairs: Pairs | None, n_classes: int
) -> TrainRows:
    """Returns what a head is fitted on under a strategy.

    Shares of classes are those of the real rows; a class without rows counts as if it had one.

    Args:
        strategy: Of the recipe.
        X: Standard scores of the train rows, shape `(n_real, n_features)`, float32.
        y: Their class ids, shape `(n_real,)`, in `[0, n_classes)`.
        pairs: The plan's pairs, whose positions count `X`; for a strategy that resamples, else None.
        n_classes: Classes of the recipe.

    Raises:
        ValueError: If a strategy that resamples has no pairs, or another one has.

    References:
        Menon et al., 2021, "Long-tail learning via logit adjustment", equations 9 (post-hoc) and 10 (loss).
    """
    if isinstance(strategy, ResamplingStrategy) is not (pairs is not None):
        expected, got = ("no pairs", "some") if pairs is not None else ("the pairs of its plan", "none")
        raise ValueError(f"Expected {expected} for the strategy {strategy.strategy}; got {got}. Only plans have pairs.")
    counts = np.maximum(np.bincount(y, minlength=n_classes), 1)
    weight = np.ones(n_classes, dtype=np.float32)
    loss_offset = score_offset = None
    if isinstance(strategy, ClassWeights):
        weight = _class_weight(strategy, y, counts)
    if isinstance(strategy, LogitAdjustedLoss):
        loss_offset = _logs_of_shares(counts, strategy.tau)
    if isinstance(strategy, LogitAdjustment):
        score_offset = -_logs_of_shares(counts, strategy.tau)
    return TrainRows(X, y, pairs, weight, loss_offset, score_offset, isinstance(strategy, BalancedSampling))


def assumes_uniform(strategy: Strategy) -> bool:
    """Returns whether probabilities of a head so trained are meant for classes that are equally likely.

    Without balancing they are meant for classes that are as likely as among the train rows.
    """
    return not isinstance(strategy, NoBalancing)


def _class_weight(strategy: ClassWeights, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Returns the weight of a row of each class: the inverse of the class's size, or of its effective number of rows.

    References:
        Cui et al., 2019, "Class-Balanced Loss Based on Effective Number of Samples", equation 2.
    """
    size = counts.astype(np.float64)
    if strategy.weighting == "effective_number":
        size = (1 - strategy.beta**size) / (1 - strategy.beta)
    weight: np.ndarray = (1 / size) / np.mean(1 / size[y])
    return weight.astype(np.float32)


def _logs_of_shares(counts: np.ndarray, tau: float) -> np.ndarray:
    offset: np.ndarray = tau * np.log(counts / counts.sum())
    return offset.astype(np.float32)
