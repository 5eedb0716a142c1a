from __future__ import annotations

import numpy as np

from include.retraining.balancing.samplers.surroundings import is_in_danger, neighbours_within, others_around

X = np.array([[0], [1], [3], [7], [8], [20]], np.float32)
Y = np.array(["a", "b", "a", "a", "b", "a"], dtype=object)
OF_A = np.array([0, 2, 3, 5])


def test_neighbours_are_of_the_class_and_never_the_row_itself():
    assert neighbours_within(X, OF_A, OF_A, 2).tolist() == [[2, 3], [0, 3], [2, 0], [3, 2]]


def test_neighbours_of_some_rows_are_those_that_they_have_among_all():
    assert neighbours_within(X, OF_A[[1, 3]], OF_A, 2).tolist() == [[0, 3], [3, 2]]


def test_a_copy_of_a_row_is_its_neighbour():
    twice = np.repeat(X, 2, axis=0)
    assert neighbours_within(twice, np.array([0, 1]), np.array([0, 1, 4, 5]), 1).tolist() == [[1], [0]]


def test_others_are_counted_among_the_nearest_of_all_classes():
    assert others_around(X, Y, np.array([0, 3, 5]), 2).tolist() == [1, 1, 1]
    assert others_around(X, Y, np.array([4]), 3).tolist() == [2]


def test_the_row_itself_is_not_counted():
    assert others_around(X, Y, np.array([1, 4]), 1).tolist() == [1, 1]


def test_in_danger_is_half_or_more_but_not_all():
    assert is_in_danger(np.arange(6), 5).tolist() == [False, False, False, True, True, False]
    assert is_in_danger(np.arange(5), 4).tolist() == [False, False, True, True, False]
