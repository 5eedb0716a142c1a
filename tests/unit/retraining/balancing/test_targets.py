from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imblearn.utils import check_sampling_strategy

from include.retraining.balancing.targets import asked_counts
from include.retraining.config import UpTo
from include.retraining.errors import ConfigurationError

SIZES = {"bag": 2, "boot": 10, "coat": 10, "dress": 5}


def labels_of(sizes: dict[str, int]) -> np.ndarray:
    labels = np.repeat(list(sizes), list(sizes.values())).astype(object)
    return np.random.default_rng(0).permutation(labels)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("auto", {"bag": 10, "boot": 10, "coat": 10, "dress": 10}),
        ("not majority", {"bag": 10, "boot": 10, "coat": 10, "dress": 10}),
        ("all", {"bag": 10, "boot": 10, "coat": 10, "dress": 10}),
        ("minority", {"bag": 10, "boot": 10, "coat": 10, "dress": 5}),
        ("not minority", {"bag": 2, "boot": 10, "coat": 10, "dress": 10}),
        ({"bag": 7, "boot": 12}, {"bag": 7, "boot": 12, "coat": 10, "dress": 5}),
        (UpTo(up_to=0.7), {"bag": 7, "boot": 10, "coat": 10, "dress": 7}),
        (UpTo(up_to=0.3), {"bag": 3, "boot": 10, "coat": 10, "dress": 5}),
        (UpTo(up_to=1), {"bag": 10, "boot": 10, "coat": 10, "dress": 10}),
    ],
)
def test_every_way_to_ask_means_these_rows(asked, expected: dict[str, int]):
    assert asked_counts(labels_of(SIZES), asked) == expected


@given(
    sizes=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=2),
    asked=st.sampled_from(["auto", "minority", "not minority", "not majority", "all"]),
)
def test_names_mean_what_imbalanced_learn_means(sizes: dict[str, int], asked):
    y = labels_of(sizes)
    made = check_sampling_strategy(asked, y, "over-sampling")
    assert asked_counts(y, asked) == {label: sizes[label] + made.get(label, 0) for label in sorted(sizes)}


@given(sizes=st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), min_size=1), share=st.floats(0.01, 1))
def test_no_class_shrinks_and_none_outgrows_the_largest_up_to_a_share(sizes: dict[str, int], share: float):
    counts = asked_counts(labels_of(sizes), UpTo(up_to=share))
    for label, size in sizes.items():
        assert size <= counts[label] <= max(sizes.values())
        assert counts[label] >= share * max(sizes.values()) - 0.5


def test_labels_may_be_numbers():
    assert asked_counts(np.array([0, 1, 1, 1]), "auto") == {0: 3, 1: 3}


def test_a_label_without_a_row_cannot_be_asked_for():
    with pytest.raises(ConfigurationError, match="it asks for rows of hat, scarf, of which there is none"):
        asked_counts(labels_of(SIZES), {"scarf": 3, "hat": 2, "bag": 5})


def test_a_class_cannot_be_asked_to_shrink():
    with pytest.raises(ConfigurationError, match="'boot' has 10 rows and 9 are asked; 'coat' has 10 rows and 1"):
        asked_counts(labels_of(SIZES), {"boot": 9, "bag": 3, "coat": 1})


def test_one_class_alone_cannot_be_balanced():
    with pytest.raises(ConfigurationError, match="more than 1 class"):
        asked_counts(np.array(["a", "a"]), "auto")
