"""What a batch's `labels.csv` says. Which of its images exist is in `listing.py`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from include.retraining.errors import DataContractError

MANIFEST = "labels.csv"
REQUIRED = ("image", "label")
OPTIONAL = ("group", "split")
EXPECTED = "expected 'image,label' and optionally 'group' and 'split', separated by commas, as the first line"


@dataclass(frozen=True)
class ManifestRow:
    """A line of the manifest, letter for letter; an empty string where it says nothing."""

    image: str
    label: str
    group: str
    split: str


def parse_manifest(body: bytes, batch: str) -> list[ManifestRow]:
    """Returns the lines of a `labels.csv`, blank ones left out.

    A line with fewer fields than the header ends in empty ones. A line with more keeps its image only: which label it
    means cannot be known, and one such line is no reason to refuse all others.

    Args:
        body: The file, UTF-8 with or without a byte-order mark, any line ends.
        batch: URI of the batch, for messages.

    Raises:
        DataContractError: If the file as a whole cannot be read.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _refusal(batch, f"byte {error.start} is not UTF-8: save the file as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)  # else an open quote swallows the lines after it
    try:
        header = next(reader, None)
        columns = _columns(header, batch)
        return list(_rows(reader, columns))
    except csv.Error as error:
        raise _refusal(batch, f"line {reader.line_num} is not valid CSV ({error}): correct its quotes") from error


def _rows(lines: Iterator[list[str]], columns: Sequence[str]) -> Iterator[ManifestRow]:
    for fields in lines:
        if not fields:
            continue
        named = dict(zip(columns, fields, strict=False))
        image = named.get("image", "")
        if len(fields) > len(columns):
            yield ManifestRow(image=image, label="", group="", split="")
        else:
            yield ManifestRow(image, named.get("label", ""), named.get("group", ""), named.get("split", ""))


def _columns(header: list[str] | None, batch: str) -> list[str]:
    if header is None:
        raise _refusal(batch, f"the file is empty; {EXPECTED}")
    columns = [name.strip() for name in header]
    found = f"the header is {','.join(columns)[:200]!r}"
    unknown = [name for name in columns if name not in (*REQUIRED, *OPTIONAL)]
    missing = [name for name in REQUIRED if name not in columns]
    if unknown or missing:
        # An unknown column may be a misspelt one: ignoring `spilt` would let test images be trained on.
        raise _refusal(batch, f"{found}; {EXPECTED}")
    if len(set(columns)) != len(columns):
        raise _refusal(batch, f"{found}, with a column twice; {EXPECTED}")
    return columns


def _refusal(batch: str, problem: str) -> DataContractError:
    return DataContractError(batch, [f"{MANIFEST}: {problem}"])
