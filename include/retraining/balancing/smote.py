"""Imbalanced-learn's SMOTE, made to tell what it did."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE

from include.retraining.balancing.plan import Plan


@dataclass(frozen=True)
class Resampling:
    """A plan and how the neighbours were chosen.

    Attributes:
        plan: The synthetic rows.
        neighbours: The k that was used, by label; 0 where the only image is repeated.
        warnings: One sentence a class whose k had to be adapted.
    """

    plan: Plan
    neighbours: dict[str, int]
    warnings: tuple[str, ...]


class _RecordingSMOTE(SMOTE):  # type: ignore[misc]  # imbalanced-learn has no types
    """SMOTE that keeps the parents and the step of every row it makes."""

    def fit_resample(self, X: np.ndarray, y: np.ndarray, **params: Any) -> Any:
        """Resamples, and keeps `made_`: base rows, neighbour rows (both within the class) and steps by label."""
        self.made_: dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        return super().fit_resample(X, y, **params)

    def _generate_samples(
        self,
        X: np.ndarray,
        nn_data: np.ndarray,
        nn_num: np.ndarray,
        rows: np.ndarray,
        cols: np.ndarray,
        steps: np.ndarray,
        y_type: Any = None,
        y: np.ndarray | None = None,
    ) -> np.ndarray:
        self.made_[str(y_type)] = (rows, nn_num[rows, cols], steps[:, 0])
        made: np.ndarray = super()._generate_samples(X, nn_data, nn_num, rows, cols, steps, y_type, y)
        return made


def plan_smote(X: np.ndarray, labels: np.ndarray, image_ids: np.ndarray, *, k_neighbors: int, seed: int) -> Resampling:
    """Plans synthetic rows until every class is as large as the largest.

    Each class is resampled by itself, so that k can shrink to what a small class allows: `n − 1` neighbours for `n`
    images; a single image is repeated. Rows should be sorted by image id: SMOTE's output depends on their order.

    Args:
        X: Train vectors, shape `(n_samples, n_features)`, finite, float32; not uint8, which would wrap.
        labels: Their labels, shape `(n_samples,)`.
        image_ids: Their ids, shape `(n_samples,)`.
        k_neighbors: Neighbours to choose from, at least 1.
        seed: Used afresh for each class, as imbalanced-learn does.

    References:
        Chawla et al., 2002, "SMOTE: Synthetic Minority Over-sampling Technique".
    """
    counts = Counter(labels.tolist())
    largest = max(counts.values())
    neighbours = {label: min(k_neighbors, count - 1) for label, count in sorted(counts.items())}
    minority = {label: k for label, k in neighbours.items() if counts[label] < largest}
    pieces = []
    # Classes of one k are resampled in one call: for the usual case, where every class affords k, that is plain SMOTE.
    for k in sorted(set(minority.values())):
        targets = {label: largest for label in minority if minority[label] == k}
        pieces.append(
            _repeat_only(targets, labels, image_ids) if k == 0 else _smote(X, labels, image_ids, targets, k, seed)
        )
    rows = pd.concat(pieces, ignore_index=True) if pieces else _rows([], [], [], "")
    warnings = tuple(
        _adaptation(label, counts[label], k, k_neighbors) for label, k in minority.items() if k < k_neighbors
    )
    return Resampling(plan=Plan(rows), neighbours=neighbours, warnings=warnings)


def _smote(
    X: np.ndarray, labels: np.ndarray, image_ids: np.ndarray, targets: dict[str, int], k: int, seed: int
) -> pd.DataFrame:
    sampler = _RecordingSMOTE(sampling_strategy=targets, k_neighbors=k, random_state=seed)
    sampler.fit_resample(X, labels)
    pieces = []
    for label, (base, neighbour, step) in sampler.made_.items():
        ids = image_ids[labels == label]
        pieces.append(_rows(ids[base], ids[neighbour], step, label))
    return pd.concat(pieces, ignore_index=True)


def _repeat_only(targets: dict[str, int], labels: np.ndarray, image_ids: np.ndarray) -> pd.DataFrame:
    """Repeats the only image of each class."""
    pieces = []
    for label, target in targets.items():
        ids = np.repeat(image_ids[labels == label], target - 1)
        pieces.append(_rows(ids, ids, np.zeros(target - 1), label))
    return pd.concat(pieces, ignore_index=True)


def _rows(base: Any, neighbour: Any, step: Any, label: str) -> pd.DataFrame:
    return pd.DataFrame({"base": base, "neighbour": neighbour, "step": step, "label": label})


def _adaptation(label: str, count: int, k: int, asked: int) -> str:
    if k == 0:
        return f"Class {label!r} has a single train image: it is repeated, nothing can be interpolated."
    return f"Class {label!r} has {count} train images: SMOTE uses k = {k} there instead of {asked}."
