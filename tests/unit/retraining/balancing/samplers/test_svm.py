from __future__ import annotations

import numpy as np
import pytest
from sklearn.svm import SVC

from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers.surroundings import others_around
from include.retraining.balancing.samplers.svm import sample_svm
from include.retraining.config import SvmSmote
from tests.clouds import clouds

COUNTS = {"big": 80, "small": 80}


def sampled(apart: float, seed: int = 0, mode: str = "per_class"):
    X, y = clouds({"big": 80, "small": 40}, apart=apart)
    return X, y, sample_svm(X, y, COUNTS, SvmSmote(out_step=0.3), Streams(seed, mode))


def test_bases_are_support_vectors_and_those_at_the_border_interpolate_while_safe_ones_extrapolate():
    X, y, made = sampled(0.6)
    pairs = made.pairs
    support = SVC(gamma="scale").fit(X, y).support_
    n_others = others_around(X, y, pairs.base, 10)
    assert set(pairs.base) <= set(support)
    assert (pairs.step[n_others >= 5] >= 0).all()
    assert (pairs.step[n_others < 5] <= 0).all()
    assert (n_others < 10).all()
    assert -0.3 <= pairs.step.min() < -0.2
    assert 0.9 < pairs.step.max() < 1


@pytest.mark.parametrize("mode", ["per_class", "imblearn"])
@pytest.mark.parametrize("seed", range(3))
def test_one_kind_of_support_vector_gets_the_share_of_the_other(seed: int, mode: str):
    _, _, made = sampled(8.0, seed, mode)
    assert len(made.pairs) == 40
    assert (made.pairs.step <= 0).all()
    assert len(np.unique(made.pairs.step)) == 40
    assert made.warnings == ()


def test_the_share_of_each_kind_is_drawn():
    shares = {np.count_nonzero(sampled(0.6, seed)[2].pairs.step > 0) for seed in range(5)}
    assert len(shares) > 1
    assert all(5 < share < 35 for share in shares)
