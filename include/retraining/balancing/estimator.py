"""SMOTE as a scikit-learn estimator that keeps its plan: for notebooks and for imbalanced-learn's pipelines."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from numbers import Integral
from typing import Any, ClassVar, Literal

import numpy as np
from imblearn.over_sampling.base import BaseOverSampler
from scipy import sparse
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers.smote import sample_smote

_ROWS_AT_ONCE = 1024
_SEEDS = 2**32
"""How many seeds NumPy's legacy generator takes."""


class PlannedSMOTE(BaseOverSampler):  # type: ignore[misc]  # imbalanced-learn has no types
    """SMOTE that gives the vectors of `imblearn.over_sampling.SMOTE`, with less time and memory, and their parents.

    It differs where SMOTE fails or surprises: a class of n ≤ `k_neighbors` rows is interpolated with n - 1 neighbours,
    a single row is repeated, both with a `UserWarning`; vectors that are no floats become float64, so that integers
    neither wrap nor are rounded. Sparse rows are made dense for the search, and come back sparse.

    Args:
        sampling_strategy: As in imbalanced-learn.
        random_state: Seed; a generator, or None for NumPy's global one, draws a seed.
        k_neighbors: Neighbours to choose from; a number alone, not an estimator.
        random_streams: `imblearn` repeats SMOTE's numbers, which are the same ones in every class; `per_class` draws
            others for each, by its label.

    Attributes:
        sampling_strategy_: Rows to make, by label.
        pairs_: Parents and step of every row that was made; positions count the rows of `X`.
        neighbours_: The k that was used, by label of every class.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **BaseOverSampler._parameter_constraints,
        "k_neighbors": [Interval(Integral, 1, None, closed="left")],
        "random_streams": [StrOptions({"imblearn", "per_class"})],
    }

    pairs_: Pairs
    neighbours_: Mapping[Any, int]

    def __init__(
        self,
        *,
        sampling_strategy: Any = "auto",
        random_state: int | np.random.RandomState | None = None,
        k_neighbors: int = 5,
        random_streams: Literal["imblearn", "per_class"] = "imblearn",
    ) -> None:
        super().__init__(sampling_strategy=sampling_strategy)
        self.random_state = random_state
        self.k_neighbors = k_neighbors
        self.random_streams = random_streams

    def _check_X_y(  # noqa: N802  # the name is imbalanced-learn's
        self, X: Any, y: Any, accept_sparse: Any = None
    ) -> tuple[Any, np.ndarray, bool]:
        X, y, is_one_hot = super()._check_X_y(X, y, accept_sparse)
        return (X if X.dtype in (np.float32, np.float64) else X.astype(np.float64)), y, is_one_hot

    def _fit_resample(self, X: Any, y: np.ndarray) -> tuple[Any, np.ndarray]:
        dense = X.toarray() if sparse.issparse(X) else X
        counts = {label: int(np.sum(y == label)) + made for label, made in self.sampling_strategy_.items()}
        streams = Streams(self._seed(), self.random_streams)
        sampled = sample_smote(dense, y, counts, k_neighbors=self.k_neighbors, streams=streams)
        for warning in sampled.warnings:
            warnings.warn(warning, UserWarning, stacklevel=5)  # names the line that called fit_resample
        self.pairs_, self.neighbours_ = sampled.pairs, sampled.neighbours
        resampled = _followed_by_made(dense, sampled.pairs)
        if sparse.issparse(X):
            resampled = type(X)(resampled)
        return resampled, np.concatenate([y, sampled.pairs.labels(y)])

    def _seed(self) -> int:
        if isinstance(self.random_state, Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(_SEEDS, dtype=np.uint32))


def _followed_by_made(X: np.ndarray, pairs: Pairs) -> np.ndarray:
    """Returns the rows and the ones that were made, which are computed a few at a time."""
    rows = np.empty((len(X) + len(pairs), X.shape[1]), dtype=X.dtype)
    rows[: len(X)] = X
    for start in range(0, len(pairs), _ROWS_AT_ONCE):
        made = pairs.interpolate(X, slice(start, start + _ROWS_AT_ONCE))
        rows[len(X) + start : len(X) + start + len(made)] = made
    return rows
