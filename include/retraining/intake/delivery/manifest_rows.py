"""What the manifest formats have in common: rows, columns, values, refusals. Each format is read in its own module."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from include.retraining.errors import DataContractError
from include.retraining.intake.attributes import attributes_text

REQUIRED = ("image", "label")
OPTIONAL = ("group", "split")
COLUMNS = (*REQUIRED, *OPTIONAL)
EXPECTED = "expected 'image' and 'label', and optionally 'group' and 'split'"
DAY = "date"  # what slices call the day of the delivery

LONGEST_NAME = 64  # of an attribute

LIKENESS = 0.8  # of two names, by `difflib`: `gruop` and `spilt` have it, `image_id` and `width` do not
SHOWN = 200  # characters of the owner's text in a message
EXACT_IN_FLOAT = 2.0**53


class ManifestRow(NamedTuple):
    """A line of the manifest, letter for letter; an empty string where it says nothing."""

    image: str
    label: str
    group: str
    split: str
    attributes: str = ""  # see `attributes.py`


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
    return Manifest(tuple(row for row in rows if any(row[: len(COLUMNS)])), tuple(warnings))


def made_row(texts: Mapping[str, str]) -> ManifestRow:
    """Returns a row of the texts that a line has by column; those of other usable columns are its attributes.

    Raises:
        ValueError: If it has too many of these, or one is too long; the message goes on after the number of a line.
    """
    image, label, group, split = (texts.get(name, "") for name in COLUMNS)
    attributes = attributes_text(
        {name: text for name, text in texts.items() if name not in COLUMNS and is_usable(name)}
    )
    return ManifestRow(image, label, group, split, attributes)


def check_columns(names: Sequence[str], file: ManifestFile) -> tuple[str, ...]:
    """Returns a warning about columns that are not used because of their names, if there are any.

    Raises:
        DataContractError: If a required column is missing, one is there twice, another is so like a known one that it
            may be misspelt (taking `spilt` for an attribute would let test images be trained on), or one has the name
            that slices give to the day of the delivery.
    """
    found = shown(", ".join(repr(name) for name in names))
    for name in names:
        if name not in COLUMNS and (meant := _like_known(name)):
            raise file.refusal(f"it has a column {shown(repr(name))}; did you mean {meant!r}? Rename or remove it")
    if missing := [name for name in REQUIRED if name not in names]:
        lacking = " and ".join(repr(name) for name in missing)
        raise file.refusal(f"it has no column {lacking}; its columns are {found}; {EXPECTED}")
    if twice := [name for name, count in Counter(names).items() if is_usable(name) and count > 1]:
        raise file.refusal(f"it has the column {shown(repr(twice[0]))} twice; its columns are {found}; {EXPECTED}")
    if DAY in names:
        raise file.refusal(
            f"the name of the column {DAY!r} is taken, it means the day of the delivery: "
            "rename the column, for instance to 'taken_on', or remove it"
        )
    unused = list(dict.fromkeys(name for name in names if not is_usable(name)))
    if not unused:
        return ()
    ignored = shown(", ".join(repr(name) for name in unused))
    return (
        f"{file.name}: not used, since a column needs a name of 1 to {LONGEST_NAME} printable characters, without '=' "
        f"and without spaces around it: {ignored}",
    )


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


@lru_cache(maxsize=1024)
def is_usable(name: str) -> bool:
    """Tells whether a column of this name can be kept: gates call a slice `column=value`."""
    return 0 < len(name) <= LONGEST_NAME and "=" not in name and name == name.strip() and name.isprintable()


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
