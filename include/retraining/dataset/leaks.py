"""The assertion that a dataset leaks nothing from one split into another. It repairs nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from include.retraining.errors import ConfigurationError, DataContractError
from include.retraining.intake.relations.near_duplicates import near_components, parse_hashes

MOST_EXAMPLES = 3

_CURE = (
    "Intake never assigns such splits; two runs that took in related days at the same moment can. "
    "Run intake of the later day again, which gives way to the earlier one"
)


def require_one_split_each(rows: pd.DataFrame, where: str) -> None:
    """Asserts that no image and no group lies in two splits.

    Args:
        rows: Columns `image_id`, `group`, `split`, `date`; an image may occur more than once.
        where: URI of the batches, for the message.

    Raises:
        DataContractError: If one does.
    """
    images = _straddling(rows, rows["image_id"])
    groups = _straddling(rows, rows["group"].where(rows["group"] != ""))
    found = [*_sentences("image", images), *_sentences("group", groups)]
    if found:
        raise DataContractError(where, [*found, _CURE])


def require_near_duplicates_together(rows: pd.DataFrame, bits: int | None, where: str) -> int:
    """Asserts that no cluster of near-duplicates lies in two splits.

    Args:
        rows: Columns `key`, `perceptual_hash`, `split`, `date`; one row an image.
        bits: Largest distance of near-duplicates; None where there are none.
        where: The file of the recipe, for the message.

    Returns:
        Number of clusters of two or more images.

    Raises:
        ConfigurationError: If one does.
    """
    if bits is None:
        return 0
    clusters = pd.Series(near_components(parse_hashes(rows["perceptual_hash"]), bits), index=rows.index)
    found = list(_straddling(rows, clusters))
    if found:
        examples = " and ".join(_named(members, "key") for members in found[:MOST_EXAMPLES])
        raise ConfigurationError(
            f"{where}: dataset.near_duplicate_bits",
            f"with {bits} bits, {len(found)} clusters of near-duplicates lie in more than one split: {examples}",
            "If it was raised since those days were taken in, lower it back: an image never changes its split. "
            f"If not: {_CURE[0].lower()}{_CURE[1:]}.",
        )
    return int((np.bincount(clusters.to_numpy()) > 1).sum()) if len(clusters) else 0


def _straddling(rows: pd.DataFrame, keys: pd.Series) -> list[pd.DataFrame]:
    """Returns the rows of each key that has rows in several splits, a frame a key; missing keys are left out."""
    n_splits = rows["split"].groupby(keys).nunique()
    several = n_splits.index[n_splits > 1]
    return [members for _, members in rows[keys.isin(several)].groupby(keys)]


def _sentences(what: str, found: list[pd.DataFrame]) -> Iterator[str]:
    if found:
        column = {"image": "image_id", "group": "group"}[what]
        examples = " and ".join(_named(members, column) for members in found[:MOST_EXAMPLES])
        yield f"{len(found)} {what}s lie in more than one split: {examples}"


def _named(members: pd.DataFrame, column: str) -> str:
    """Returns one row a split, as `'name' in test (2026-01-02)`."""
    first = members.sort_values(["date", column]).drop_duplicates("split")
    return ", ".join(
        f"{name!r} in {split} ({day})"
        for name, split, day in zip(first[column], first["split"], first["date"], strict=True)
    )
