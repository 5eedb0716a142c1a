"""Metrics of parts of the test rows: those with one value in a column of the manifests, one group, one day."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd

from include.retraining.artifacts.evaluation import SliceMetrics
from include.retraining.intake.attributes import attributes_of
from include.retraining.metrics import classification_metrics

logger = logging.getLogger(__name__)

MAXIMUM_SLICES = 50  # of a column: more are no slices but names of single rows


def slice_values(rows: pd.DataFrame, column: str) -> np.ndarray:
    """Returns what each row has in a column that slices are made by.

    Args:
        rows: Schema `SNAPSHOT`.
        column: `group`, `date`, or a column of the manifests.

    Returns:
        Texts, object, shape `(n_rows,)`, in the order of the rows: a day in ISO 8601, and empty where a row says
        nothing, which holds for every row where no manifest has such a column.
    """
    match column:
        case "group":
            texts = rows["group"].tolist()
        case "date":
            texts = [day.isoformat() for day in rows["date"]]
        case _:
            texts = [attributes_of(text).get(column, "") for text in rows["attributes"]]
    return np.array(texts, dtype=object)


def slice_metrics(
    rows: pd.DataFrame,
    y_true: np.ndarray,
    y_score: np.ndarray,
    y_pred: np.ndarray,
    *,
    labels: tuple[str, ...],
    columns: Sequence[str],
) -> tuple[SliceMetrics, ...]:
    """Computes the metrics of every slice, each under its own class distribution.

    Args:
        rows: The test rows, schema `SNAPSHOT`.
        y_true: Class ids, shape `(n_rows,)`.
        y_score: Probabilities, shape `(n_rows, n_classes)`.
        y_pred: Predicted class ids, shape `(n_rows,)`.
        labels: Class names; their order is that of the ids.
        columns: What slices are made by, see `slice_values`.

    Returns:
        By column in the order given; of each at most `MAXIMUM_SLICES`, the largest first, equal ones by value.
    """
    found = []
    for column in columns:
        values = slice_values(rows, column)
        for value in _largest(column, values):
            is_in = values == value
            found.append(_metrics(column, value, y_true[is_in], y_score[is_in], y_pred[is_in], labels))
    return tuple(found)


def _largest(column: str, values: np.ndarray) -> list[str]:
    by_size = sorted(Counter(values.tolist()).items(), key=lambda item: (-item[1], item[0]))
    if len(by_size) > MAXIMUM_SLICES:
        logger.warning("slices column=%s values=%d kept=%d", column, len(by_size), MAXIMUM_SLICES)
    return [value for value, _ in by_size[:MAXIMUM_SLICES]]


def _metrics(
    column: str, value: str, y_true: np.ndarray, y_score: np.ndarray, y_pred: np.ndarray, labels: tuple[str, ...]
) -> SliceMetrics:
    metrics = classification_metrics(y_true, y_score, labels, y_pred)
    defined = [recall for recall in metrics.recall.values() if recall is not None]
    return SliceMetrics(
        column=column,
        value=value,
        n_rows=metrics.n_rows,
        macro_recall=float(np.mean(defined)),
        minimum_recall=min(defined),
        accuracy=metrics.accuracy,
        ece=metrics.ece,
        recall=metrics.recall,
    )
