"""What the pictures of this package have in common: a white ground, one font, and bytes that follow from the pixels.

The font comes with Pillow, so that every machine draws the same. It knows ASCII alone: whoever shows a picture should
name its class beside it.
"""

from __future__ import annotations

import io
import unicodedata
from functools import cache

from PIL import Image, ImageFont

WHITE = (255, 255, 255)
INK = (28, 28, 30)
QUIET_INK = (104, 104, 110)
LINE = (205, 205, 210)


@cache
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Returns the font in a size of so many pixels."""
    return ImageFont.load_default(size)


def fitted(text: str, size: int, width: float) -> str:
    """Returns text in characters that the font knows, cut to a width in pixels.

    Example:
        >>> fitted("décolleté", 12, 500)
        'decollete'
    """
    decomposed = unicodedata.normalize("NFKD", text)
    known = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    shown = known.encode("ascii", "replace").decode()
    if font(size).getlength(shown) <= width:
        return shown
    while shown and font(size).getlength(f"{shown}…") > width:
        shown = shown[:-1]
    return f"{shown}…"


def to_png(image: Image.Image) -> bytes:
    """Returns a picture as a PNG file; equal pixels give equal bytes."""
    sink = io.BytesIO()
    image.save(sink, "PNG", optimize=True)
    return sink.getvalue()
