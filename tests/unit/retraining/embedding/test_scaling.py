from __future__ import annotations

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from include.retraining.embedding.scaling import fit_scaler


@pytest.fixture(name="X")
def vectors() -> np.ndarray:
    return np.random.default_rng(0).normal([5, -300, 0.001], [1, 50, 0.0001], (200, 3)).astype(np.float32)


def test_standard_scores_are_those_of_scikit_learn(X: np.ndarray):
    expected = StandardScaler().fit_transform(X.astype(np.float64))
    np.testing.assert_allclose(fit_scaler(X).transform(X), expected, atol=1e-4)


def test_standard_scores_are_float32_like_the_vectors(X: np.ndarray):
    scaler = fit_scaler(X)
    assert (scaler.mean.dtype, scaler.deviation.dtype) == (np.float32, np.float32)
    assert scaler.transform(X).dtype == scaler.transform(X.astype(np.float64)).dtype == np.float32


def test_other_rows_are_scored_by_what_was_fitted_and_not_by_themselves(X: np.ndarray):
    scaler = fit_scaler(X)
    alone = scaler.transform(X[:1])
    assert np.array_equal(alone, scaler.transform(X)[:1])
    np.testing.assert_allclose(scaler.transform(X + scaler.deviation), scaler.transform(X) + 1, atol=1e-3)


@pytest.mark.parametrize("constant", [0.0, 7.0, -1e6])
def test_a_constant_feature_becomes_zero_and_nothing_that_is_not_finite(X: np.ndarray, constant: float):
    X[:, 1] = constant
    scores = fit_scaler(X).transform(X)
    assert np.array_equal(scores[:, 1], np.zeros(len(X)))
    assert np.isfinite(scores).all()


def test_a_feature_that_was_constant_and_varies_later_does_not_outweigh_all_others(X: np.ndarray):
    X[:, 1] = 0
    scaler = fit_scaler(X)

    later = scaler.transform(np.array([[5, 0.3, 0.001]], dtype=np.float32))

    assert later[0, 1] == pytest.approx(0.3)
    assert scaler.deviation[1] == 1


def test_a_single_row_can_be_fitted():
    assert np.array_equal(fit_scaler(np.ones((1, 2), np.float32)).transform(np.ones((1, 2), np.float32)), [[0, 0]])
