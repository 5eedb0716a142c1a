"""How many rows of each class a `sampling_strategy` asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from imblearn.utils import check_sampling_strategy

from include.retraining.config import SamplingStrategy, UpTo
from include.retraining.errors import ConfigurationError

_WHERE = "sampling_strategy"


def asked_counts(y: np.ndarray, sampling_strategy: SamplingStrategy) -> dict[Any, int]:
    """Returns how many rows each class should have after resampling; a class is never to have fewer than it has.

    Args:
        y: Labels, shape `(n_rows,)`, of at least two classes.
        sampling_strategy: As in imbalanced-learn: `auto` and `not majority` fill every class up to the largest,
            `minority` the smallest alone, `not minority` and `all` come to the same as `auto` but for the smallest
            and for nothing; a mapping asks for a number of rows by label, and leaves other labels as they are.
            `UpTo` fills up to a share of the largest class, rounded, and leaves larger classes as they are.

    Returns:
        Rows by label, in the order of the labels.

    Raises:
        ConfigurationError: If a label has no row, a class should shrink, or there is only one class.
    """
    labels, counts = np.unique(y, return_counts=True)
    present: dict[Any, int] = dict(zip(labels.tolist(), counts.tolist(), strict=True))
    if isinstance(sampling_strategy, UpTo):
        share = round(sampling_strategy.up_to * max(present.values()))
        return {label: max(count, share) for label, count in present.items()}
    if isinstance(sampling_strategy, Mapping):
        _refuse_impossible(present, sampling_strategy)
        return {label: int(sampling_strategy.get(label, count)) for label, count in present.items()}
    try:
        made = check_sampling_strategy(sampling_strategy, y, "over-sampling")
    except ValueError as error:
        raise ConfigurationError(_WHERE, str(error), "Deliver images of every label, or change it") from error
    return {label: count + int(made.get(label, 0)) for label, count in present.items()}


def _refuse_impossible(present: Mapping[Any, int], asked: Mapping[Any, int]) -> None:
    unknown = sorted(str(label) for label in asked if label not in present)
    if unknown:
        raise ConfigurationError(
            _WHERE, f"it asks for rows of {', '.join(unknown)}, of which there is none", "Take out what has no image"
        )
    shrinking = {label: (present[label], count) for label, count in asked.items() if count < present[label]}
    if shrinking:
        told = "; ".join(f"{label!r} has {has} rows and {count} are asked" for label, (has, count) in shrinking.items())
        raise ConfigurationError(
            _WHERE, f"rows are added, never taken: {told}", "Ask for at least as many, or leave the label out"
        )
