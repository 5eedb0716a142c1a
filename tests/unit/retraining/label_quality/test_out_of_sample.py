from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from include.retraining.label_quality.confident_learning import find_doubts
from include.retraining.label_quality.out_of_sample import (
    HELD_OUT,
    N_FOLDS,
    assign_folds,
    judged_classes,
    predict_out_of_sample,
)


def blobs(counts: Sequence[int], seed: int = 0, distance: float = 5.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(len(counts)), counts)
    X = rng.normal(size=(len(y), 8)) + distance * np.eye(len(counts), 8)[y]
    order = rng.permutation(len(y))
    return X[order].astype(np.float32), y[order]


def folds_of(n_rows: int) -> np.ndarray:
    return assign_folds([f"image {number}" for number in range(n_rows)], np.zeros(n_rows, bool))


def test_kin_share_a_fold_whatever_the_order_and_the_other_rows():
    names = [f"kin {number % 40}" for number in range(200)]
    is_test = np.zeros(200, bool)

    folds = assign_folds(names, is_test)

    assert len({(name, fold) for name, fold in zip(names, folds, strict=True)}) == 40
    assert set(folds) == set(range(N_FOLDS))
    assert assign_folds(names[::-1], is_test).tolist() == folds[::-1].tolist()
    assert assign_folds(names[:7], is_test[:7]).tolist() == folds[:7].tolist()


def test_test_rows_are_held_out():
    assert assign_folds(["a", "b"], np.array([True, False]))[0] == HELD_OUT


def test_no_row_is_predicted_by_a_model_that_saw_its_kin():
    X, y = blobs([60, 40])
    names = [f"kin {number // 4}" for number in range(100)]
    folds = assign_folds(names, np.zeros(100, bool))
    mine = np.array([name == "kin 3" for name in names])
    changed = np.where(mine, 1 - y, y)

    before = predict_out_of_sample(X, y, folds, n_classes=2)
    after = predict_out_of_sample(X, changed, folds, n_classes=2)

    assert np.array_equal(after[mine], before[mine])
    assert not np.array_equal(after[folds != folds[12]], before[folds != folds[12]])


def test_labels_of_test_rows_teach_nothing_and_their_vectors_shift_nothing():
    X, y = blobs([60, 40])
    is_test = np.arange(100) % 4 == 0
    folds = assign_folds([str(number) for number in range(100)], is_test)
    other_X = X.copy()
    other_X[is_test] += 100

    before = predict_out_of_sample(X, y, folds, n_classes=2)

    assert np.array_equal(predict_out_of_sample(X, np.where(is_test, 1 - y, y), folds, n_classes=2), before)
    after = predict_out_of_sample(other_X, y, folds, n_classes=2)
    np.testing.assert_allclose(after[~is_test], before[~is_test], atol=1e-6)


def test_test_rows_are_predicted_by_all_other_rows():
    X, y = blobs([60, 40])
    folds = assign_folds([str(number) for number in range(100)], np.arange(100) < 20)

    probabilities = predict_out_of_sample(X, y, folds, n_classes=2)

    assert (probabilities[:20].argmax(axis=1) == y[:20]).mean() >= 0.95


def test_equal_rows_give_equal_bits_and_probabilities_add_up():
    X, y = blobs([50, 30, 20])
    folds = folds_of(100)

    first = predict_out_of_sample(X, y, folds, n_classes=3)

    assert np.array_equal(predict_out_of_sample(X.copy(), y, folds, n_classes=3), first)
    np.testing.assert_allclose(first.sum(axis=1), 1, atol=1e-5)


def test_a_class_that_a_model_would_hardly_have_seen_is_not_judged():
    y = np.array([0] * 50 + [1] * 3 + [2] * 2 + [3] * 4)
    folds = np.array([*(number % N_FOLDS for number in range(50)), 0, 1, 2, 0, 1, 0, 0, 0, 1])

    # Three rows in three folds: each model sees two. Two rows, or four of which three lie together: one model sees one.
    assert judged_classes(y, folds, n_classes=5).tolist() == [True, True, False, False, False]


def test_rows_that_are_held_out_do_not_make_a_class_judged():
    y, folds = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 2, HELD_OUT, HELD_OUT, HELD_OUT])

    assert not judged_classes(y, folds, n_classes=2).any()


def test_a_class_alone_is_not_judged():
    assert not judged_classes(np.zeros(10, np.int64), np.arange(10) % N_FOLDS, n_classes=2).any()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_errors_are_found_among_classes_of_one_to_fifty(seed: int):
    X, y = blobs([1000, 300, 20], seed)
    rng = np.random.default_rng(seed)
    planted = rng.random(len(y)) < 0.03
    given = np.where(planted, (y + rng.integers(1, 3, len(y))) % 3, y)

    doubts = find_doubts(given, predict_out_of_sample(X, given, folds_of(len(y)), n_classes=3))

    right = planted[doubts.rows]
    assert right.mean() >= 0.95
    # Not all: planted errors outnumber the rare class in itself, and a row must reach the mean of its true class.
    assert right.sum() / planted.sum() >= 0.65
    assert (doubts.suggested == y[doubts.rows])[right].mean() >= 0.95


def test_without_errors_next_to_nothing_is_doubted():
    X, y = blobs([1000, 300, 20])

    doubts = find_doubts(y, predict_out_of_sample(X, y, folds_of(len(y)), n_classes=3))

    assert len(doubts.rows) <= 3
