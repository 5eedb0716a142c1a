"""Metrics under another class distribution than that of the test rows. Recalls do not depend on it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from include.retraining.artifacts import PriorMetrics
from include.retraining.metrics import class_scores, confusion_matrix, defined, expected_calibration_error


def prior_metrics(
    y_true: np.ndarray,
    y_score: np.ndarray,
    y_pred: np.ndarray,
    labels: tuple[str, ...],
    prior: Mapping[str, float],
) -> PriorMetrics:
    """Computes what the metrics would be if the classes were as common as given, and each as easy as it is here.

    Args:
        y_true: Class ids, shape `(n_samples,)`.
        y_score: Probabilities, shape `(n_samples, n_classes)`, rows summing to 1.
        y_pred: Predicted class ids, shape `(n_samples,)`.
        labels: Class names; their order is that of the ids.
        prior: Share of each label; they sum to 1.

    Returns:
        Metrics; all None if a class that is there under the prior has no test rows, which nothing can stand for.

    References:
        Saerens, Latinne & Decaestecker, 2002, "Adjusting the Outputs of a Classifier to New a Priori Probabilities":
        the assumption that only the shares of the classes change, not what a class looks like.
    """
    weights = class_weights(y_true, labels, prior)
    counts = confusion_matrix(y_true, y_pred, len(labels)) * weights[:, None]
    scores = class_scores(counts)
    ece = expected_calibration_error(y_true, y_score, weights=weights[y_true]) if len(y_true) else np.nan
    precision = {label: defined(value) for label, value in zip(labels, scores.precision, strict=True)}
    return PriorMetrics(
        prior=dict(prior),
        accuracy=defined(np.trace(counts) / counts.sum()),
        macro_f1=defined(scores.f1.mean()),
        ece=defined(ece),
        precision=precision,
    )


def class_weights(y_true: np.ndarray, labels: tuple[str, ...], prior: Mapping[str, float]) -> np.ndarray:
    """Returns what a row of each class must count for the classes to have the shares of a prior.

    Args:
        y_true: Class ids, shape `(n_samples,)`.
        labels: Class names; their order is that of the ids.
        prior: Share of each label.

    Returns:
        Shape `(n_classes,)`, float64: share under the prior divided by share of the rows. All NaN if a class has the
        one and not the other: then nothing is known under the prior.
    """
    n_rows = np.bincount(y_true, minlength=len(labels))
    shares = np.array([prior[label] for label in labels], np.float64)
    if (shares[n_rows == 0] > 0).any():
        return np.full(len(labels), np.nan)
    return shares * len(y_true) / np.maximum(n_rows, 1)
