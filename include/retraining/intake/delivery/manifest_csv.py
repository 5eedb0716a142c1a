"""A manifest in CSV, as spreadsheets and scripts write it. Which columns there may be is in `manifest_rows.py`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from include.retraining.intake.delivery.manifest_rows import (
    COLUMNS,
    EXPECTED,
    Manifest,
    ManifestFile,
    ManifestRow,
    check_columns,
    is_usable,
    made_manifest,
    made_row,
)

if TYPE_CHECKING:
    from _csv import Reader

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def read_csv(file: ManifestFile) -> Manifest:
    """Returns what a CSV says.

    A line with fewer fields than the header ends in empty ones. A line with more keeps its image only: which label it
    means cannot be known, and one such line is no reason to refuse all others.

    Args:
        file: UTF-8 with or without a byte-order mark, any line ends; separated by commas, or by semicolons or tabs
            where the header says so.

    Raises:
        DataContractError: If the file as a whole cannot be read.
    """
    text = _decoded(file)
    delimiter = max(DELIMITERS, key=lambda each: _known_columns(text, each))  # commas, where it makes no difference
    reader = _reader(text, delimiter)
    too_long: list[int] = []
    try:
        columns = _header(reader)
        if columns is None:
            raise file.refusal(f"the file is empty; {EXPECTED}, as the first line")
        warnings = list(check_columns(columns, file))
        manifest = made_manifest(_rows(reader, columns, too_long), ())
    except ValueError as error:
        raise file.refusal(f"line {reader.line_num} {error}") from error
    except csv.Error as error:
        raise file.refusal(f"line {reader.line_num} is not valid CSV ({error}): correct its quotes") from error
    if delimiter != ",":
        warnings.insert(0, f"{file.name}: separated by {DELIMITERS[delimiter]}, and read so; commas are expected")
    if too_long:
        warnings.append(
            f"{file.name}: {len(too_long)} lines have more fields than the header, the first is line {too_long[0]}; "
            "what they say of their images is not used: put names with a delimiter in quotes"
        )
    return Manifest(manifest.rows, tuple(warnings))


def _decoded(file: ManifestFile) -> str:
    try:
        return file.body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise file.refusal(f"byte {error.start} is not UTF-8: save the file as UTF-8") from error


def _known_columns(text: str, delimiter: str) -> int:
    """Returns how many known columns the header has if fields are separated so."""
    try:
        columns = _header(_reader(text, delimiter)) or []
    except csv.Error:
        return 0
    return len(set(COLUMNS).intersection(columns))


def _reader(text: str, delimiter: str) -> Reader:
    # Strict: else an open quote swallows the lines after it.
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)


def _header(reader: Iterator[list[str]]) -> list[str] | None:
    """Returns the first line that is not blank."""
    line = next((fields for fields in reader if any(field.strip() for field in fields)), None)
    return None if line is None else [name.strip() for name in line]


def _rows(reader: Reader, columns: Sequence[str], too_long: list[int]) -> Iterator[ManifestRow]:
    """Yields the lines after the header; adds the numbers of those with too many fields to `too_long`.

    Raises:
        ValueError: If the last line read has too many attributes, or too long a one.
    """
    places = {name: place for place, name in enumerate(columns) if is_usable(name)}
    for fields in reader:
        values = {name: fields[place] for name, place in places.items() if place < len(fields)}
        if len(fields) > len(columns):
            too_long.append(reader.line_num)
            values = {"image": values.get("image", "")}
        yield made_row(values)
