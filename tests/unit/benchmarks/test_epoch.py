from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks import epoch


def test_rows_have_the_imbalance_of_the_demo_and_are_filled_up_to_the_largest_class():
    rows = epoch.make_rows(3200, dims=4)

    assert rows.pairs is not None
    assert np.bincount(rows.y)[[0, -1]].tolist() == [320, 3]
    assert (rows.n_rows, rows.X.shape[1]) == (3200, 4)
    assert np.array_equal(rows.y[rows.pairs.base], rows.y[rows.pairs.neighbour])
    labels = np.concatenate([rows.y, rows.pairs.labels(rows.y)])
    assert np.bincount(labels).tolist() == [320] * 10


def test_what_is_compared_must_be_the_same_batches():
    rows = epoch.make_rows(600, dims=4)
    vectors = epoch.write_out(rows)
    epoch.require_equal_batches(rows, vectors)
    spoilt = vectors.X.copy()
    spoilt[-1, 0] = np.nextafter(spoilt[-1, 0], np.float32(9))

    with pytest.raises(RuntimeError, match="differs from that of the written-out vectors"):
        epoch.require_equal_batches(rows, dataclasses.replace(vectors, X=spoilt))


def test_a_measurement_names_both_ways_and_their_ratio(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(epoch, "ROUNDS", {"linear": 1, "mlp": 1})
    monkeypatch.setattr(epoch, "HEADS", {"linear": (), "mlp": (3,)})

    found = epoch.measure(n_rows=600, dims=4)

    for figures in (found, found["epoch_mlp"]):
        assert isinstance(figures, dict)
        ratio = figures["epoch_seconds_plan"] / figures["epoch_seconds_materialised"]
        assert figures["epoch_ratio"] == pytest.approx(ratio)
    assert (found["epoch_rows"], found["epoch_dims"]) == (600, 4)
