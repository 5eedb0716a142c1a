"""The reliability diagram in numbers: how right predictions are, by how sure they are."""

from __future__ import annotations

import numpy as np

from include.retraining.artifacts import ReliabilityBin
from include.retraining.metrics import ECE_BINS, confidence_bins


def reliability(y_true: np.ndarray, y_score: np.ndarray) -> tuple[ReliabilityBin, ...]:
    """Returns 15 bins of equal width, from unsure to sure.

    Their distances between confidence and accuracy, weighted by their rows, sum to the expected calibration error.

    Args:
        y_true: Class ids, shape `(n_samples,)`.
        y_score: Probabilities, shape `(n_samples, n_classes)`, rows summing to 1.

    References:
        Guo et al., 2017, "On Calibration of Modern Neural Networks", figure 1.
    """
    confidence = y_score.max(axis=1)
    right = y_score.argmax(axis=1) == y_true
    member = confidence_bins(confidence)
    n_rows, sure, hits = (np.bincount(member, weights=it, minlength=ECE_BINS) for it in (None, confidence, right))
    edges = np.arange(ECE_BINS + 1) / ECE_BINS
    return tuple(
        ReliabilityBin(
            lower=float(edges[number]),
            upper=float(edges[number + 1]),
            n_rows=int(n),
            confidence=float(sure[number] / n) if n else None,
            accuracy=float(hits[number] / n) if n else None,
        )
        for number, n in enumerate(n_rows)
    )
