from __future__ import annotations

import numpy as np

from include.retraining.reconstruction.nearest import nearest_real

TRAIN = np.array([[0, 0], [1, 0], [4, 0], [9, 0]], dtype=np.float32)


def test_the_nearest_train_row_is_found_for_each_synthetic_row():
    synthetic = np.array([[3.4, 0], [0.4, 0], [100, 0]], dtype=np.float32)

    positions = nearest_real(synthetic, TRAIN)

    assert positions.tolist() == [2, 0, 3]


def test_rows_that_are_left_out_are_passed_over_each_for_its_own_synthetic_row():
    synthetic = np.array([[0.4, 0], [0.4, 0], [0.4, 0]], dtype=np.float32)

    positions = nearest_real(synthetic, TRAIN, other_than=np.array([[0, 1], [1, 2], [3, 3]]))

    assert positions.tolist() == [2, 0, 0]


def test_it_agrees_with_all_distances_on_random_rows():
    rng = np.random.default_rng(0)
    train, synthetic = (rng.normal(size=(n, 7)).astype(np.float32) for n in (90, 40))
    parents = rng.integers(90, size=(40, 2))

    positions = nearest_real(synthetic, train, other_than=parents)

    distances = np.linalg.norm(synthetic[:, np.newaxis] - train, axis=2)
    np.put_along_axis(distances, parents, np.inf, axis=1)
    assert positions.tolist() == distances.argmin(axis=1).tolist()


def test_where_every_row_is_left_out_the_nearest_stands():
    positions = nearest_real(np.array([[0.9, 0]], dtype=np.float32), TRAIN[:2], other_than=np.array([[0, 1]]))

    assert positions.tolist() == [1]
