from __future__ import annotations

import numpy as np

from include.retraining.balancing.sampled import Streams


def test_as_imbalanced_learn_draws_them_all_classes_get_the_numbers_of_the_seed():
    expected = np.random.RandomState(42).randint(0, 10**6, 5)
    for label in ("daisy", "poppy"):
        assert np.array_equal(Streams(42, "imblearn").of(label).randint(0, 10**6, 5), expected)


def test_by_class_each_has_numbers_of_its_own_which_the_seed_decides():
    drawn = [
        tuple(Streams(seed).of(label).randint(0, 10**6, 5)) for seed in (0, 1) for label in ("daisy", "poppy", "daisy")
    ]
    assert drawn[0] == drawn[2]
    assert drawn[3] == drawn[5]
    assert len(set(drawn)) == 4


def test_the_numbers_of_a_class_never_change_between_versions_of_the_project():
    assert Streams(0).of("daisy").randint(0, 1000, 4).tolist() == [28, 401, 32, 578]
