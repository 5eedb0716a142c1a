from __future__ import annotations

import numpy as np

from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers.adasyn import sample_adasyn
from include.retraining.balancing.samplers.surroundings import others_around
from include.retraining.config import Adasyn
from tests.clouds import clouds


def test_a_row_is_the_base_of_more_rows_the_more_others_it_has_around_it():
    X, y = clouds({"big": 80, "small": 30}, apart=0.7)
    pairs = sample_adasyn(X, y, {"big": 80, "small": 80}, Adasyn(), Streams(0)).pairs
    rows = np.flatnonzero(y == "small")
    n_others = others_around(X, y, rows, 5)
    times = np.array([np.count_nonzero(pairs.base == row) for row in rows])
    assert np.array_equal(times, np.rint(n_others / n_others.sum() * 50))
    assert len(np.unique(times)) > 2


def test_neighbours_are_of_the_row_s_class():
    X, y = clouds({"big": 80, "small": 30}, apart=0.7)
    pairs = sample_adasyn(X, y, {"big": 80, "small": 80}, Adasyn(), Streams(0)).pairs
    assert (y[pairs.neighbour] == "small").all()
    assert len(np.unique(pairs.neighbour)) > 10


def test_so_few_rows_that_every_share_rounds_to_none_are_none():
    X, y = clouds({"big": 80, "small": 60}, apart=0.2)
    assert len(sample_adasyn(X, y, {"big": 80, "small": 61}, Adasyn(), Streams(0)).pairs) == 0
