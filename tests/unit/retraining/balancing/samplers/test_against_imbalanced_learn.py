"""In mode `imblearn` plans give the vectors of imbalanced-learn's samplers of the same seed, to the last bit.

Where theirs raise, leave a class as it is, or leave out a share of the rows, there is nothing to compare with; what
comes instead is tested with each method.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.combine import SMOTEENN, SMOTETomek
from imblearn.over_sampling import ADASYN, SMOTE, SVMSMOTE, BorderlineSMOTE, RandomOverSampler
from imblearn.over_sampling import KMeansSMOTE as TheirKMeansSMOTE
from imblearn.under_sampling import EditedNearestNeighbours

from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers import sample
from include.retraining.config import (
    Adasyn,
    BorderlineSmote,
    KMeansSmote,
    RandomOversampling,
    ResamplingStrategy,
    SmoteEnn,
    SmoteTomek,
    SvmSmote,
)
from tests.clouds import clouds

PAIRS = [
    (RandomOversampling(), lambda seed: RandomOverSampler(random_state=seed)),
    (BorderlineSmote(), lambda seed: BorderlineSMOTE(random_state=seed)),
    (
        BorderlineSmote(k_neighbors=3, m_neighbors=7),
        lambda seed: BorderlineSMOTE(k_neighbors=3, m_neighbors=7, random_state=seed),
    ),
    (SvmSmote(), lambda seed: SVMSMOTE(random_state=seed)),
    (
        SvmSmote(k_neighbors=2, m_neighbors=5, out_step=0.8),
        lambda seed: SVMSMOTE(k_neighbors=2, m_neighbors=5, out_step=0.8, random_state=seed),
    ),
    (KMeansSmote(), lambda seed: TheirKMeansSMOTE(random_state=seed)),
    (
        KMeansSmote(k_neighbors=3, n_clusters=4, cluster_balance_threshold=0.1),
        lambda seed: TheirKMeansSMOTE(
            k_neighbors=3, kmeans_estimator=4, cluster_balance_threshold=0.1, random_state=seed
        ),
    ),
    (KMeansSmote(n_clusters=1), lambda seed: TheirKMeansSMOTE(kmeans_estimator=1, random_state=seed)),
    (Adasyn(), lambda seed: ADASYN(random_state=seed)),
    (Adasyn(n_neighbors=9), lambda seed: ADASYN(n_neighbors=9, random_state=seed)),
    (SmoteTomek(), lambda seed: SMOTETomek(random_state=seed)),
    (SmoteEnn(), lambda seed: SMOTEENN(random_state=seed)),
    (
        SmoteEnn(k_neighbors=3, n_neighbors=1),
        lambda seed: SMOTEENN(
            smote=SMOTE(k_neighbors=3, random_state=seed),
            enn=EditedNearestNeighbours(sampling_strategy="all", n_neighbors=1),
            random_state=seed,
        ),
    ),
]


def resampled(X: np.ndarray, y: np.ndarray, strategy: ResamplingStrategy, seed: int):
    """Vectors and labels after resampling, and warnings; in their order, which for ENN is class by class."""
    sampled = sample(X, y, strategy, Streams(seed, "imblearn"))
    kept = sampled.pairs.kept(len(X))
    all_X = np.concatenate([X[kept], sampled.pairs.interpolate(X)])
    all_y = np.concatenate([y[kept], sampled.pairs.labels(y)])
    order = np.argsort(all_y, kind="stable") if isinstance(strategy, SmoteEnn) else slice(None)
    return all_X[order], all_y[order], sampled.warnings


def assert_equal(found: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> None:
    assert found[1].tolist() == expected[1].tolist()
    assert np.array_equal(found[0], expected[0])


def assert_begins_in_every_class(found: tuple[np.ndarray, np.ndarray], expected: tuple[np.ndarray, np.ndarray]) -> None:
    for label in np.unique(expected[1]):
        found_X, expected_X = (X[y == label] for X, y in (found, expected))
        assert np.array_equal(found_X[: len(expected_X)], expected_X)


def can_be_compared(warnings: tuple[str, ...]) -> bool:
    return not any("plain SMOTE" in warning or "one is kept" in warning for warning in warnings)


@pytest.mark.parametrize(("strategy", "theirs"), PAIRS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_vectors_are_those_of_imbalanced_learn(
    strategy: ResamplingStrategy, theirs: Callable[[int], Any], dtype: type
):
    X, y = clouds({"d": 70, "b": 45, "e": 30, "a": 14}, n_features=5, apart=0.6, dtype=dtype)

    found_X, found_y, warnings = resampled(X, y, strategy, 11)

    assert can_be_compared(warnings)
    assert found_X.dtype == dtype
    # Theirs leaves out the share of a kind of support vector that a class has none of.
    compare = assert_begins_in_every_class if isinstance(strategy, SvmSmote) else assert_equal
    compare((found_X, found_y), theirs(11).fit_resample(X, y))


@settings(max_examples=25)
@given(
    pair=st.sampled_from(PAIRS),
    sizes=st.lists(st.integers(12, 60), min_size=2, max_size=4),
    n_features=st.integers(2, 24),
    dtype=st.sampled_from([np.float32, np.float64]),
    seed=st.integers(0, 99),
)
def test_whatever_the_sizes_the_vectors_are_those_of_imbalanced_learn(
    pair: tuple[ResamplingStrategy, Callable[[int], Any]],
    sizes: list[int],
    n_features: int,
    dtype: type,
    seed: int,
):
    strategy, theirs = pair
    X, y = clouds(dict(zip("dbea", sizes, strict=False)), n_features=n_features, apart=0.5, seed=seed, dtype=dtype)

    found_X, found_y, warnings = resampled(X, y, strategy, seed)

    if can_be_compared(warnings) and len(set(sizes)) > 1:
        compare = assert_begins_in_every_class if isinstance(strategy, SvmSmote) else assert_equal
        compare((found_X, found_y), theirs(seed).fit_resample(X, y))


@pytest.mark.parametrize("strategy", [BorderlineSmote(), Adasyn()])
def test_where_theirs_makes_nothing_ours_fills(strategy: ResamplingStrategy):
    X, y = clouds({"d": 40, "b": 20}, apart=100.0)
    if isinstance(strategy, Adasyn):
        with pytest.raises(RuntimeError, match="Not any neigbours"):
            ADASYN(random_state=0).fit_resample(X, y)
    else:
        assert len(BorderlineSMOTE(random_state=0).fit_resample(X, y)[0]) == 60
    assert len(resampled(X, y, strategy, 0)[0]) == 80


def test_where_theirs_leaves_out_a_kind_of_support_vector_ours_makes_its_rows_first_and_then_the_missing_ones():
    X, y = clouds({"d": 40, "b": 20}, apart=6.0, n_features=2, seed=1)
    expected_X, _ = SVMSMOTE(random_state=3).fit_resample(X, y)

    found_X, _, warnings = resampled(X, y, SvmSmote(), 3)

    assert warnings == ()
    assert len(found_X) == 80 > len(expected_X) > 60
    assert np.array_equal(found_X[: len(expected_X)], expected_X)
