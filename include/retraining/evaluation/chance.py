"""Whether predictions have anything to do with the labels: a permutation test."""

from __future__ import annotations

import numpy as np

from include.retraining.artifacts import ChanceTest
from include.retraining.metrics import defined, macro_recall

METRIC = "macro_recall"
BLOCK_ITEMS = 2**21  # permuted labels that are held at once
TIE = 1e-12  # the same counts, summed in another order


def chance_test(
    y_true: np.ndarray, y_pred: np.ndarray, n_classes: int, *, permutations: int, rng: np.random.Generator
) -> ChanceTest:
    """Compares the macro recall with what the same predictions reach when labels are dealt out at random.

    A permutation keeps how often each class is there and how often it is predicted, and breaks only their connection:
    whoever always answers the largest class, or answers in the right proportions, is no better than chance.

    Args:
        y_true: Class ids, shape `(n_samples,)`.
        y_pred: Predicted class ids, shape `(n_samples,)`.
        n_classes: Number of classes.
        permutations: How often labels are permuted.
        rng: Source of randomness.

    Returns:
        The test; undefined if a class has no rows.

    References:
        Ojala & Garriga, 2010, "Permutation Tests for Studying Classifier Performance", test 1.
        Phipson & Smyth, 2010, "Permutation P-values Should Never Be Zero", for `(1 + hits) / (1 + permutations)`.
    """
    observed = macro_recall(y_true, y_pred, n_classes)
    if not np.isfinite(observed):
        return ChanceTest(METRIC, None, None, None, None, permutations)
    null = _null(y_true, y_pred, n_classes, permutations, rng)
    reached = int((null >= observed - TIE).sum())
    return ChanceTest(
        metric=METRIC,
        observed=observed,
        null_mean=defined(null.mean()),
        null_95=defined(np.quantile(null, 0.95)),
        p_value=(1 + reached) / (1 + permutations),
        permutations=permutations,
    )


def _null(
    y_true: np.ndarray, y_pred: np.ndarray, n_classes: int, permutations: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns the macro recall under permuted labels, shape `(permutations,)`."""
    per_row = 1 / (np.bincount(y_true, minlength=n_classes) * n_classes)  # what a hit adds to the mean of the recalls
    block = max(1, BLOCK_ITEMS // len(y_true))
    null = np.empty(permutations)
    for start in range(0, permutations, block):
        size = min(block, permutations - start)
        dealt = rng.permuted(np.broadcast_to(y_true, (size, len(y_true))), axis=1)
        null[start : start + size] = ((dealt == y_pred) * per_row[y_pred]).sum(axis=1)
    return null
