from __future__ import annotations

import numpy as np
import pytest

from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers.drawing import Draws, draw_pairs

BASES = np.array([4, 7])
NEIGHBOURS = np.array([[5, 6, 7], [4, 5, 6]])


def drawn(n_new: int, step_size: float = 1.0, seed: int = 0):
    return draw_pairs(np.random.RandomState(seed), BASES, NEIGHBOURS, n_new, step_size=step_size)


def test_every_row_lies_between_a_base_and_one_of_that_base_s_neighbours():
    pairs = drawn(200)
    seen = set(zip(pairs.base.tolist(), pairs.neighbour.tolist(), strict=True))
    assert seen == {(4, 5), (4, 6), (4, 7), (7, 4), (7, 5), (7, 6)}


@pytest.mark.parametrize(("step_size", "low", "high"), [(1.0, 0, 1), (-0.5, -0.5, 0)])
def test_steps_fill_the_stretch_between_0_and_the_step_size(step_size: float, low: float, high: float):
    step = drawn(500, step_size).step
    assert low <= step.min() < low + 0.05
    assert high - 0.05 < step.max() <= high


def test_in_the_mode_of_imbalanced_learn_one_generator_goes_on_through_all_classes_and_another_begins_anew():
    draws, expected = Draws(Streams(3, "imblearn")), np.random.RandomState(3).uniform(size=4)
    assert [draws.going_on(label).uniform() for label in "abab"] == expected.tolist()
    assert [draws.anew(label).uniform() for label in "abab"] == [expected[0]] * 4


def test_by_class_every_generator_goes_on_within_its_class_and_knows_no_other():
    alone = Draws(Streams(3))
    of_a = [alone.going_on("a").uniform() for _ in range(3)]

    draws = Draws(Streams(3))
    mixed = [draws.going_on("a").uniform(), draws.anew("b").uniform(), draws.anew("a").uniform()]

    assert [*mixed[::2], draws.going_on("a").uniform()] == of_a
    assert mixed[1] not in of_a
    assert len(set(of_a)) == 3
