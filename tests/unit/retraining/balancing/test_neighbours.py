from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.retraining.balancing import neighbours
from include.retraining.balancing.neighbours import nearest


def by_hand(queries: np.ndarray, rows: np.ndarray, k: int, own: np.ndarray | None = None):
    """All distances in extended precision, sorted by distance and position."""
    X, Y = queries.astype(np.longdouble), rows.astype(np.longdouble)
    squared = np.array([((Y - x) ** 2).sum(axis=1) for x in X])
    if own is not None:
        squared[np.arange(len(X)), own] = np.inf
    order = np.argsort(squared, axis=1, kind="stable")[:, :k]
    return order, np.sqrt(np.take_along_axis(squared, order, 1)).astype(float)


def assert_nearest(X: np.ndarray, k: int, block_rows: int = 512) -> None:
    own = np.arange(len(X))
    expected, distances = by_hand(X, X, k, own)
    found = nearest(X, X, k, own=own, block_rows=block_rows)
    assert np.array_equal(found[0], expected)
    np.testing.assert_allclose(found[1], distances, rtol=1e-12)


def near_ties(seed: int = 0, step: float = 1e-7) -> np.ndarray:
    """Float32 rows on spheres around a centre, whose distances to it differ by single bits of float32, or less."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=64)
    directions = rng.normal(size=(60, 64))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    radii = 1 + rng.permutation(60)[:, np.newaxis] * step
    return np.vstack([centre, centre + radii * directions]).astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    n_rows=st.integers(2, 60),
    n_features=st.integers(1, 40),
    k=st.integers(1, 12),
    dtype=st.sampled_from([np.float32, np.float64]),
    offset=st.sampled_from([0.0, 1e4]),
    scale=st.sampled_from([1e-6, 1.0, 1e6]),
    block_rows=st.integers(1, 70),
    seed=st.integers(0, 99),
)
def test_they_are_those_that_all_distances_give(n_rows, n_features, k, dtype, offset, scale, block_rows, seed):
    X = (np.random.default_rng(seed).normal(size=(n_rows, n_features)) * scale + offset).astype(dtype)
    assert_nearest(X, min(k, n_rows - 1), block_rows)


@pytest.mark.parametrize("seed", range(3))
def test_float32_products_cannot_rank_near_ties_and_the_ranking_is_exact_all_the_same(seed: int):
    X = near_ties(seed)
    products = X @ X.T
    squared = products.diagonal()[:, np.newaxis] + products.diagonal() - 2 * products
    by_products = np.argsort(squared[0, 1:], kind="stable")[:5] + 1

    expected, _ = by_hand(X, X, 5, np.arange(len(X)))

    assert by_products.tolist() != expected[0].tolist()
    assert_nearest(X, 5)


def test_of_near_ties_the_nearest_are_found_where_they_come_last():
    X = near_ties(step=0) / 8
    far_first = np.argsort(-np.linalg.norm((X - X[0]).astype(np.float64), axis=1), kind="stable")
    assert_nearest(X[far_first], 5, block_rows=8)


def test_rows_far_from_the_origin_and_in_two_far_clusters_are_ranked():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 16)) * 1e-2 + 3000
    X[40:] += 500
    assert_nearest(X.astype(np.float32), 5)


def test_more_copies_than_candidates_come_in_the_order_of_their_positions():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 8)).astype(np.float32)
    X[5:45] = X[5]

    positions, distances = nearest(X, X, 4, own=np.arange(50), block_rows=16)

    assert positions[5].tolist() == [6, 7, 8, 9]
    assert positions[30].tolist() == [5, 6, 7, 8]
    assert distances[30].tolist() == [0, 0, 0, 0]
    assert_nearest(X, 4, block_rows=16)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distinct_rows_at_one_distance_come_in_the_order_of_their_positions(dtype: type):
    grid = np.array([(x, y) for x in range(7) for y in range(7)], dtype=dtype)
    assert_nearest(grid, 6)


def test_constant_columns_and_columns_of_zeros_change_nothing():
    X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    wide = np.hstack([np.full((40, 3), 1e6, np.float32), X, np.zeros((40, 2), np.float32)])
    assert np.array_equal(*(nearest(rows, rows, 5, own=np.arange(40))[0] for rows in (X, wide)))


def test_all_other_rows_are_found_where_k_is_their_number():
    X = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    assert_nearest(X, 29, block_rows=7)
    assert_nearest(X[:2], 1)


def test_the_result_is_the_same_to_the_last_bit_whatever_the_block_size():
    X = np.random.default_rng(0).normal(size=(300, 50)).astype(np.float32)
    X[100:120] = X[7]
    results = [nearest(X, X, 5, own=np.arange(300), block_rows=rows) for rows in (1, 33, 299, 4096)]
    for positions, distances in results[1:]:
        assert np.array_equal(positions, results[0][0])
        assert np.array_equal(distances, results[0][1])


def test_queries_may_be_other_rows_and_each_may_leave_out_one():
    rng = np.random.default_rng(0)
    queries, rows = rng.normal(size=(20, 6)).astype(np.float32), rng.normal(size=(90, 6)).astype(np.float32)
    own = rng.integers(0, 90, 20)
    rows[own] = queries

    with_own, without = nearest(queries, rows, 4, block_rows=16), nearest(queries, rows, 4, own=own, block_rows=16)

    assert np.array_equal(with_own[0], by_hand(queries, rows, 4)[0])
    assert np.array_equal(without[0], by_hand(queries, rows, 4, own)[0])


def test_rows_are_their_own_nearest_unless_they_are_left_out():
    X = np.random.default_rng(0).normal(size=(20, 6))
    positions, distances = nearest(X, X, 1)
    assert positions[:, 0].tolist() == list(range(20))
    assert not distances.any()


def test_a_part_of_the_rows_may_ask():
    X = np.random.default_rng(0).normal(size=(70, 6)).astype(np.float32)
    some = np.array([3, 66, 12])
    everyone, _ = nearest(X, X, 3, own=np.arange(70), block_rows=16)
    assert np.array_equal(nearest(X[some], X, 3, own=some, block_rows=16)[0], everyone[some])


def test_a_second_search_is_rare_on_ordinary_vectors(monkeypatch: pytest.MonkeyPatch):
    X = np.random.default_rng(0).normal(size=(600, 256)).astype(np.float32)
    searched = []

    def recorded(queries, *others):
        searched.append(len(queries))
        return again(queries, *others)

    again = neighbours._searched_again
    monkeypatch.setattr(neighbours, "_searched_again", recorded)
    nearest(X, X, 5, own=np.arange(600))
    assert searched == []

    nearest(near_ties(), near_ties(), 5)
    assert searched == [1]  # the centre, from which all others are as far


def test_no_queries_find_nothing():
    rows = np.ones((3, 2), np.float32)
    positions, distances = nearest(rows[:0], rows, 2)
    assert positions.shape == distances.shape == (0, 2)


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e30])
def test_numbers_that_cannot_be_compared_are_refused(number: float):
    X = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    X[3, 2] = number
    with pytest.raises(ValueError, match="Expected finite vectors whose lengths can be squared in float32"):
        nearest(X, X, 2)


@pytest.mark.parametrize("k", [0, 10])
def test_a_k_that_the_rows_do_not_afford_is_refused(k: int):
    X = np.eye(10)
    with pytest.raises(ValueError, match=f"between 1 and the 9 other rows; got {k}"):
        nearest(X, X, k, own=np.arange(10))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16])
def test_other_types_than_float32_and_float64_are_refused(dtype: type):
    X = np.eye(4).astype(dtype)
    with pytest.raises(ValueError, match="both of float32 or float64"):
        nearest(X, X, 1)
    with pytest.raises(ValueError, match="both of float32 or float64"):
        nearest(X.astype(np.float32), X.astype(np.float64), 1)


def test_matrices_of_different_columns_are_refused():
    with pytest.raises(ValueError, match=r"same columns; got \(4, 4\) and \(3, 3\)"):
        nearest(np.eye(4), np.eye(3), 1)
