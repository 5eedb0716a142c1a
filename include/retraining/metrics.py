"""How well predictions match labels, for classes of very different size. Each docstring names the prior it assumes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from include.retraining.artifacts import ClassificationMetrics

ECE_BINS = 15


def classification_metrics(
    y_true: np.ndarray, y_score: np.ndarray, labels: tuple[str, ...], y_pred: np.ndarray | None = None
) -> ClassificationMetrics:
    """Computes every metric that gates and reports use.

    The calibration error is that of the probabilities, whatever is predicted; all else is of the predictions.

    Args:
        y_true: Class ids, shape `(n_samples,)`.
        y_score: Probabilities, shape `(n_samples, n_classes)`, rows summing to 1.
        labels: Class names; their order is that of the ids.
        y_pred: Predicted class ids, shape `(n_samples,)`, where thresholds decide; None: the most probable class.

    Returns:
        Metrics; those that an empty class leaves undefined are None.

    Raises:
        ValueError: If shapes do not match, or a probability is not finite.
    """
    if y_score.shape != (len(y_true), len(labels)):
        raise ValueError(f"Expected y_score of shape {(len(y_true), len(labels))}; got {y_score.shape}.")
    if not np.isfinite(y_score).all():
        raise ValueError("Expected finite probabilities; got NaN or infinity.")
    y_pred = y_score.argmax(axis=1) if y_pred is None else y_pred
    if y_pred.shape != (len(y_true),):
        raise ValueError(f"Expected y_pred of shape {(len(y_true),)}; got {y_pred.shape}.")
    counts = confusion_matrix(y_true, y_pred, len(labels))
    recall, precision, f1, specificity = class_scores(counts)
    total = counts.sum()
    return ClassificationMetrics(
        n_rows=dict(zip(labels, counts.sum(axis=1).tolist(), strict=True)),
        recall=_by_label(labels, recall),
        precision=_by_label(labels, precision),
        macro_recall=defined(recall.mean()),
        macro_f1=defined(f1.mean()),
        geometric_mean=defined(np.prod(recall) ** (1 / len(labels))),
        geometric_mean_macro=defined(np.sqrt(recall.mean() * specificity.mean())),
        minimum_recall=defined(recall.min()),
        accuracy=defined(np.trace(counts) / total if total else np.nan),
        ece=defined(expected_calibration_error(y_true, y_score) if total else np.nan),
        confusion=tuple(tuple(row) for row in counts.tolist()),
    )


def confusion_matrix(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int) -> np.ndarray:
    """Returns the rows by true class (first axis) and predicted class, shape `(n_classes, n_classes)`, int64."""
    cells = np.bincount(y_true.astype(np.int64) * n_classes + y_pred, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes)


def macro_recall(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int) -> float:
    """Returns the mean recall over classes, each counting alike whatever its size; NaN if a class has no rows."""
    return float(class_scores(confusion_matrix(y_true, y_pred, n_classes)).recall.mean())


def expected_calibration_error(
    y_true: np.ndarray, y_score: np.ndarray, bins: int = ECE_BINS, *, weights: np.ndarray | None = None
) -> float:
    """Returns the mean distance between confidence and accuracy, weighted by bin size.

    Args:
        y_true: Class ids, shape `(n_samples,)`, at least one.
        y_score: Probabilities, shape `(n_samples, n_classes)`.
        bins: Equal-width bins of the largest probability, `(lower, upper]`.
        weights: What each row counts, shape `(n_samples,)`, not all zero: so that the classes have the shares of
            another distribution. None: all alike, under the rows' own prior.

    References:
        Guo et al., 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    confidence = y_score.max(axis=1)
    right = (y_score.argmax(axis=1) == y_true).astype(np.float64)
    gaps = right - confidence if weights is None else weights * (right - confidence)
    total = len(y_true) if weights is None else weights.sum()
    by_bin = np.bincount(confidence_bins(confidence, bins), weights=gaps, minlength=bins)
    return float(np.abs(by_bin).sum() / total)


def confidence_bins(confidence: np.ndarray, bins: int = ECE_BINS) -> np.ndarray:
    """Returns the bin of each probability, int64 in `[0, bins)`: of equal width, `(lower, upper]`, 0 in the first."""
    member: np.ndarray = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    return member


class ClassScores(NamedTuple):
    """Scores by class, each of shape `(n_classes,)`; NaN where a denominator is zero."""

    recall: np.ndarray
    precision: np.ndarray
    f1: np.ndarray
    specificity: np.ndarray


def class_scores(counts: np.ndarray) -> ClassScores:
    """Returns the scores of each class against the rest.

    Args:
        counts: Rows, or what they weigh, by true (first axis) and predicted class, shape `(n_classes, n_classes)`.
    """
    hits = np.diag(counts).astype(np.float64)
    actual, predicted, total = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = hits / actual
        precision = hits / predicted
        f1 = 2 * hits / (actual + predicted)
        specificity = (total - actual - predicted + hits) / (total - actual)
    return ClassScores(recall, precision, np.where(actual > 0, f1, np.nan), specificity)


def defined(value: float) -> float | None:
    """Returns a number, or None where it is NaN or infinite: an undefined metric is missing, and never NaN."""
    return float(value) if np.isfinite(value) else None


def _by_label(labels: tuple[str, ...], values: np.ndarray) -> dict[str, float | None]:
    return {label: defined(value) for label, value in zip(labels, values, strict=True)}
