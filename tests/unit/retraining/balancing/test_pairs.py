from __future__ import annotations

import numpy as np
import pytest

from include.retraining.balancing.pairs import Pairs

X = np.array([[0, 0], [4, 8], [2, 2]], np.float32)


def pairs(*rows: tuple[int, int, float], dropped: tuple[int, ...] = ()) -> Pairs:
    base, neighbour, step = zip(*rows, strict=True) if rows else ((), (), ())
    return Pairs(
        np.array(base, np.int32), np.array(neighbour, np.int32), np.array(step, float), np.array(dropped, np.int32)
    )


def test_a_synthetic_vector_lies_between_its_parents_where_the_step_says():
    made = pairs((0, 1, 0.25), (1, 0, 0.25), (2, 2, 0.9), (2, 1, 0.0), (0, 1, -0.5)).interpolate(X)
    assert np.array_equal(made, [[1, 2], [3, 6], [2, 2], [2, 2], [-2, -4]])


def test_some_rows_are_those_of_all():
    made = pairs((0, 1, 0.25), (1, 0, 0.25), (2, 1, 0.5))
    assert np.array_equal(made.interpolate(X, np.array([2, 0])), made.interpolate(X)[[2, 0]])
    assert np.array_equal(made.interpolate(X, slice(1, 3)), made.interpolate(X)[1:3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_vectors_are_of_the_type_of_their_parents(dtype: type):
    assert pairs((0, 1, 0.1)).interpolate(X.astype(dtype)).dtype == dtype


def test_a_synthetic_row_has_the_label_of_its_base():
    assert pairs((0, 1, 0.1), (2, 2, 0.1)).labels(np.array(["a", "a", "b"])).tolist() == ["a", "b"]


def test_rows_that_are_not_dropped_are_kept():
    assert pairs(dropped=(1,)).kept(3).tolist() == [0, 2]
    assert pairs().kept(2).tolist() == [0, 1]


def test_no_pairs_make_no_vector():
    assert pairs().interpolate(X).shape == (0, 2)
    assert len(pairs()) == 0
