from __future__ import annotations

import numpy as np
import pytest

from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers.borderline import sample_borderline
from include.retraining.balancing.samplers.surroundings import others_around
from include.retraining.config import BorderlineSmote
from tests.clouds import clouds

COUNTS = {"big": 80, "small": 80}


@pytest.mark.parametrize("m", [4, 10])
def test_bases_lie_at_the_border_and_neighbours_anywhere_in_the_class(m: int):
    X, y = clouds({"big": 80, "small": 30}, apart=0.6)
    pairs = sample_borderline(X, y, COUNTS, BorderlineSmote(m_neighbors=m), Streams(0)).pairs
    n_others = others_around(X, y, np.unique(pairs.base), m)
    assert len(pairs) == 50
    assert (n_others >= m / 2).all()
    assert (n_others < m).all()
    assert not set(pairs.neighbour.tolist()) <= set(pairs.base.tolist())


def test_more_neighbours_than_rows_are_all_the_others():
    X, y = clouds({"big": 8, "small": 4}, apart=0.2)
    pairs = sample_borderline(X, y, {"big": 8, "small": 8}, BorderlineSmote(m_neighbors=500), Streams(0)).pairs
    assert len(pairs) == 4


def test_a_class_that_lies_apart_has_no_border():
    X, y = clouds({"big": 80, "small": 30}, apart=50.0)
    assert len(sample_borderline(X, y, COUNTS, BorderlineSmote(), Streams(0)).pairs) == 0
