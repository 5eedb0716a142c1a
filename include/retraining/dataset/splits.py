"""Which split an image belongs to: a function of its content, so that growing data never moves it."""

from __future__ import annotations

import hashlib

import pandas as pd

from include.retraining.artifacts import SPLITS, Split
from include.retraining.config import DatasetConfig

PRECEDENCE: tuple[Split, ...] = ("test", "validation", "train")


def hashed_split(key: str, config: DatasetConfig) -> Split:
    """Returns the split that a key falls into.

    The key's sha256, read as a fraction of 2**64, is compared with the cumulative fractions: test first, then
    validation, then train. So it depends on nothing but the key and the recipe.

    Args:
        key: Image id, or group where the image has one.
        config: Fractions and salt.
    """
    digest = hashlib.sha256(f"{config.salt}\x00{key}".encode()).digest()
    position = int.from_bytes(digest[:8], "big") / 2**64
    if position < config.test_fraction:
        return "test"
    if position < config.test_fraction + config.validation_fraction:
        return "validation"
    return "train"


def assign_splits(rows: pd.DataFrame, config: DatasetConfig) -> pd.Series:
    """Returns the split of every row: what the manifest pinned, else what its content gives.

    All rows of a group share one split. The first day that holds a group or image decides: a pin that arrives later
    changes nothing, since the image may have been trained on already. If the first day pins a group twice, the split
    that is kept furthest from training wins.

    Args:
        rows: Columns `image_id`, `group`, `split` (pinned or empty) and `date`.
        config: Fractions and salt.

    Returns:
        Splits with the index of `rows`.
    """
    keys = rows["group"].where(rows["group"] != "", rows["image_id"])
    first_day = rows.groupby(keys)["date"].transform("min")
    pinned = rows[(rows["date"] == first_day) & (rows["split"] != "")]
    ranks = pinned["split"].map(PRECEDENCE.index).groupby(keys[pinned.index]).min()
    pins = {key: PRECEDENCE[rank] for key, rank in ranks.items()}
    by_key = {key: pins.get(key) or hashed_split(str(key), config) for key in keys.unique()}
    return keys.map(by_key).rename("split")


def split_counts(rows: pd.DataFrame, labels: tuple[str, ...]) -> dict[Split, dict[str, int]]:
    """Returns the images by split and label, zeros included."""
    found = rows.groupby(["split", "label"]).size()
    return {split: {label: int(found.get((split, label), 0)) for label in labels} for split in SPLITS}
