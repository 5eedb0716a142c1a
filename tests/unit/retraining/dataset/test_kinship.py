from __future__ import annotations

import pandas as pd

from include.retraining.dataset.kinship import kin

NO_HASH = ""


def frame(*rows: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["image_id", "group", "perceptual_hash"])


def perceptual_hash(*bits: int) -> str:
    return f"{sum(1 << bit for bit in bits):064x}"


def test_a_group_is_kin_and_an_image_without_group_is_alone():
    rows = frame(("b", "patient", NO_HASH), ("a", "patient", NO_HASH), ("c", "", NO_HASH), ("d", "", NO_HASH))

    assert kin(rows, near_duplicate_bits=None) == ["a", "a", "c", "d"]


def test_near_duplicates_are_kin_and_bring_their_groups_along():
    rows = frame(
        ("a", "first", perceptual_hash(100)),
        ("b", "", perceptual_hash(1, 2, 3)),
        ("c", "second", perceptual_hash(1, 2)),
        ("d", "second", NO_HASH),
        ("e", "", perceptual_hash(*range(128, 256))),
    )

    assert kin(rows, near_duplicate_bits=4) == ["a", "a", "a", "a", "e"]
    assert kin(rows, near_duplicate_bits=1) == ["a", "b", "b", "b", "e"]
    assert kin(rows, near_duplicate_bits=None) == ["a", "b", "c", "c", "e"]


def test_a_group_s_name_that_is_another_image_s_id_does_not_make_them_kin():
    rows = frame(("a", "", NO_HASH), ("b", "c", NO_HASH), ("d", "", NO_HASH))

    assert len(set(kin(rows, near_duplicate_bits=None))) == 3
