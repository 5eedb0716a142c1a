from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import kstest

from include.retraining.evaluation import chance
from include.retraining.evaluation.chance import chance_test
from include.retraining.metrics import macro_recall


def test_the_null_is_that_of_every_order_of_the_labels():
    y_true, y_pred = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 2, 2, 2])
    every = [macro_recall(np.array(order), y_pred, 3) for order in itertools.permutations(y_true)]
    observed = macro_recall(y_true, y_pred, 3)

    got = chance_test(y_true, y_pred, 3, permutations=20_000, rng=np.random.default_rng(0))

    assert got.observed == observed
    assert got.null_mean == pytest.approx(np.mean(every), abs=0.006)
    assert got.null_95 == pytest.approx(np.quantile(every, 0.95))
    assert got.p_value == pytest.approx(np.mean(np.array(every) >= observed - 1e-12), abs=0.004)


def test_the_p_value_of_a_perfect_model_is_the_smallest_there_is_and_not_zero():
    y = np.repeat(np.arange(4), 10)

    got = chance_test(y, y, 4, permutations=999, rng=np.random.default_rng(0))

    assert got.p_value == 1 / 1000
    assert got.permutations == 999


def test_a_model_that_always_gives_the_largest_class_is_no_better_than_chance():
    y_true = np.repeat([0, 1], [95, 5])

    got = chance_test(y_true, np.zeros(100, np.int64), 2, permutations=200, rng=np.random.default_rng(0))

    assert (got.observed, got.null_mean, got.p_value) == (0.5, pytest.approx(0.5), 1.0)


def test_p_values_of_models_that_guess_are_not_small_more_often_than_they_may_be():
    rng = np.random.default_rng(7)
    y_true = np.repeat(np.arange(3), [60, 30, 15])

    p_values = [
        chance_test(y_true, rng.integers(3, size=105), 3, permutations=199, rng=rng).p_value for _ in range(200)
    ]

    assert kstest(p_values, "uniform", alternative="greater").pvalue > 0.01
    assert kstest(p_values, "uniform").pvalue > 0.001


def test_the_same_source_of_randomness_gives_the_same_test():
    y_true, y_pred = np.repeat([0, 1], 20), np.tile([0, 1], 20)

    first, second = (chance_test(y_true, y_pred, 2, permutations=100, rng=np.random.default_rng(5)) for _ in range(2))

    assert first == second


def test_many_rows_are_permuted_in_blocks(monkeypatch: pytest.MonkeyPatch):
    y_true = np.repeat(np.arange(4), 10)
    at_once = chance_test(y_true, y_true[::-1].copy(), 4, permutations=103, rng=np.random.default_rng(0))
    monkeypatch.setattr(chance, "BLOCK_ITEMS", 400)

    in_blocks = chance_test(y_true, y_true[::-1].copy(), 4, permutations=103, rng=np.random.default_rng(0))

    assert in_blocks == at_once


@pytest.mark.parametrize("y_true", [[0, 0, 1], []])
def test_a_class_without_rows_leaves_the_test_undefined(y_true: list[int]):
    labels = np.array(y_true, np.int64)

    got = chance_test(labels, labels, 3, permutations=100, rng=np.random.default_rng(0))

    assert (got.observed, got.null_mean, got.null_95, got.p_value) == (None,) * 4
