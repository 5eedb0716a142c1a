from __future__ import annotations

import numpy as np

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.samplers.growing import GrowingClass, grow, repeated

Y = np.array(["b", "a", "b", "c", "b", "a"], dtype=object)


def first_of(growing: GrowingClass) -> Pairs:
    return repeated(growing.rows[0], growing.n_new)


def test_classes_grow_in_the_order_of_their_labels_by_what_they_lack():
    sampled = grow(Y, {"a": 5, "b": 4, "c": 3}, 1, first_of)
    assert sampled.pairs.base.tolist() == [1, 1, 1, 0, 3, 3]


def test_a_class_that_lacks_nothing_is_left_alone_and_its_k_is_told_all_the_same():
    sampled = grow(Y, {"a": 3, "b": 3, "c": 1}, 2, first_of)
    assert sampled.pairs.labels(Y).tolist() == ["a"]
    assert sampled.neighbours == {"a": 1, "b": 2, "c": 0}


def test_the_maker_gets_rows_and_a_k_that_they_afford():
    seen: list[GrowingClass] = []
    grow(Y, {"a": 4, "b": 9}, 5, lambda growing: seen.append(growing))
    found = [(it.label, it.rows.tolist(), it.n_new, it.k) for it in seen]
    assert found == [("a", [1, 5], 2, 1), ("b", [0, 2, 4], 6, 2)]


def test_an_adapted_k_and_a_repeated_row_are_warned_of_where_rows_are_made():
    sampled = grow(Y, {"a": 4, "b": 3, "c": 3}, 5, first_of)
    assert sampled.warnings == (
        "Class 'a' has 2 train rows: k = 1 is used there instead of 5.",
        "Class 'c' has a single train row: it is repeated, nothing can be interpolated.",
    )


def test_a_maker_that_finds_no_place_makes_nothing():
    sampled = grow(Y, {"a": 4, "b": 9}, 1, lambda growing: None)
    assert len(sampled.pairs) == 0
    assert sampled.pairs.base.dtype == np.int32
