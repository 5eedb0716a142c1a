"""What is fitted on validation rows once a head is trained: a temperature, and a threshold for each class."""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from include.retraining.config import CalibrationConfig
from include.retraining.metrics import macro_recall
from include.retraining.training.head import Head, decide

LOWEST_TEMPERATURE, HIGHEST_TEMPERATURE = 0.05, 20.0
LEVELS = np.linspace(0, 1, 101)  # of the quantiles that are tried as thresholds
SWEEPS = 10  # over all classes; fewer where one of them changes nothing


def calibrate(
    head: Head, X_validation: np.ndarray, y_validation: np.ndarray, *, assumes_uniform: bool, config: CalibrationConfig
) -> Head:
    """Returns the head with the temperature and the thresholds that the recipe asks for.

    Args:
        head: With a temperature of 1 and without thresholds.
        X_validation: Vectors as the extractor made them, shape `(n_samples, n_features)`; none was trained on.
        y_validation: Their class ids, every class present.
        assumes_uniform: Whether the head's probabilities are meant for equally likely classes: then validation rows
            weigh so that the classes count alike, else each counts as it is.
        config: What is asked for.
    """
    if config.temperature:
        temperature = fit_temperature(head.logits(X_validation), y_validation, assumes_uniform=assumes_uniform)
        head = dataclasses.replace(head, temperature=temperature)
    if config.thresholds:
        head = dataclasses.replace(head, thresholds=fit_thresholds(head.predict_proba(X_validation), y_validation))
    return head


def fit_temperature(logits: np.ndarray, y_true: np.ndarray, *, assumes_uniform: bool) -> float:
    """Returns the temperature with the lowest negative log-likelihood, in [0.05, 20]; 1 where none is better than it.

    Args:
        logits: Shape `(n_samples, n_classes)`.
        y_true: Class ids, shape `(n_samples,)`, at least one.
        assumes_uniform: Whether classes count alike, instead of rows.

    References:
        Guo et al., 2017, "On Calibration of Modern Neural Networks", section 4.2.
    """
    wide = logits.astype(np.float64)
    weight = 1 / np.bincount(y_true)[y_true] if assumes_uniform else np.ones(len(y_true))
    of_label = np.take_along_axis(wide, y_true[:, np.newaxis], axis=1)[:, 0]

    def loss(log_temperature: float) -> float:
        inverse = np.exp(-log_temperature)
        return float(np.average(logsumexp(wide * inverse, axis=1) - of_label * inverse, weights=weight))

    # The loss is convex in 1 / temperature, so it has one valley in its logarithm too.
    bounds = np.log(LOWEST_TEMPERATURE), np.log(HIGHEST_TEMPERATURE)
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x)) if found.fun < loss(0.0) else 1.0


def fit_thresholds(y_score: np.ndarray, y_true: np.ndarray) -> np.ndarray:
    """Returns a threshold for each class, for the highest macro recall, by coordinate ascent from equal ones.

    One class after another takes the quantile, of the thresholds at which a row enters or leaves it, that is best while
    the others stand; a step that gains nothing is not taken, so that the result is never worse than the most probable
    class. Of equals the one nearest to the equal threshold is taken.

    Args:
        y_score: Probabilities, shape `(n_samples, n_classes)`.
        y_true: Class ids, shape `(n_samples,)`, every class present.

    Returns:
        Shape `(n_classes,)`, float64, positive; all `1 / n_classes` where nothing gains.
    """
    n_classes = y_score.shape[1]
    thresholds = np.full(n_classes, 1 / n_classes)
    best = macro_recall(y_true, decide(y_score, thresholds), n_classes)
    for _ in range(SWEEPS):
        before = best
        for class_id in range(n_classes):
            tried = thresholds.copy()
            tried[class_id] = _best_threshold(y_score, y_true, thresholds, class_id)
            score = macro_recall(y_true, decide(y_score, tried), n_classes)
            if score > best:
                thresholds, best = tried, score
        if not best > before:
            break
    return thresholds


def _best_threshold(y_score: np.ndarray, y_true: np.ndarray, thresholds: np.ndarray, class_id: int) -> float:
    """Returns the threshold of a class with the highest macro recall, given those of the others."""
    n_classes = len(thresholds)
    factors = y_score / thresholds
    factors[:, class_id] = -1
    rival = factors.argmax(axis=1)
    # A row is of the class where the threshold is below this one; the smallest normal number stands for a rival's zero.
    entry = y_score[:, class_id] / np.maximum(factors.max(axis=1), np.finfo(np.float64).tiny)
    is_own = y_true == class_id
    gain = (is_own.astype(np.float64) - (rival == y_true)) / np.bincount(y_true, minlength=n_classes)[y_true]
    rank = np.argsort(entry, kind="stable")
    gain_above = np.append(np.cumsum(gain[rank][::-1])[::-1], 0.0)
    grid = np.quantile(entry, LEVELS)
    grid = np.unique(grid[np.isfinite(grid) & (grid > 0)])
    grid = grid if len(grid) else thresholds[class_id : class_id + 1]
    gains = gain_above[np.searchsorted(entry[rank], grid, side="right")]
    equals = grid[gains >= gains.max() - 1e-12]
    return float(equals[np.abs(np.log(equals * n_classes)).argmin()])
