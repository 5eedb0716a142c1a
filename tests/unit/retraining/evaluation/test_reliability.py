from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.retraining.evaluation.reliability import reliability
from include.retraining.metrics import expected_calibration_error


@given(seed=st.integers(0, 2**32 - 1), n_rows=st.integers(1, 300), n_classes=st.integers(2, 6), is_single=st.booleans())
def test_the_gaps_of_the_bins_sum_to_the_calibration_error(seed: int, n_rows: int, n_classes: int, is_single: bool):
    rng = np.random.default_rng(seed)
    y_true = rng.integers(n_classes, size=n_rows)
    y_score = rng.dirichlet(np.full(n_classes, 0.5), n_rows).astype(np.float32 if is_single else np.float64)

    bins = reliability(y_true, y_score)

    gaps = [it.n_rows * abs(it.accuracy - it.confidence) for it in bins if it.n_rows]
    assert sum(gaps) / n_rows == pytest.approx(expected_calibration_error(y_true, y_score), abs=1e-6)
    assert sum(it.n_rows for it in bins) == n_rows
    assert all(it.lower - 1e-6 <= it.confidence <= it.upper + 1e-6 for it in bins if it.n_rows)


def test_bins_are_fifteen_of_equal_width_from_0_to_1_and_touch_each_other():
    bins = reliability(np.array([0]), np.array([[1.0, 0.0]]))

    assert [it.lower for it in bins] == pytest.approx(np.arange(15) / 15)
    assert [it.upper for it in bins[:-1]] == [it.lower for it in bins[1:]]
    assert bins[-1].upper == 1.0


def test_a_bin_holds_its_upper_bound_and_not_its_lower_one():
    y_score = np.array([[0.6, 0.4], [0.6001, 0.3999]])  # 0.6 is 9/15

    bins = reliability(np.array([0, 1]), y_score)

    assert [(number, it.n_rows, it.accuracy) for number, it in enumerate(bins) if it.n_rows] == [
        (8, 1, 1.0),
        (9, 1, 0.0),
    ]


def test_an_empty_bin_has_neither_confidence_nor_accuracy():
    bins = reliability(np.array([0]), np.array([[1.0, 0.0]]))

    assert {(it.n_rows, it.confidence, it.accuracy) for it in bins[:-1]} == {(0, None, None)}
    assert (bins[-1].n_rows, bins[-1].confidence, bins[-1].accuracy) == (1, 1.0, 1.0)


def test_no_row_at_all_leaves_fifteen_empty_bins():
    bins = reliability(np.empty(0, np.int64), np.empty((0, 3), np.float32))

    assert [it.n_rows for it in bins] == [0] * 15
