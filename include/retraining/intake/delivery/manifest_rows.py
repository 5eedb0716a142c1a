"""What the manifest formats have in common: rows, columns, values, refusals. Each format is read in its own module."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import NamedTuple

from include.retraining.errors import DataContractError

REQUIRED = ("image", "label")
OPTIONAL = ("group", "split")
COLUMNS = (*REQUIRED, *OPTIONAL)
EXPECTED = "expected 'image' and 'label', and optionally 'group' and 'split'"

LIKENESS = 0.8  # of two names, by `difflib`: `gruop` and `spilt` have it, `image_id` and `width` do not
SHOWN = 200  # characters of the owner's text in a message
EXACT_IN_FLOAT = 2.0**53


class ManifestRow(NamedTuple):
    """A line of the manifest, letter for letter; an empty string where it says nothing."""

    image: str
    label: str
    group: str
    split: str


@dataclass(frozen=True)
class Manifest:
    """What a manifest says.

    Attributes:
        rows: Its lines in their order, without those that say nothing.
        warnings: One sentence each, about what was read all the same.
    """

    rows: tuple[ManifestRow, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ManifestFile:
    """A manifest as it was delivered.

    Attributes:
        batch: URI of the day's folder.
        name: Relative to it.
        body: Its bytes.
    """

    batch: str
    name: str
    body: bytes

    def refusal(self, problem: str) -> DataContractError:
        """Returns the error that refuses the batch for a problem of this file."""
        return DataContractError(self.batch, [f"{self.name}: {problem}"])


def made_manifest(rows: Iterable[ManifestRow], warnings: Iterable[str]) -> Manifest:
    """Returns a manifest of the rows that say anything: programs that write tables leave empty lines at the end."""
    return Manifest(tuple(row for row in rows if any(row)), tuple(warnings))


def check_columns(names: Sequence[str], file: ManifestFile) -> tuple[str, ...]:
    """Returns a warning about the columns that are not used, if there are any.

    Raises:
        DataContractError: If a required column is missing, a known one is there twice, or another is so like a known
            one that it may be misspelt: ignoring `spilt` would let test images be trained on.
    """
    found = shown(", ".join(repr(name) for name in names))
    for name in names:
        if name not in COLUMNS and (meant := _like_known(name)):
            raise file.refusal(f"it has a column {shown(repr(name))}; did you mean {meant!r}? Rename or remove it")
    if missing := [name for name in REQUIRED if name not in names]:
        lacking = " and ".join(repr(name) for name in missing)
        raise file.refusal(f"it has no column {lacking}; its columns are {found}; {EXPECTED}")
    if twice := [name for name in COLUMNS if names.count(name) > 1]:
        raise file.refusal(f"it has the column {twice[0]!r} twice; its columns are {found}; {EXPECTED}")
    unused = list(dict.fromkeys(name for name in names if name not in COLUMNS))
    if not unused:
        return ()
    ignored = shown(", ".join(repr(name) for name in unused))
    return (f"{file.name}: not used, since no such column is known: {ignored}",)


def text_of(value: object) -> str:
    """Returns a value as the text that a row holds.

    Text stays as it is. Null and not-a-number are empty; whole numbers are their digits, also where they are stored
    with a fraction of 0, as a table with gaps stores them; other numbers are as Python writes them; booleans are `true`
    and `false`; dates and times are in ISO 8601.

    Raises:
        ValueError: If the value is a list, an object or bytes, or text that is not valid Unicode.
    """
    match value:
        case None:
            return ""
        case str():
            return _valid(value)
        case bool():
            return "true" if value else "false"
        case float():
            return _digits(value)
        case int() | Decimal():
            return str(value)
        case date():
            return value.isoformat()
    raise ValueError(f"a value of type {type(value).__name__} is no text")


def shown(text: str) -> str:
    """Returns the owner's text, cut to what a message can hold."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _like_known(name: str) -> str:
    likes = difflib.get_close_matches(name.strip().casefold(), COLUMNS, n=1, cutoff=LIKENESS)
    return likes[0] if likes else ""


def _digits(number: float) -> str:
    if math.isnan(number):
        return ""
    return str(int(number)) if number.is_integer() and abs(number) < EXACT_IN_FLOAT else repr(number)


def _valid(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair") from None
    return text
