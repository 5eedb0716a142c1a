from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.retraining.evaluation.priors import class_weights, prior_metrics
from include.retraining.metrics import classification_metrics

LABELS = ("a", "b", "c")


def scored(seed: int, sizes: tuple[int, ...] = (12, 7, 4)) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y_true = np.repeat(np.arange(3), sizes)
    y_score = rng.dirichlet(np.ones(3), len(y_true))
    y_score[np.arange(len(y_true)), y_true] += 0.4
    return y_true, y_score / y_score.sum(axis=1, keepdims=True), rng.integers(3, size=len(y_true))


@given(seed=st.integers(0, 2**32 - 1), times=st.tuples(*[st.integers(1, 5)] * 3))
def test_metrics_under_a_prior_are_those_of_test_rows_that_were_repeated_to_have_it(seed: int, times: tuple[int, ...]):
    y_true, y_score, y_pred = scored(seed)
    repeated = np.repeat(np.arange(len(y_true)), np.array(times)[y_true])
    shares = np.bincount(y_true[repeated]) / len(repeated)

    got = prior_metrics(y_true, y_score, y_pred, LABELS, dict(zip(LABELS, shares, strict=True)))

    expected = classification_metrics(y_true[repeated], y_score[repeated], LABELS, y_pred[repeated])
    assert got.accuracy == pytest.approx(expected.accuracy)
    assert got.macro_f1 == pytest.approx(expected.macro_f1)
    assert got.ece == pytest.approx(expected.ece)
    assert got.precision == pytest.approx(expected.precision)


def test_a_rare_class_under_deployment_has_a_worse_precision_than_on_a_balanced_test_set():
    y_true = np.repeat([0, 1], 100)
    y_pred = np.where(np.arange(200) % 10 == 0, 1 - y_true, y_true)  # nine of ten are right in both classes

    got = prior_metrics(y_true, np.eye(2)[y_pred], y_pred, ("healthy", "sick"), {"healthy": 0.99, "sick": 0.01})

    assert got.precision["sick"] == pytest.approx(0.9 * 0.01 / (0.9 * 0.01 + 0.1 * 0.99))  # Bayes
    assert got.accuracy == pytest.approx(0.9)


def test_a_class_that_is_there_under_the_prior_and_has_no_test_rows_leaves_everything_undefined():
    y_true, y_score, y_pred = scored(0, sizes=(5, 5, 0))

    got = prior_metrics(y_true, y_score, y_pred, LABELS, {"a": 0.5, "b": 0.4, "c": 0.1})

    assert dataclasses.astuple(got)[1:] == (None, None, None, {"a": None, "b": None, "c": None})
    assert got.prior == {"a": 0.5, "b": 0.4, "c": 0.1}


def test_a_class_that_is_never_predicted_has_no_precision_under_any_prior():
    got = prior_metrics(np.array([0, 1, 2]), np.eye(3), np.array([0, 1, 1]), LABELS, dict.fromkeys(LABELS, 1 / 3))

    assert got.precision == {"a": 1.0, "b": 0.5, "c": None}


def test_no_row_at_all_leaves_everything_undefined():
    got = prior_metrics(
        np.empty(0, np.int64), np.empty((0, 3)), np.empty(0, np.int64), LABELS, dict.fromkeys(LABELS, 1 / 3)
    )

    assert (got.accuracy, got.macro_f1, got.ece) == (None, None, None)


def test_weights_are_the_share_under_the_prior_over_the_share_of_the_rows():
    weights = class_weights(np.array([0, 0, 0, 1]), ("a", "b"), {"a": 0.5, "b": 0.5})

    assert weights == pytest.approx([0.5 / 0.75, 0.5 / 0.25])


def test_a_class_that_is_nowhere_weighs_nothing_and_spoils_nothing():
    weights = class_weights(np.array([0, 1]), LABELS, {"a": 0.5, "b": 0.5, "c": 0.0})

    assert list(weights) == [1.0, 1.0, 0.0]
