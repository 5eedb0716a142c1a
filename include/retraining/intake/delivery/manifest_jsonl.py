"""A manifest in JSON Lines: one object a line. Which columns there may be is in `manifest_rows.py`."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

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
    shown,
    text_of,
)

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Fields(list[tuple[str, Any]]):
    """A JSON object as it is written: a name may be there twice."""


def read_jsonl(file: ManifestFile) -> Manifest:
    """Returns what JSON Lines say, read line by line.

    A name that a line does not have is empty there; one that no line has is a missing column. Blank lines are left
    out, and so are lists and objects as attributes. How values become text says `text_of`.

    Raises:
        DataContractError: If a line is not a JSON object, a known column holds no plain value, or a column is missing
            or unclear.
    """
    names: dict[str, None] = {}  # those of all lines, in the order in which they come
    nested: dict[str, None] = {}
    manifest = made_manifest(_rows(file, names, nested), ())
    if not names:
        raise file.refusal(f"the file is empty; {EXPECTED} in an object on each line")
    warnings = check_columns(list(names), file)
    if nested:
        ignored = shown(", ".join(repr(name) for name in nested))
        warnings += (f"{file.name}: not used where it is a list or an object: {ignored}",)
    return Manifest(manifest.rows, warnings)


def _rows(file: ManifestFile, names: dict[str, None], nested: dict[str, None]) -> Iterator[ManifestRow]:
    """Yields the lines; adds their names to `names`, and those of lists and objects that are left out to `nested`."""
    lines = io.BytesIO(file.body.removeprefix(BYTE_ORDER_MARK))
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = _parsed(line)
            names.update(dict.fromkeys(fields))
            left_out = [
                name
                for name, value in fields.items()
                if isinstance(value, list) and name not in COLUMNS and is_usable(name)
            ]
            nested.update(dict.fromkeys(left_out))
            yield made_row(
                {name: _text(name, fields[name]) for name in fields if is_usable(name) and name not in left_out}
            )
        except (ValueError, RecursionError) as error:
            raise file.refusal(f"line {number} {_told(error)}: correct it") from error


def _parsed(line: bytes) -> dict[str, Any]:
    fields = json.loads(line.decode("utf-8"), object_pairs_hook=_Fields, parse_constant=_refuse_constant)
    if not isinstance(fields, _Fields):
        raise ValueError('is no JSON object, such as {"image": "a.png", "label": "daisy"}')
    names = [name for name, _ in fields]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"has {shown(repr(twice))} twice")
    return dict(fields)


def _text(name: str, value: object) -> str:
    try:
        return text_of(value)
    except ValueError as error:
        kind = "a list or an object" if isinstance(value, list) else str(error)
        raise ValueError(f"has {kind} as {name!r}; a text is expected") from None


def _told(error: ValueError | RecursionError) -> str:
    match error:
        case json.JSONDecodeError():
            return f"is not valid JSON ({error.msg} at character {error.pos + 1})"
        case UnicodeDecodeError():
            return f"is not UTF-8 (byte {error.start + 1})"
        case RecursionError():
            return "is nested too deep"
    return str(error)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"is not valid JSON ({name} is no number in JSON)")
