"""Class probabilities of every row by a model that has not seen it, nor any row that belongs to it.

What is concluded from them is in `confident_learning.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from include.retraining.embedding.scaling import fit_scaler

N_FOLDS = 5
HELD_OUT = -1
"""Fold of the test rows: all other rows together predict them, and they predict none."""

MINIMUM_SEEN = 2
"""Rows of a class that each model must have seen; with fewer the class is not judged."""

# Measured, with the alternatives, by benchmarks/label_doubts.py.
N_COMPONENTS = 512
INVERSE_PENALTY = 3.0  # scikit-learn's C, for rows whose mean squared length is about 1

_TOLERANCE = 1e-3  # a tenth of it doubles the time and finds the same errors
_MOST_ITERATIONS = 1000


def assign_folds(kinship: Sequence[str], is_test: np.ndarray) -> np.ndarray:
    """Returns each row's fold: a hash of its kin's name, so that neither order nor other rows decide.

    Args:
        kinship: Names as `dataset/kinship.py` gives them.
        is_test: Which rows are test rows, shape `(n_rows,)`, bool.

    Returns:
        Folds in `[0, N_FOLDS)`, `HELD_OUT` for test rows; shape `(n_rows,)`, int64.
    """
    digests = [int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) for name in kinship]
    return np.where(is_test, HELD_OUT, np.array(digests, np.int64) % N_FOLDS)


def judged_classes(y: np.ndarray, folds: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Returns which classes can be judged: those of which every model sees `MINIMUM_SEEN` rows or more.

    Returns:
        Shape `(n_classes,)`, bool; all False where fewer than two classes are left to tell apart.
    """
    counts = np.zeros((n_classes, N_FOLDS), np.int64)
    taught = folds != HELD_OUT
    np.add.at(counts, (y[taught], folds[taught]), 1)
    judged = (counts.sum(axis=1, keepdims=True) - counts >= MINIMUM_SEEN).all(axis=1)
    return judged if judged.sum() > 1 else np.zeros(n_classes, bool)


def predict_out_of_sample(X: np.ndarray, y: np.ndarray, folds: np.ndarray, *, n_classes: int) -> np.ndarray:
    """Predicts each row by a multinomial logistic regression that was fitted on the other folds.

    The vectors become standard scores and then principal components, both fitted on all rows but the held-out ones,
    without labels: no row's label has a part in its own prediction.

    Args:
        X: Vectors, shape `(n_rows, n_features)`, float32.
        y: Given classes, shape `(n_rows,)`, int.
        folds: As `assign_folds` returns them; outside every fold are rows of at least two classes.
        n_classes: Number of classes; one that a model did not see has probability 0.

    Returns:
        Shape `(n_rows, n_classes)`, float32.
    """
    taught = folds != HELD_OUT
    probabilities = np.zeros((len(y), n_classes), np.float32)
    # One thread: the same bits whatever the worker's number of cores, and no waiting for threads on a busy one.
    with threadpool_limits(1):
        Z = _components(X, taught)
        for fold in np.unique(folds):
            others, here = taught & (folds != fold), folds == fold
            model = LogisticRegression(C=INVERSE_PENALTY, tol=_TOLERANCE, max_iter=_MOST_ITERATIONS)
            model.fit(Z[others], y[others])
            probabilities[np.ix_(here, model.classes_)] = np.clip(model.predict_proba(Z[here]), 0.0, 1.0)
    return probabilities


def _components(X: np.ndarray, fitted_on: np.ndarray) -> np.ndarray:
    """Returns the first principal components of the standard scores; with all of them, a mean squared length of 1."""
    scaler = fit_scaler(X[fitted_on])
    scores = scaler.transform(X)
    pca = PCA(min(N_COMPONENTS, int(fitted_on.sum()), X.shape[1]), svd_solver="covariance_eigh").fit(scores[fitted_on])
    components: np.ndarray = pca.transform(scores) / np.float32(np.sqrt(X.shape[1]))
    return components
