from __future__ import annotations

import threading

import numpy as np
import pytest

from include.retraining.balancing.pairs import Pairs
from include.retraining.config.strategies import BalancedSampling, NoBalancing, Smote
from include.retraining.training.batches import Batches
from include.retraining.training.strategies import TrainRows, apply_strategy

N_REAL, N_SYNTHETIC, N_FEATURES = 50, 90, 7


def resampled(*, dropped: tuple[int, ...] = ()) -> TrainRows:
    """Rows of three classes with synthetic ones between rows of one class; some steps extrapolate."""
    rng = np.random.default_rng(0)
    X = rng.normal(scale=10, size=(N_REAL, N_FEATURES)).astype(np.float32)
    y = np.repeat(np.arange(3), (30, 15, 5))
    base = rng.integers(30, N_REAL, N_SYNTHETIC).astype(np.int32)
    neighbour = np.where(base < 45, rng.integers(30, 45, N_SYNTHETIC), rng.integers(45, 50, N_SYNTHETIC))
    step = rng.uniform(-0.5, 1, N_SYNTHETIC)
    pairs = Pairs(base, neighbour.astype(np.int32), step, np.array(dropped, np.int32))
    return apply_strategy(Smote(), X, y, pairs=pairs, n_classes=3)


def materialised(rows: TrainRows) -> TrainRows:
    """The same rows, with the synthetic ones written out."""
    assert rows.pairs is not None
    kept = rows.pairs.kept(len(rows.y))
    X = np.concatenate([rows.X[kept], rows.pairs.interpolate(rows.X)])
    y = np.concatenate([rows.y[kept], rows.pairs.labels(rows.y)])
    return apply_strategy(NoBalancing(), X, y, pairs=None, n_classes=3)


def read(batches: Batches, epoch: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(batch.X.copy(), batch.y.copy()) for batch in batches.epoch(epoch)]


@pytest.mark.parametrize("batch_size", [1, 16, 41, 1000])
@pytest.mark.parametrize("dropped", [(), (0, 3, 49)], ids=["all kept", "some left out"])
def test_batches_of_a_plan_are_bit_for_bit_those_of_the_written_out_rows(batch_size: int, dropped: tuple[int, ...]):
    rows = resampled(dropped=dropped)

    from_plan = read(Batches(rows, batch_size, seed=3))
    from_vectors = read(Batches(materialised(rows), batch_size, seed=3))

    assert len(from_plan) == len(from_vectors) == -(-rows.n_rows // batch_size)
    for (X, y), (expected_X, expected_y) in zip(from_plan, from_vectors, strict=True):
        assert X.tobytes() == expected_X.tobytes()
        assert y.tolist() == expected_y.tolist()


def test_an_epoch_has_every_row_once_and_none_that_is_left_out():
    rows = resampled(dropped=(2, 40))

    X = np.concatenate([X for X, _ in read(Batches(rows, 16, seed=0))])

    expected = materialised(rows).X
    assert sorted(map(tuple, X.tolist())) == sorted(map(tuple, expected.tolist()))
    assert not (X[:, np.newaxis] == rows.X[[2, 40]]).all(axis=2).any()


def test_seed_and_epoch_decide_the_order():
    rows = resampled()
    first = Batches(rows, 16, seed=0).order(1)

    assert np.array_equal(first, Batches(rows, 16, seed=0).order(1))
    assert not np.array_equal(first, Batches(rows, 16, seed=0).order(2))
    assert not np.array_equal(first, Batches(rows, 16, seed=1).order(1))


def test_rows_of_a_batch_come_from_all_over_the_rows():
    order = Batches(resampled(), 20, seed=0).order(1)

    assert all((batch < N_REAL).any() and (batch >= N_REAL).any() for batch in np.split(order, 7))


def test_alike_means_that_classes_of_any_size_are_drawn_as_often_and_the_rows_of_one_too():
    y = np.repeat(np.arange(4), (6000, 0, 600, 60))
    X = np.zeros((len(y), 2), np.float32)
    rows = apply_strategy(BalancedSampling(), X, y, pairs=None, n_classes=4)
    batches = Batches(rows, 256, seed=0)

    drawn = batches.order(1)

    assert (len(drawn), batches.n_steps) == (6660, 27)
    np.testing.assert_allclose(np.bincount(y[drawn], minlength=4) / len(drawn), [1 / 3, 0, 1 / 3, 1 / 3], atol=0.03)
    times = np.bincount(drawn, minlength=len(y))[-60:]  # 2220 draws of 60 rows: 37 each, deviation 6
    assert times.min() > 10
    assert times.max() < 70
    assert len(np.unique(drawn[drawn < 6000])) > 1500  # 2220 draws of 6000 rows: 1850 different ones


def test_who_stops_in_the_middle_of_an_epoch_leaves_no_thread_behind():
    epoch = Batches(resampled(), 4, seed=0).epoch(1)

    next(epoch)
    epoch.close()

    assert not [thread for thread in threading.enumerate() if thread.name.startswith("batches")]
