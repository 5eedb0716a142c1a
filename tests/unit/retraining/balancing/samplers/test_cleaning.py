from __future__ import annotations

import numpy as np
from imblearn.under_sampling import EditedNearestNeighbours, TomekLinks

from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers.cleaning import (
    is_contradicted,
    is_in_tomek_link,
    sample_smote_enn,
    sample_smote_tomek,
)
from include.retraining.config import SmoteEnn, SmoteTomek
from tests.clouds import clouds


def test_both_rows_of_a_pair_that_are_each_other_s_nearest_and_of_two_classes_are_linked():
    X = np.array([[0], [1], [5], [5.5], [9], [20], [21]], np.float32)
    y = np.array(list("abaabab"), dtype=object)
    assert is_in_tomek_link(X, y).tolist() == [True, True, False, False, False, True, True]


def test_a_row_is_contradicted_by_one_neighbour_of_another_class():
    X = np.array([[0], [1], [2], [10], [11], [11.5], [30]], np.float32)
    y = np.array(list("aaabbab"), dtype=object)
    assert is_contradicted(X, y, 2).tolist() == [False, False, False, True, True, True, True]


def test_more_neighbours_than_rows_are_all_the_others():
    X, y = np.array([[0], [1], [2]], np.float32), np.array(list("aaa"), dtype=object)
    assert not is_contradicted(X, y, 3).any()


def test_what_is_found_is_what_imbalanced_learn_finds():
    X, y = clouds({"a": 40, "b": 60, "c": 20}, apart=0.7)
    linked, contradicted = is_in_tomek_link(X, y), is_contradicted(X, y, 3)
    tomek, enn = TomekLinks(sampling_strategy="all"), EditedNearestNeighbours(sampling_strategy="all")
    tomek.fit_resample(X, y)
    enn.fit_resample(X, y)
    assert np.flatnonzero(~linked).tolist() == tomek.sample_indices_.tolist()
    assert np.flatnonzero(~contradicted).tolist() == sorted(enn.sample_indices_)
    assert linked.any()
    assert contradicted.any()


def test_real_rows_are_dropped_and_synthetic_ones_leave_the_plan():
    X, y = clouds({"a": 40, "b": 10}, apart=0.3)
    sampled = sample_smote_enn(X, y, {"a": 40, "b": 40}, SmoteEnn(), Streams(0))
    assert 0 < len(sampled.pairs) < 30
    assert 0 < len(sampled.pairs.dropped) < 40
    assert (np.diff(sampled.pairs.dropped) > 0).all()


def test_no_row_that_is_left_is_contradicted_among_those_that_were_there():
    X, y = clouds({"a": 40, "b": 10}, apart=1.0)
    before = sample_smote_tomek(X, y, {"a": 40, "b": 40}, SmoteTomek(), Streams(0)).pairs
    kept = before.kept(len(X))
    all_X = np.concatenate([X[kept], before.interpolate(X)])
    assert len(all_X) == len(before) + 50 - len(before.dropped)
    assert len(before) + 50 - len(before.dropped) < 80


def test_a_class_that_would_lose_all_of_its_real_rows_keeps_the_first_and_says_so():
    X, y = clouds({"a": 40, "b": 3}, apart=0.0, n_features=2)
    X[y == "b"] = [[0, 0], [0.001, 0], [0, 0.001]]
    X[np.flatnonzero(y == "a")[:6]] = [[0, 0], [0.001, 0], [0, 0.001], [0.0005, 0], [0, 0.0005], [0.0005, 0.0005]]

    sampled = sample_smote_enn(X, y, {"a": 40, "b": 3}, SmoteEnn(), Streams(0))

    first, *others = np.flatnonzero(y == "b").tolist()
    assert first not in sampled.pairs.dropped
    assert set(others) <= set(sampled.pairs.dropped.tolist())
    assert sampled.warnings == ("Class 'b' would lose all of its 3 train rows to cleaning: one is kept.",)
