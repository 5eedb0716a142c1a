"""How well predictions match labels, for classes of very different size. Each docstring names the prior it assumes."""

from __future__ import annotations

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
    recall, precision, f1, specificity = _per_class(counts)
    total = counts.sum()
    return ClassificationMetrics(
        n_rows=dict(zip(labels, counts.sum(axis=1).tolist(), strict=True)),
        recall=_by_label(labels, recall),
        precision=_by_label(labels, precision),
        macro_recall=_defined(recall.mean()),
        macro_f1=_defined(f1.mean()),
        geometric_mean=_defined(np.prod(recall) ** (1 / len(labels))),
        geometric_mean_macro=_defined(np.sqrt(recall.mean() * specificity.mean())),
        minimum_recall=_defined(recall.min()),
        accuracy=_defined(np.trace(counts) / total if total else np.nan),
        ece=_defined(expected_calibration_error(y_true, y_score) if total else np.nan),
        confusion=tuple(tuple(row) for row in counts.tolist()),
    )


def confusion_matrix(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int) -> np.ndarray:
    """Returns the rows by true class (first axis) and predicted class, shape `(n_classes, n_classes)`, int64."""
    cells = np.bincount(y_true.astype(np.int64) * n_classes + y_pred, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes)


def macro_recall(y_true: np.ndarray, y_pred: np.ndarray, n_classes: int) -> float:
    """Returns the mean recall over classes, each counting alike whatever its size; NaN if a class has no rows."""
    return float(_per_class(confusion_matrix(y_true, y_pred, n_classes))[0].mean())


def expected_calibration_error(y_true: np.ndarray, y_score: np.ndarray, bins: int = ECE_BINS) -> float:
    """Returns the mean distance between confidence and accuracy, weighted by bin size, under the rows' own prior.

    Args:
        y_true: Class ids, shape `(n_samples,)`, at least one.
        y_score: Probabilities, shape `(n_samples, n_classes)`.
        bins: Equal-width bins of the largest probability, `(lower, upper]`.

    References:
        Guo et al., 2017, "On Calibration of Modern Neural Networks", equation 3.
    """
    confidence = y_score.max(axis=1)
    right = (y_score.argmax(axis=1) == y_true).astype(np.float64)
    member = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    gaps = np.bincount(member, weights=right - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(y_true))


def _per_class(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Returns recall, precision, F1 and specificity by class; NaN where a denominator is zero."""
    hits = np.diag(counts).astype(np.float64)
    actual, predicted, total = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = hits / actual
        precision = hits / predicted
        f1 = 2 * hits / (actual + predicted)
        specificity = (total - actual - predicted + hits) / (total - actual)
    return recall, precision, np.where(actual > 0, f1, np.nan), specificity


def _by_label(labels: tuple[str, ...], values: np.ndarray) -> dict[str, float | None]:
    return {label: _defined(value) for label, value in zip(labels, values, strict=True)}


def _defined(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
