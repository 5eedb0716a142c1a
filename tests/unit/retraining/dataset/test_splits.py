from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.retraining.artifacts import SPLITS
from include.retraining.config import DatasetConfig
from include.retraining.dataset.splits import assign_splits, hashed_split, split_counts

CONFIG = DatasetConfig(validation_fraction=0.3, test_fraction=0.3)
FIRST_DAY = date(2026, 1, 1)

pin = st.sampled_from(["", "", "", *SPLITS])
group = st.sampled_from(["", "", "g1", "g2", "g3"])


def table(rows: list[tuple[str, str, str, int]]) -> pd.DataFrame:
    """Rows of image id, group, pin and number of the day."""
    frame = pd.DataFrame(rows, columns=["image_id", "group", "split", "day"]).astype(
        {"image_id": str, "group": str, "split": str}
    )
    frame["date"] = [FIRST_DAY + timedelta(days=int(day)) for day in frame.pop("day")]
    return frame


@st.composite
def days_of_images(draw) -> list[list[tuple[str, str, str, int]]]:
    """Several days of distinct images, in groups and pinned now and then."""
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
    numbers = iter(range(sum(sizes)))
    return [
        [(f"image {next(numbers)}", draw(group), draw(pin), day) for _ in range(size)] for day, size in enumerate(sizes)
    ]


def splits_of(rows: list[tuple[str, str, str, int]]) -> dict[str, str]:
    frame = table(rows)
    return dict(zip(frame["image_id"], assign_splits(frame, CONFIG), strict=True))


@given(days=days_of_images())
def test_days_that_are_added_never_move_an_image(days: list[list[tuple[str, str, str, int]]]):
    seen: list[tuple[str, str, str, int]] = []
    before: dict[str, str] = {}
    for day in days:
        seen += day
        after = splits_of(seen)
        assert {image: after[image] for image in before} == before
        before = after


@given(days=days_of_images(), random=st.randoms())
def test_the_order_of_rows_decides_nothing(days: list[list[tuple[str, str, str, int]]], random):
    rows = [row for day in days for row in day]
    expected = splits_of(rows)
    random.shuffle(rows)
    assert splits_of(rows) == expected


@given(days=days_of_images())
def test_a_group_never_straddles_two_splits(days: list[list[tuple[str, str, str, int]]]):
    rows = [row for day in days for row in day]
    splits = splits_of(rows)
    for name in {row[1] for row in rows} - {""}:
        assert len({splits[image] for image, member_of, *_ in rows if member_of == name}) == 1


@given(days=days_of_images())
def test_an_image_without_a_group_is_where_its_pin_or_else_its_content_puts_it(
    days: list[list[tuple[str, str, str, int]]],
):
    rows = [row for day in days for row in day]
    splits = splits_of(rows)
    for image, member_of, pinned, _ in rows:
        if not member_of:
            assert splits[image] == (pinned or hashed_split(image, CONFIG))


@given(pins=st.lists(pin, min_size=1, max_size=5), later=st.lists(pin, max_size=3))
def test_the_pins_of_a_group_s_first_day_win_for_ever_and_of_several_the_one_furthest_from_training(
    pins: list[str], later: list[str]
):
    rows = [(f"a{number}", "g", pinned, 0) for number, pinned in enumerate(pins)]
    rows += [(f"b{number}", "g", pinned, number + 1) for number, pinned in enumerate(later)]
    named = [split for split in ("test", "validation", "train") if split in pins]
    expected = named[0] if named else hashed_split("g", CONFIG)
    assert set(splits_of(rows).values()) == {expected}


def test_a_pin_on_the_first_day_holds_for_an_image_that_comes_again():
    rows = [("a", "", "test", 0), ("a", "", "train", 1), ("a", "", "", 2)]
    assert list(assign_splits(table(rows), CONFIG)) == ["test"] * 3


def test_a_pin_that_comes_later_changes_nothing_since_the_image_may_have_been_trained_on():
    unpinned = next(name for name in map(str, range(99)) if hashed_split(name, CONFIG) == "train")
    assert list(assign_splits(table([(unpinned, "", "", 0), (unpinned, "", "test", 1)]), CONFIG)) == ["train"] * 2


def test_the_splits_keep_the_index_of_the_rows():
    frame = table([("a", "", "test", 0), ("b", "", "train", 0)]).set_index(pd.Index([7, 3]))
    assert assign_splits(frame, CONFIG).to_dict() == {7: "test", 3: "train"}


def test_no_row_has_no_split():
    assert assign_splits(table([]), CONFIG).empty


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


def test_the_counts_name_every_split_and_label():
    rows = pd.DataFrame({"split": ["train", "train", "test"], "label": ["a", "b", "a"]})
    assert split_counts(rows, ("a", "b", "c")) == {
        "train": {"a": 1, "b": 1, "c": 0},
        "validation": {"a": 0, "b": 0, "c": 0},
        "test": {"a": 1, "b": 0, "c": 0},
    }
