from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imblearn.metrics import geometric_mean_score
from sklearn import metrics as sklearn_metrics

from include.retraining.metrics import (
    class_scores,
    classification_metrics,
    confidence_bins,
    confusion_matrix,
    expected_calibration_error,
    macro_recall,
)


def predictions(seed: int, n_classes: int, n_rows: int, skill: float) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Labels of skewed classes, each with at least one row, and probabilities that lean to the right one."""
    rng = np.random.default_rng(seed)
    share = rng.dirichlet(np.full(n_classes, 0.7))
    y_true = np.concatenate([np.arange(n_classes), rng.choice(n_classes, n_rows, p=share)])
    y_score = rng.dirichlet(np.ones(n_classes), len(y_true))
    y_score[np.arange(len(y_true)), y_true] += skill
    return y_true, y_score / y_score.sum(axis=1, keepdims=True), tuple("abcdefgh"[:n_classes])


@given(
    seed=st.integers(0, 2**32 - 1),
    n_classes=st.integers(2, 8),
    n_rows=st.integers(0, 200),
    skill=st.sampled_from([0.0, 0.2, 2.0]),
)
def test_every_metric_is_that_of_scikit_learn_and_imbalanced_learn(
    seed: int, n_classes: int, n_rows: int, skill: float
):
    y_true, y_score, labels = predictions(seed, n_classes, n_rows, skill)
    y_pred, ids = y_score.argmax(axis=1), np.arange(n_classes)
    got = classification_metrics(y_true, y_score, labels)
    each = {"average": None, "labels": ids}
    recall = sklearn_metrics.recall_score(y_true, y_pred, **each)
    precision = sklearn_metrics.precision_score(y_true, y_pred, zero_division=np.nan, **each)
    assert list(got.recall.values()) == pytest.approx(list(recall))
    assert [np.nan if value is None else value for value in got.precision.values()] == pytest.approx(
        list(precision), nan_ok=True
    )
    assert got.macro_recall == pytest.approx(sklearn_metrics.balanced_accuracy_score(y_true, y_pred))
    assert got.macro_f1 == pytest.approx(sklearn_metrics.f1_score(y_true, y_pred, average="macro", labels=ids))
    assert got.accuracy == pytest.approx(sklearn_metrics.accuracy_score(y_true, y_pred))
    assert got.minimum_recall == pytest.approx(recall.min())
    assert got.geometric_mean == pytest.approx(geometric_mean_score(y_true, y_pred, average="multiclass", labels=ids))
    assert got.geometric_mean_macro == pytest.approx(geometric_mean_score(y_true, y_pred, average="macro", labels=ids))
    assert np.array_equal(got.confusion, sklearn_metrics.confusion_matrix(y_true, y_pred, labels=ids))
    assert got.n_rows == dict(zip(labels, np.bincount(y_true).tolist(), strict=True))
    assert macro_recall(y_true, y_pred, n_classes) == got.macro_recall


def test_the_geometric_means_of_this_project_are_two_different_numbers():
    y_true = np.array([0, 0, 0, 0, 1, 1, 2, 2])
    y_score = np.eye(3)[[0, 0, 0, 1, 1, 2, 2, 2]]
    got = classification_metrics(y_true, y_score, ("a", "b", "c"))
    assert got.geometric_mean == pytest.approx((0.75 * 0.5 * 1) ** (1 / 3))
    specificity = (1 + 5 / 6 + 5 / 6) / 3
    assert got.geometric_mean_macro == pytest.approx(np.sqrt((0.75 + 0.5 + 1) / 3 * specificity))


def test_a_class_without_rows_leaves_every_mean_over_classes_undefined():
    got = classification_metrics(np.array([0, 0, 1]), np.eye(3)[[0, 1, 1]], ("a", "b", "c"))
    assert got.n_rows == {"a": 2, "b": 1, "c": 0}
    assert got.recall == {"a": 0.5, "b": 1.0, "c": None}
    assert got.precision == {"a": 1.0, "b": 0.5, "c": None}
    means = (got.macro_recall, got.macro_f1, got.geometric_mean, got.geometric_mean_macro, got.minimum_recall)
    assert means == (None,) * 5
    assert got.accuracy == pytest.approx(2 / 3)


def test_a_class_without_rows_that_is_predicted_all_the_same_has_no_f1_score():
    got = classification_metrics(np.array([0, 1]), np.eye(3)[[0, 2]], ("a", "b", "c"))
    assert got.precision["c"] == 0.0
    assert got.macro_f1 is None


def test_no_row_at_all_leaves_everything_undefined_and_says_nothing_about_it_on_the_way():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = classification_metrics(np.array([], dtype=np.int64), np.empty((0, 2)), ("a", "b"))
    assert (got.accuracy, got.ece, got.macro_recall, got.minimum_recall) == (None,) * 4
    assert got.confusion == ((0, 0), (0, 0))


def test_a_class_that_is_never_hit_has_recall_and_f1_of_zero_and_counts_as_such():
    got = classification_metrics(np.array([0, 0, 1]), np.eye(2)[[0, 0, 0]], ("a", "b"))
    assert got.recall == {"a": 1.0, "b": 0.0}
    assert (got.geometric_mean, got.minimum_recall, got.macro_recall) == (0.0, 0.0, 0.5)
    assert got.macro_f1 == pytest.approx((2 * 2 / 5 + 0) / 2)


def test_predictions_that_thresholds_made_count_and_the_calibration_error_stays_that_of_the_probabilities():
    y_true = np.array([0, 0, 1, 1])
    y_score = np.array([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8]])

    got = classification_metrics(y_true, y_score, ("a", "b"), np.array([0, 1, 1, 1]))

    most_probable = classification_metrics(y_true, y_score, ("a", "b"))
    assert got.confusion == ((1, 1), (0, 2))
    assert most_probable.confusion == ((2, 0), (1, 1))
    assert (got.recall, got.accuracy) == ({"a": 0.5, "b": 1.0}, 0.75)
    assert got.ece == most_probable.ece


def test_predictions_for_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"Expected y_pred of shape \(2,\); got \(3,\)"):
        classification_metrics(np.array([0, 1]), np.eye(2), ("a", "b"), np.array([0, 1, 1]))


def test_the_calibration_error_is_what_the_formula_gives_by_hand():
    # Two rows in the bin around 0.9, one right: 2 × |0.5 − 0.9|. One right row at 0.6: 1 × |1 − 0.6|.
    y_score = np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    assert expected_calibration_error(np.array([0, 1, 1]), y_score) == pytest.approx((2 * 0.4 + 0.4) / 3)


def test_rows_of_one_bin_balance_each_other_and_rows_of_different_bins_do_not():
    y_true = np.array([0, 1])
    assert expected_calibration_error(y_true, np.array([[0.5, 0.5], [0.52, 0.48]])) == pytest.approx(0.01)
    assert expected_calibration_error(y_true, np.array([[0.51, 0.49], [0.71, 0.29]])) == pytest.approx(0.6)


def test_a_bin_holds_its_upper_bound_and_not_its_lower_one():
    # With 2 bins, 0.5 belongs to the first and 1.0 to the second: were the first row in the second bin, they would
    # balance each other to |1 − 1.5| / 2.
    y_score = np.array([[0.5, 0.25, 0.25], [1.0, 0.0, 0.0]])
    assert expected_calibration_error(np.array([0, 1]), y_score, bins=2) == pytest.approx((0.5 + 1.0) / 2)


def test_a_row_that_weighs_three_counts_like_three_rows_in_the_calibration_error():
    y_true, y_score = np.array([0, 1, 1]), np.array([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
    times = np.array([3, 1, 2])

    weighted = expected_calibration_error(y_true, y_score, weights=times / 7)

    repeated = expected_calibration_error(np.repeat(y_true, times), np.repeat(y_score, times, axis=0))
    assert weighted == pytest.approx(repeated)
    assert weighted != pytest.approx(expected_calibration_error(y_true, y_score))


def test_bins_of_confidence_are_numbered_from_zero_and_include_both_ends():
    assert list(confidence_bins(np.array([0.0, 0.5, 0.51, 1.0]), bins=2)) == [0, 0, 1, 1]


def test_scores_of_weighted_counts_are_those_of_counts_in_proportion():
    counts = np.array([[5, 1, 0], [2, 3, 1], [0, 0, 4]])

    halves = class_scores(counts / 2)

    for got, expected in zip(halves, class_scores(counts), strict=True):
        assert got == pytest.approx(expected)


def test_certain_and_right_is_perfectly_calibrated():
    assert expected_calibration_error(np.array([0, 1, 2]), np.eye(3)) == 0


def test_probabilities_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"Expected y_score of shape \(2, 3\); got \(2, 2\)"):
        classification_metrics(np.array([0, 1]), np.eye(2), ("a", "b", "c"))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_probability_that_is_not_finite_is_refused(bad: float):
    y_score = np.array([[0.5, 0.5], [bad, 0.5]])
    with pytest.raises(ValueError, match="Expected finite probabilities"):
        classification_metrics(np.array([0, 1]), y_score, ("a", "b"))


@pytest.mark.parametrize(("y_true", "y_pred"), [([-1, 0], [0, 0]), ([0, 2], [0, 0])])
def test_a_class_id_that_is_none_is_refused_and_not_counted_elsewhere(y_true: list[int], y_pred: list[int]):
    with pytest.raises(ValueError, match="negative|reshape"):
        confusion_matrix(np.array(y_true), np.array(y_pred), 2)
