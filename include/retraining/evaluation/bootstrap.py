"""How sure the difference between challenger and champion is: a paired bootstrap, stratified by class.

A resample draws, for each class, as many rows as the class has, with replacement among its own rows, and scores both
models on the same draw. The class counts stay, so a rare class is there in every resample; what both models get right,
or wrong, cancels. The rows of a slice are resampled as a test set of their own.

Two things differ from the textbook, since the gate that reads the bounds must not err more often than it says, with 10
rows of a class as with 1000 (`python -m benchmarks.gate_errors` has the figures, and those of the usual intervals):

* Each class has two pseudo-rows of half a row's weight: one that only the challenger gets right, one that only the
  champion does. Where the models disagree on few rows of a class, or by luck on none, the rows alone say that the
  difference has no variance: without pseudo-rows the gate on the recall of a class of 10 rows passes more than half of
  the models at its border. They follow Agresti & Min (2005), who add a half to each cell of the table of two paired
  proportions; drawn instead of computed, they serve every metric that is made of right and wrong predictions. They also
  outweigh that the bootstrap's variance is (n − 1) / n too small.
* The bounds are the estimate plus and minus normal quantiles of the bootstrap's standard error (Efron & Tibshirani
  1993, chapter 13). Quantiles of the resamples themselves (percentile, basic, BCa) err more often: with few rows a
  difference can take few values, and the next one is too near.

Two models whose probabilities and predictions are equal on every row are one: their differences are 0, and sure.
Rows count as independent, also those of one group: where groups are large, less is known than the bounds say.

References:
    Efron & Tibshirani, 1993, "An Introduction to the Bootstrap". Davison & Hinkley, 1997, "Bootstrap Methods and their
    Application", section 3.2, for several samples, here the classes. Agresti & Min, 2005, "Simple improved confidence
    intervals for comparing matched proportions".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np
from scipy import sparse

from include.retraining.artifacts import Bound, Difference
from include.retraining.config import (
    CONFIDENCES,
    DEPLOYMENT_METRICS,
    LABEL_METRICS,
    OVERALL_METRICS,
    SLICE_METRICS,
    EvaluationConfig,
)
from include.retraining.evaluation.priors import class_weights
from include.retraining.metrics import ECE_BINS, confidence_bins

BLOCK_ITEMS = 2**21  # counts of rows in resamples that are held at once
LARGEST_UNDEFINED = 0.01  # share of the resamples that may leave a metric undefined, such as a precision


@dataclass(frozen=True)
class TestRows:
    """The rows that both models are scored on.

    Attributes:
        y_true: Class ids, shape `(n_samples,)`, int64.
        labels: Class names; their order is that of the ids.
        slices: Masks by `column=value`, each of shape `(n_samples,)`, bool.
    """

    y_true: np.ndarray
    labels: tuple[str, ...]
    slices: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Predictions:
    """What a model says of the rows.

    Attributes:
        y_score: Probabilities, shape `(n_samples, n_classes)`, float32.
        y_pred: Predicted class ids, shape `(n_samples,)`, int64.
    """

    y_score: np.ndarray
    y_pred: np.ndarray

    def of(self, rows: np.ndarray) -> Predictions:
        """Returns those of the rows of a mask."""
        return Predictions(self.y_score[rows], self.y_pred[rows])


def differences(
    test: TestRows, challenger: Predictions, champion: Predictions, config: EvaluationConfig
) -> tuple[Difference, ...]:
    """Computes challenger less champion, with one-sided bounds for each confidence that gates may ask for.

    Args:
        test: The rows.
        challenger: What it says of them.
        champion: What the champion says of them.
        config: Resamples, seed and prior of deployment.

    Returns:
        Every metric over all rows; what depends on the shares of the classes under the prior of deployment, if there is
        one; then those of each slice. None stands where a metric is undefined, or is in over 1 % of the resamples. The
        same input gives the same numbers; those of a slice depend on its own rows alone.

    Raises:
        ValueError: If shapes do not match, or a probability is not finite.
    """
    pair = (challenger, champion)
    for predictions in pair:
        _require_shapes(test, predictions)
    is_same = all(np.array_equal(getattr(challenger, of), getattr(champion, of)) for of in ("y_score", "y_pred"))
    compare = partial(_compare, labels=test.labels, n_resamples=0 if is_same else config.resamples, seed=config.seed)

    plain = np.ones(len(test.labels))
    found = compare(_sample(test.y_true, pair, plain), _Part(OVERALL_METRICS + LABEL_METRICS))
    if config.deployment_prior is not None:
        weights = class_weights(test.y_true, test.labels, config.deployment_prior)
        found += compare(_sample(test.y_true, pair, weights), _Part(DEPLOYMENT_METRICS, prior="deployment"))
    for name, rows in test.slices.items():
        sample = _sample(test.y_true[rows], (challenger.of(rows), champion.of(rows)), plain)
        found += compare(sample, _Part(SLICE_METRICS, slice=name))
    return tuple(found)


@dataclass(frozen=True)
class _Part:
    """Which metrics are taken, and over what."""

    metrics: tuple[str, ...]
    slice: str = ""
    prior: str = "test"


@dataclass(frozen=True)
class _Sample:
    """Rows to draw from, sorted by class; after those of each class come its two pseudo-rows.

    Attributes:
        sizes: Rows by class, without pseudo-rows, shape `(n_classes,)`.
        weights: What a row of each class counts, shape `(n_classes,)`.
        sums: What a row adds to the sums that metrics are made of, for both models: weighted hits and predictions by
            class, and distances between confidence and accuracy by bin; sparse,
            shape `(2 × (2 × n_classes + bins), n_rows + 2 × n_classes)`.
    """

    sizes: np.ndarray
    weights: np.ndarray
    sums: Any


def _require_shapes(test: TestRows, predictions: Predictions) -> None:
    n_rows, expected = len(test.y_true), (len(test.y_true), len(test.labels))
    if predictions.y_score.shape != expected or predictions.y_pred.shape != (n_rows,):
        found = f"{predictions.y_score.shape} and {predictions.y_pred.shape}"
        raise ValueError(f"Expected y_score and y_pred of shapes {expected} and {(n_rows,)}; got {found}.")
    if not np.isfinite(predictions.y_score).all():
        raise ValueError("Expected finite probabilities; got NaN or infinity.")


def _sample(y_true: np.ndarray, pair: tuple[Predictions, Predictions], weights: np.ndarray) -> _Sample:
    sizes = np.bincount(y_true, minlength=len(weights))
    order = np.argsort(y_true, kind="stable")
    place = np.empty(len(y_true), np.int64)
    place[order] = np.arange(len(y_true)) + 2 * y_true[order]
    sums = [_sums_of(model, y_true, place, own, weights) for own, model in enumerate(pair)]
    return _Sample(sizes, weights, sparse.vstack(sums, format="csr"))


def _sums_of(model: Predictions, y_true: np.ndarray, place: np.ndarray, own: int, weights: np.ndarray) -> Any:
    """Returns one model's half of `_Sample.sums`; of the pseudo-rows of a class, it is right on the `own`th."""
    n_classes, weight = len(weights), weights[y_true]
    hit = model.y_pred == y_true
    confidence = model.y_score.max(axis=1)
    gap = (model.y_score.argmax(axis=1) == y_true) - confidence.astype(np.float64)
    classes = np.arange(n_classes)
    pseudo = np.cumsum(np.bincount(y_true, minlength=n_classes)) + 2 * classes
    # Of the pseudo-row that the model gets wrong, each other class is predicted a little.
    actual, other = np.nonzero(~np.eye(n_classes, dtype=bool))
    cells = [
        (y_true[hit], place[hit], weight[hit]),
        (n_classes + model.y_pred, place, weight),
        (2 * n_classes + confidence_bins(confidence), place, weight * gap),
        (classes, pseudo + own, weights),
        (n_classes + classes, pseudo + own, weights),
        (n_classes + other, pseudo[actual] + 1 - own, weights[actual] / (n_classes - 1)),
    ]
    row, column, value = (np.concatenate(parts) for parts in zip(*cells, strict=True))
    shape = (2 * n_classes + ECE_BINS, len(y_true) + 2 * n_classes)
    return sparse.csr_array((value, (row, column)), shape=shape)


def _compare(sample: _Sample, part: _Part, *, labels: tuple[str, ...], n_resamples: int, seed: int) -> list[Difference]:
    """Returns a part's differences. Without resamples, the models are one."""
    classes = np.arange(len(labels))
    over = classes if not part.slice or not sample.sizes.any() else np.flatnonzero(sample.sizes)
    estimates = _differences(sample, _once(sample.sizes), part.metrics, over)
    blocks = [
        _differences(sample, counts, part.metrics, over) for counts in _resamples(sample.sizes, n_resamples, seed)
    ]
    names = [
        name if name not in LABEL_METRICS else f"{name}:{label}"
        for name in part.metrics
        for label in (labels if name in LABEL_METRICS else ("",))
    ]
    resampled = np.concatenate(blocks, axis=1) if blocks else np.where(np.isfinite(estimates), 0.0, np.nan)
    return [
        _difference(name, part, estimate, values)
        for name, (estimate,), values in zip(names, estimates, resampled, strict=True)
    ]


def _once(sizes: np.ndarray) -> np.ndarray:
    """Returns counts that take each row once and no pseudo-row, shape `(n_rows + 2 × n_classes, 1)`."""
    takes = [np.repeat([1.0, 0.0], [size, 2]) for size in sizes]
    return np.concatenate(takes)[:, None]


def _resamples(sizes: np.ndarray, n_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yields how often each row and pseudo-row is drawn, in blocks of resamples.

    A row is drawn by either of its two tickets, a pseudo-row by its one. A class without rows has no draws.

    Yields:
        Shape `(n_rows + 2 × n_classes, up to n_resamples)`, float64.
    """
    rng = np.random.default_rng(seed)
    block = max(1, BLOCK_ITEMS // (int(sizes.sum()) + 2 * len(sizes)))
    for start in range(0, n_resamples, block):
        n = min(block, n_resamples - start)
        yield np.concatenate([_draw(int(size), n, rng) for size in sizes]).astype(np.float64)


def _draw(size: int, n_resamples: int, rng: np.random.Generator) -> np.ndarray:
    tickets = rng.integers(2 * size + 2, size=(size, n_resamples))
    cells = (tickets * n_resamples + np.arange(n_resamples)).ravel()
    drawn = np.bincount(cells, minlength=(2 * size + 2) * n_resamples).reshape(size + 1, 2, n_resamples)
    return np.concatenate([drawn[:size].sum(axis=1), drawn[size]])


def _differences(sample: _Sample, counts: np.ndarray, metrics: Sequence[str], over: np.ndarray) -> np.ndarray:
    """Returns challenger less champion for resamples.

    Args:
        sample: The rows.
        counts: How often each is taken, shape `(n_rows + 2 × n_classes, n_resamples)`.
        metrics: Their names, without labels.
        over: Classes that means over classes, and the smallest recall, are over.

    Returns:
        Shape `(n_metrics, n_resamples)`, a row for each class in place of those that have a label; NaN where undefined.
    """
    sums = sample.sums @ counts
    challenger, champion = (_scores(half, sample, over) for half in np.split(sums, 2))
    return np.concatenate([np.atleast_2d(challenger[name] - champion[name]) for name in metrics])


def _scores(sums: np.ndarray, sample: _Sample, over: np.ndarray) -> dict[str, np.ndarray]:
    """Returns one model's metrics from its sums, as `metrics.classification_metrics` defines them."""
    n_classes = len(sample.sizes)
    hits, predicted, gaps = np.split(sums, [n_classes, 2 * n_classes])
    actual = (sample.sizes * sample.weights)[:, None]
    total = actual.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        recall, precision = hits / actual, hits / predicted
        f1 = np.where(actual > 0, 2 * hits / (actual + predicted), np.nan)
        specificity = (total - actual - predicted + hits) / (total - actual)
        accuracy, ece = hits.sum(axis=0) / total, np.abs(gaps).sum(axis=0) / total
    mean_recall = recall[over].mean(axis=0)
    return {
        "macro_recall": mean_recall,
        "macro_f1": f1[over].mean(axis=0),
        "geometric_mean": recall[over].prod(axis=0) ** (1 / len(over)),
        "geometric_mean_macro": np.sqrt(mean_recall * specificity[over].mean(axis=0)),
        "minimum_recall": recall[over].min(axis=0),
        "accuracy": accuracy,
        "ece": ece,
        "recall": recall,
        "precision": precision,
    }


def _difference(name: str, part: _Part, estimate: float, resampled: np.ndarray) -> Difference:
    defined = resampled[np.isfinite(resampled)]
    known = np.isfinite(estimate) and len(defined) >= (1 - LARGEST_UNDEFINED) * len(resampled)
    error = float(defined.std()) if known else None
    return Difference(
        metric=name,
        slice=part.slice,
        prior=part.prior,
        estimate=float(estimate) if np.isfinite(estimate) else None,
        standard_error=error,
        bounds=tuple(_bound(confidence, float(estimate), error) for confidence in CONFIDENCES),
    )


def _bound(confidence: float, estimate: float, error: float | None) -> Bound:
    if error is None:
        return Bound(confidence, None, None)
    reach = NormalDist().inv_cdf(confidence) * error
    return Bound(confidence, max(-1.0, estimate - reach), min(1.0, estimate + reach))
