from __future__ import annotations

from collections import Counter

import numpy as np

from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers.random_oversampling import sample_random

Y = np.array(["a"] * 3 + ["b"] * 7 + ["c"], dtype=object)


def test_rows_of_a_class_are_repeated_about_alike():
    pairs = sample_random(Y, {"a": 303, "b": 7, "c": 1}, Streams(0)).pairs
    times = Counter(pairs.base.tolist())
    assert set(times) == {0, 1, 2}
    assert min(times.values()) > 70


def test_a_repeated_row_is_its_own_neighbour_so_that_interpolation_copies_it():
    X = np.random.default_rng(0).normal(size=(11, 4)).astype(np.float32)
    pairs = sample_random(Y, {"a": 7, "b": 7, "c": 3}, Streams(0)).pairs
    assert np.array_equal(pairs.interpolate(X), X[pairs.base])
    assert pairs.labels(Y).tolist() == ["a"] * 4 + ["c"] * 2


def test_a_single_row_is_warned_of_and_no_neighbours_are_claimed():
    sampled = sample_random(Y, {"a": 7, "b": 7, "c": 7}, Streams(0))
    assert sampled.warnings == ("Class 'c' has a single train row: it is repeated, nothing can be interpolated.",)
    assert sampled.neighbours == {"a": 0, "b": 0, "c": 0}
