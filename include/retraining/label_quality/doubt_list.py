r"""The doubted images as CSV, safe to open in a spreadsheet. The page with their pictures is made in `doubt_sheet.py`.

Keys come from whoever delivered the images, so a cell might start a formula. The rule: an apostrophe is put before
every `=`, `+`, `-` and `@` (or full-width form of them) that stands first in a cell, or first after a `;`, a `,` or a
`|`, where some spreadsheets end a cell; spaces between do not count. Characters that are not printable, tabs and line
ends among them, are written as Python's escapes. The image id is always exact.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

from include.retraining.artifacts import LabelDoubt

COLUMNS = (
    "rank",
    "key",
    "image_id",
    "split",
    "given_label",
    "suggested_label",
    "given_probability",
    "suggested_probability",
    "margin",
)

_FORMULA_START = re.compile(r"(^|[;,|])(\s*[=+\-@＝＋－＠])")


def to_csv(doubts: Iterable[LabelDoubt]) -> bytes:
    """Returns a line for each doubted image, in the order given, ranked from 1; equal for equal doubts."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for rank, doubt in enumerate(doubts, start=1):
        names = (doubt.key, doubt.image_id, doubt.split, doubt.given, doubt.suggested)
        numbers = (doubt.given_probability, doubt.suggested_probability, doubt.margin)
        writer.writerow((rank, *map(harmless_cell, names), *(f"{number:.6f}" for number in numbers)))
    return text.getvalue().encode()


def harmless_cell(text: str) -> str:
    r"""Returns a text that no spreadsheet takes for a formula.

    Example:
        >>> harmless_cell("=1+1.png"), harmless_cell("a; @b.png"), harmless_cell("a-b.png")
        ("'=1+1.png", "a;' @b.png", 'a-b.png')
    """
    printable = "".join(it if it.isprintable() else it.encode("unicode_escape").decode() for it in text)
    return _FORMULA_START.sub(r"\1'\2", printable)
