"""Draws contact sheets: a synthetic row a line, its parents, what lies between them, and the nearest other image.

Which rows are shown is decided in `reconstruction.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from include.retraining.reconstruction.drawing import INK, LINE, QUIET_INK, WHITE, fitted, font, to_png

HEADINGS = ("parent A", "parent B", "decoded synthetic", "nearest other image")

_TILE, _GAP, _MARGIN = 128, 24, 24
_HEADER, _CAPTION = 92, 34
_TITLE_SIZE, _TEXT_SIZE = 22, 13


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture with a line below it.

    Attributes:
        pixels: uint8, shape `(side, side, 3)`; 128 is a multiple of the side.
        caption: Short.
    """

    pixels: np.ndarray
    caption: str


def draw_contact_sheet(title: str, subtitle: str, rows: Sequence[Sequence[Tile]]) -> bytes:
    """Returns a PNG file, 4 pictures a row under their headings; equal arguments give equal bytes.

    Args:
        title: The class.
        subtitle: What is shown of it.
        rows: Tiles in the order of `HEADINGS`.
    """
    width = 2 * _MARGIN + len(HEADINGS) * (_TILE + _GAP) - _GAP
    height = _HEADER + len(rows) * (_TILE + _CAPTION) + _MARGIN // 2
    sheet = Image.new("RGB", (width, height), WHITE)
    draw = ImageDraw.Draw(sheet)
    within = width - 2 * _MARGIN
    draw.text((_MARGIN, 16), fitted(title, _TITLE_SIZE, within), INK, font(_TITLE_SIZE))
    draw.text((_MARGIN, 44), fitted(subtitle, _TEXT_SIZE, within), QUIET_INK, font(_TEXT_SIZE))
    for column, heading in enumerate(HEADINGS):
        draw.text((_left(column), _HEADER - 22), heading, INK, font(_TEXT_SIZE))
    for index, row in enumerate(rows):
        for column, tile in enumerate(row):
            _draw_tile(sheet, draw, tile, (_left(column), _HEADER + index * (_TILE + _CAPTION)))
    return to_png(sheet)


def _left(column: int) -> int:
    return _MARGIN + column * (_TILE + _GAP)


def _draw_tile(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, corner: tuple[int, int]) -> None:
    left, top = corner
    enlarged = Image.fromarray(tile.pixels).resize((_TILE, _TILE), Image.Resampling.NEAREST)
    sheet.paste(enlarged, corner)
    draw.rectangle((left - 1, top - 1, left + _TILE, top + _TILE), outline=LINE)
    caption = fitted(tile.caption, _TEXT_SIZE, _TILE + _GAP - 6)
    draw.text((left, top + _TILE + 4), caption, QUIET_INK, font(_TEXT_SIZE))
