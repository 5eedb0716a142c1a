from __future__ import annotations

from datetime import date

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.retraining.artifacts import SPLITS
from include.retraining.dataset.leaks import require_near_duplicates_together, require_one_split_each
from include.retraining.errors import ConfigurationError, DataContractError
from tests.datasets import row

FIRST, SECOND = date(2026, 1, 1), date(2026, 1, 2)
WHERE = "s3://memory/batches/flowers/"


def hash_of(number: int) -> str:
    return f"{number:064x}"


def table(*rows: dict) -> pd.DataFrame:
    return pd.DataFrame([{"date": FIRST, **one} for one in rows])


def test_one_split_each_is_no_leak():
    rows = table(
        row("a", group="g"),
        row("a", group="g"),
        row("b", group="g"),
        row("c", split="test"),
        row("d", split="validation"),
    )

    require_one_split_each(rows, WHERE)


def test_an_image_in_two_splits_is_named_with_its_days_and_the_cure():
    rows = table(row("a"), row("a", split="test", date=SECOND), row("b"))

    with pytest.raises(DataContractError) as caught:
        require_one_split_each(rows, WHERE)

    message = str(caught.value)
    assert message.startswith(WHERE)
    assert "1 images lie in more than one split: 'a' in train (2026-01-01), 'a' in test (2026-01-02)" in message
    assert "Run intake of the later day again" in message


def test_a_group_in_two_splits_is_named_and_the_empty_group_is_none():
    rows = table(row("a"), row("b", split="test"), row("c", group="g"), row("d", group="g", split="validation"))

    with pytest.raises(DataContractError, match="1 groups lie in more than one split: 'g' in train") as caught:
        require_one_split_each(rows, WHERE)

    assert "images lie" not in str(caught.value)


def test_a_message_names_a_few_examples_only():
    rows = table(*(row(f"{number}", split=split) for number in range(500) for split in ("train", "test")))

    with pytest.raises(DataContractError) as caught:
        require_one_split_each(rows, WHERE)

    assert "500 images" in str(caught.value)
    assert len(str(caught.value)) < 1000


def test_near_duplicates_in_two_splits_are_named_with_the_setting_and_the_cure():
    rows = table(
        row("a", perceptual_hash=hash_of(0)),
        row("b", perceptual_hash=hash_of(2**12 - 1)),
        row("c", perceptual_hash=hash_of(2**24 - 1), split="test", date=SECOND),
    )

    assert require_near_duplicates_together(rows, 11, "flowers.yaml") == 0
    with pytest.raises(ConfigurationError) as caught:
        require_near_duplicates_together(rows, 12, "flowers.yaml")

    message = str(caught.value)
    assert message.startswith("flowers.yaml: dataset.near_duplicate_bits: with 12 bits, 1 clusters")
    assert "incoming/flowers/a.png' in train (2026-01-01)" in message
    assert "incoming/flowers/c.png' in test (2026-01-02)" in message
    assert "lower it back" in message


def test_clusters_are_counted_and_pictures_without_a_hash_are_in_none():
    rows = table(
        *(row(f"{number}", perceptual_hash=hash_of(number // 2 << 40)) for number in (0, 1, 2, 3, 2**30)),
        row("none", perceptual_hash=""),
        row("either", perceptual_hash="", split="test"),
    )

    assert require_near_duplicates_together(rows, 0, "flowers.yaml") == 2
    assert require_near_duplicates_together(rows, None, "flowers.yaml") == 0
    assert require_near_duplicates_together(rows.iloc[:0], 12, "flowers.yaml") == 0


@settings(max_examples=50, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["", "g", "h"]), st.sampled_from(SPLITS)), max_size=6
    )
)
def test_whatever_lies_in_two_splits_is_found(rows: list[tuple[str, str, str]]):
    splits: dict[str, set[str]] = {}
    for image, group, split in rows:
        splits.setdefault(f"image {image}", set()).add(split)
        if group:
            splits.setdefault(f"group {group}", set()).add(split)
    frame = pd.DataFrame(
        [{"date": FIRST, **row(image, group=group, split=split)} for image, group, split in rows],
        columns=["image_id", "group", "split", "date"],
    )

    try:
        require_one_split_each(frame, WHERE)
        is_refused = False
    except DataContractError:
        is_refused = True

    assert is_refused == any(len(found) > 1 for found in splits.values())
