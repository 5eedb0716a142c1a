"""Images that are delivered more than once. Near-duplicates are not looked for here: only equal pixels count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from include.retraining.intake.reasons import Reason

MOST_NAMES = 5  # in a warning


@dataclass(frozen=True)
class Finding:
    """Why a row is skipped or quarantined.

    Attributes:
        reason: Why.
        related: Key of the image that it duplicates or contradicts, or empty.
    """

    reason: Reason
    related: str


@dataclass(frozen=True)
class DuplicateFindings:
    """What is to be done about images that occur more than once.

    Attributes:
        findings: Why a row is skipped or quarantined, by its index.
        kept: Index of the row that stays, by the index of each row that is skipped for it.
        splits: Pinned split of a row that stays for others, taken over from any of them, by its index.
        groups: Group of such a row, likewise.
        warnings: One sentence a warning.
    """

    findings: Mapping[int, Finding]
    kept: Mapping[int, int]
    splits: Mapping[int, str]
    groups: Mapping[int, str]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class _Copy:
    index: int
    name: str
    key: str
    label: str
    group: str
    split: str


@dataclass(frozen=True)
class _Earlier:
    label: str
    split: str
    key: str


def find_duplicates(rows: pd.DataFrame, earlier: pd.DataFrame) -> DuplicateFindings:
    """Finds the rows of one day whose pixels occur twice, or in an earlier batch.

    Same pixels, same label: the first by key stays and takes over the pin and the group that any of them has; if an
    earlier batch has the image, none stays. Same pixels under two labels, in two groups or with two pins: nobody knows
    which is right, so all rows are quarantined; a row of an earlier batch is not touched.

    Args:
        rows: Candidates (see `relations.py`), in the order in which the first stays.
        earlier: Columns `label`, `split` and `key` of images of earlier batches, by image id.
    """
    before = {
        image: _Earlier(*values)
        for image, *values in zip(earlier.index, earlier["label"], earlier["split"], earlier["key"], strict=True)
    }
    findings: dict[int, Finding] = {}
    kept: dict[int, _Copy] = {}
    first: dict[int, list[_Copy]] = {}
    overruled: list[str] = []
    for image, copies in _copies_by_image(rows, earlier.index).items():
        known = before.get(image)
        conflicts = _conflicts(copies, known)
        if conflicts:
            findings |= conflicts
        elif known is not None:
            is_test = known.split == "test"
            reason = Reason.DUPLICATE_OF_TEST_IMAGE if is_test else Reason.DUPLICATE_OF_EARLIER_BATCH
            findings |= {copy.index: Finding(reason, known.key) for copy in copies}
            overruled += [copy.name for copy in copies if copy.split not in ("", known.split)]
        else:
            findings |= {copy.index: Finding(Reason.DUPLICATE, copies[0].key) for copy in copies[1:]}
            kept |= {copy.index: copies[0] for copy in copies[1:]}
            first[copies[0].index] = copies
    return DuplicateFindings(
        findings=findings,
        kept={index: copy.index for index, copy in kept.items()},
        splits={index: max(copy.split for copy in copies) for index, copies in first.items()},
        groups={index: max(copy.group for copy in copies) for index, copies in first.items()},
        warnings=_warnings(overruled),
    )


def _copies_by_image(rows: pd.DataFrame, known: pd.Index) -> dict[str, list[_Copy]]:
    concerned = rows[rows["pixel_sha256"].duplicated(keep=False) | rows["pixel_sha256"].isin(known)]
    copies: dict[str, list[_Copy]] = defaultdict(list)
    columns = (concerned[name] for name in ("pixel_sha256", "image", "key", "label", "group", "split"))
    for index, image, *fields in zip(concerned.index, *columns, strict=True):
        copies[image].append(_Copy(index, *fields))
    return copies


def _conflicts(copies: Sequence[_Copy], known: _Earlier | None) -> dict[int, Finding]:
    """Returns a finding for each copy where they contradict each other or what is known; else none."""
    if known is not None and any(copy.label != known.label for copy in copies):
        return {copy.index: Finding(Reason.LABEL_CONFLICT, known.key) for copy in copies}
    aspects: dict[Reason, Callable[[_Copy], str]] = {
        Reason.LABEL_CONFLICT: lambda copy: copy.label,
        Reason.GROUP_CONFLICT: lambda copy: copy.group,
        Reason.SPLIT_CONFLICT: lambda copy: copy.split,
    }
    for reason, aspect in aspects.items():
        if len({aspect(copy) for copy in copies} - {""}) > 1:
            return {copy.index: Finding(reason, _other(copy, copies, aspect)) for copy in copies}
    return {}


def _other(copy: _Copy, copies: Sequence[_Copy], aspect: Callable[[_Copy], str]) -> str:
    return next(it.key for it in copies if aspect(it) not in ("", aspect(copy)))


def _warnings(overruled: Sequence[str]) -> tuple[str, ...]:
    if not overruled:
        return ()
    names = ", ".join(map(repr, overruled[:MOST_NAMES])) + (", …" if len(overruled) > MOST_NAMES else "")
    return (
        f"{len(overruled)} duplicates of earlier images pin another split than those have, which is kept, "
        f"since an image never changes its split: {names}",
    )
