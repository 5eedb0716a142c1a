from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from include.retraining.artifacts import SPLITS
from include.retraining.config import DatasetConfig
from include.retraining.intake.relations.near_duplicates import parse_hashes
from include.retraining.intake.relations.splits import (
    BIT_OF,
    NAME_OF,
    SplitRows,
    Ties,
    assign_splits,
    furthest,
    hashed_split,
    is_one_split,
)

CONFIG = DatasetConfig(validation_fraction=0.3, test_fraction=0.3)


def rows_of(*groups: str) -> SplitRows:
    names = np.array([f"image {number}" for number in range(len(groups))], object)
    return SplitRows(names, np.array(groups, object), parse_hashes(pd.Series([""] * len(groups))))


def ties_of(n: int, **given: dict[int, str]) -> Ties:
    """Ties of n rows: splits by row, by what ties it."""
    ties = {name: np.zeros(n, np.uint8) for name in ("pin", "own", "group", "near")}
    for name, splits in given.items():
        for row, split in splits.items():
            ties[name][row] = BIT_OF[split]
    return Ties(**ties)


def names(splits: np.ndarray) -> list[str]:
    return [NAME_OF[int(bit)] for bit in splits]


def test_a_union_names_its_split_that_is_furthest_from_training():
    assert names(furthest(np.arange(8))) == ["", "train", *["validation"] * 2, *["test"] * 4]
    assert is_one_split(np.arange(8)).tolist() == [number in (1, 2, 4) for number in range(8)]


@pytest.mark.parametrize("kind", ["own", "group", "near"])
def test_what_was_given_before_comes_before_a_pin_though_the_pin_is_further_from_training(kind: str):
    ties = ties_of(3, pin={0: "test"}, **{kind: {1: "train"}})

    splits, after = assign_splits(rows_of("g", "g", "g"), ties, CONFIG)

    assert names(splits) == ["", "train", "train"]
    assert names(after.group)[0] == "train"  # which is why


def test_of_two_splits_that_were_given_before_the_one_furthest_from_training_holds():
    ties = ties_of(3, own={0: "train", 1: "validation"})

    splits, _ = assign_splits(rows_of("g", "g", "g"), ties, CONFIG)

    assert names(splits) == ["", "validation", "validation"]


def test_a_row_whose_ties_disagree_has_no_split_and_binds_nobody():
    ties = ties_of(2, pin={0: "test"}, near={0: "train"})

    splits, _ = assign_splits(rows_of("g", "g"), ties, CONFIG)

    assert names(splits) == ["", hashed_split("g", CONFIG)]


def test_likeness_alone_makes_no_test_image_where_none_are_dealt():
    ties = ties_of(4, near={0: "test", 1: "test", 2: "validation"}, pin={1: "test"})

    splits, _ = assign_splits(rows_of("", "", "", ""), ties, DatasetConfig(validation_fraction=0.5, test_fraction=0))

    assert names(splits)[:3] == ["", "test", "validation"]
    assert names(splits)[3] in ("train", "validation")


def test_no_rows_have_no_splits():
    splits, _ = assign_splits(rows_of(), ties_of(0), CONFIG)

    assert splits.tolist() == []


@pytest.mark.parametrize(
    ("validation", "test"), [(0.2, 0.2), (0.1, 0.0), (0.5, 0.4)], ids=lambda fraction: str(fraction)
)
def test_the_shares_are_about_those_of_the_recipe(validation: float, test: float):
    config = DatasetConfig(validation_fraction=validation, test_fraction=test)

    found = Counter(hashed_split(f"image {number}", config) for number in range(4000))

    # Five standard deviations of a binomial of 4000.
    assert found["validation"] / 4000 == pytest.approx(validation, abs=0.04)
    assert found["test"] / 4000 == pytest.approx(test, abs=0.04)
    assert (found["test"] == 0) == (test == 0)
    assert set(found) <= set(SPLITS)


def test_a_larger_test_share_takes_images_in_and_lets_none_out():
    narrow, wide = (DatasetConfig(validation_fraction=0.2, test_fraction=share) for share in (0.1, 0.3))
    keys = [str(number) for number in range(500)]

    tested = {key for key in keys if hashed_split(key, narrow) == "test"}

    assert tested < {key for key in keys if hashed_split(key, wide) == "test"}


def test_another_salt_deals_anew():
    salted = DatasetConfig(validation_fraction=0.3, test_fraction=0.3, salt="anew")
    keys = [str(number) for number in range(200)]

    assert [hashed_split(key, CONFIG) for key in keys] != [hashed_split(key, salted) for key in keys]


def test_keys_fall_where_they_fell_when_this_was_written():
    # If these change, every live classifier's test images may have been trained on.
    dealt = [hashed_split(f"image {number}", DatasetConfig()) for number in range(8)]

    assert dealt == ["validation", "train", "train", "train", "validation", "validation", "test", "train"]
