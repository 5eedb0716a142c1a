"""Images that are delivered more than once. Near-duplicates are not looked for here: only equal pixels count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from include.retraining.intake.reasons import Reason

MOST_NAMES = 5  # in a warning


@dataclass(frozen=True)
class DuplicateFindings:
    """What is to be done about images that occur more than once.

    Attributes:
        reasons: Why a row is skipped or quarantined, by its index.
        splits: Pinned split of a row that stays, taken over from a row that is skipped, by its index.
        warnings: One sentence a warning.
    """

    reasons: Mapping[int, Reason]
    splits: Mapping[int, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Copy:
    index: int
    name: str
    label: str
    split: str


def find_duplicates(rows: pd.DataFrame, earlier: pd.DataFrame) -> DuplicateFindings:
    """Finds the rows of one day whose pixels occur twice, or in an earlier batch.

    Same pixels, same label: the first by key stays and takes over the split that any of them pins; if an earlier batch
    has the image, none stays. Same pixels under two labels, or with two pins: nobody knows which is right, so all rows
    are quarantined; a row of an earlier batch is not touched.

    Args:
        rows: Schema `FACTS`, rows without another reason to quarantine them.
        earlier: Columns `label` and `split`, by image id.
    """
    known = earlier[earlier.index.isin(rows["pixel_sha256"])]
    before = dict(zip(known.index, zip(known["label"], known["split"], strict=True), strict=True))
    reasons: dict[int, Reason] = {}
    splits: dict[int, str] = {}
    overruled: list[str] = []
    for image, copies in _copies_by_image(rows, known.index).items():
        reason = _conflict(copies, before.get(image))
        if reason is not None:
            reasons |= {copy.index: reason for copy in copies}
        elif image in before:
            reasons |= {copy.index: Reason.DUPLICATE_OF_EARLIER_BATCH for copy in copies}
            overruled += [copy.name for copy in copies if copy.split not in ("", before[image][1])]
        else:
            reasons |= {copy.index: Reason.DUPLICATE for copy in copies[1:]}
            splits[copies[0].index] = max(copy.split for copy in copies)
    return DuplicateFindings(reasons, splits, _warnings(overruled))


def _copies_by_image(rows: pd.DataFrame, known: pd.Index) -> dict[str, list[_Copy]]:
    repeated = rows["pixel_sha256"].duplicated(keep=False) | rows["pixel_sha256"].isin(known)
    concerned = rows[repeated].sort_values("key", kind="stable")
    copies: dict[str, list[_Copy]] = defaultdict(list)
    columns = (concerned[name] for name in ("pixel_sha256", "image", "label", "split"))
    for index, image, name, label, split in zip(concerned.index, *columns, strict=True):
        copies[image].append(_Copy(index, name, label, split))
    return copies


def _conflict(copies: Sequence[_Copy], before: tuple[str, str] | None) -> Reason | None:
    labels = {copy.label for copy in copies} | ({before[0]} if before else set())
    if len(labels) > 1:
        return Reason.LABEL_CONFLICT
    pins = {copy.split for copy in copies} - {""}
    return Reason.SPLIT_CONFLICT if len(pins) > 1 else None


def _warnings(overruled: Sequence[str]) -> tuple[str, ...]:
    if not overruled:
        return ()
    names = ", ".join(map(repr, overruled[:MOST_NAMES])) + (", …" if len(overruled) > MOST_NAMES else "")
    return (
        f"{len(overruled)} duplicates of earlier images pin another split than those have, which is kept, "
        f"since an image never changes its split: {names}",
    )
