"""Confident learning: which labels are contradicted by probabilities. Where these come from is in `out_of_sample.py`.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels", Journal of Artificial
Intelligence Research 70, doi:10.1613/jair.1.12125. Each class is measured by its own threshold, so that a rare class,
whose probabilities are low throughout, is neither doubted as a whole nor left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Doubts:
    """What the statistic says of some rows.

    Attributes:
        thresholds: Mean self-confidence of each class, shape `(n_classes,)`; infinite for a class without rows.
        confident_joint: Rows by given (first axis) and confident (second axis) class, shape `(n_classes, n_classes)`,
            int64; rows that reach no threshold are in no cell.
        rows: Numbers of the doubted rows, the most doubtful first.
        suggested: Class that each of them is confidently counted under instead.
    """

    thresholds: np.ndarray
    confident_joint: np.ndarray
    rows: np.ndarray
    suggested: np.ndarray


def find_doubts(y: np.ndarray, probabilities: np.ndarray) -> Doubts:
    """Returns the rows off the diagonal of the confident joint, ranked.

    The threshold of a class is the mean self-confidence of the rows that were given it (equation 2). A row is counted
    under the most probable of the classes whose thresholds it reaches (equation 1). It is doubted where that class is
    not its own, and more probable than its own: the second condition is not the paper's, and leaves out rows that
    reach the low threshold of another class while the model agrees with the label they have.

    The rank is by self-confidence, the lowest first: measured against the normalised margin, it puts more real errors
    first (`benchmarks/label_doubts.py`). Rows of equal self-confidence keep their order.

    Args:
        y: Given classes, shape `(n_rows,)`, int, in `[0, n_classes)`.
        probabilities: Of a model that has not seen the row's label, shape `(n_rows, n_classes)`.

    Raises:
        ValueError: If the shapes do not pair, or a probability is not in [0, 1].
    """
    _check(y, probabilities)
    n_classes = probabilities.shape[1]
    own = probabilities[np.arange(len(y)), y]
    thresholds = np.array([own[y == k].mean() if (y == k).any() else np.inf for k in range(n_classes)])
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    counted_under, reached = confident.argmax(axis=1), confident.max(axis=1)
    joint = np.zeros((n_classes, n_classes), np.int64)
    np.add.at(joint, (y[reached >= 0], counted_under[reached >= 0]), 1)
    doubted = np.flatnonzero((reached > own) & (counted_under != y))
    ranked = doubted[np.argsort(own[doubted], kind="stable")]
    return Doubts(thresholds, joint, ranked, counted_under[ranked])


def _check(y: np.ndarray, probabilities: np.ndarray) -> None:
    if probabilities.ndim != 2 or y.shape != probabilities.shape[:1]:
        raise ValueError(
            f"Expected classes (n_rows,) and probabilities (n_rows, n_classes); got shapes {y.shape} and "
            f"{probabilities.shape}."
        )
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError("Expected probabilities from 0 to 1; got others, or NaN. The model that gave them is broken.")
