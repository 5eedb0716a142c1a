"""What the beginning of an image file says of it, before a pixel is decoded. Whether that is allowed is elsewhere."""

from __future__ import annotations

import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

from PIL import Image, ImageFile

# Formats that have no reader of their own: the reader that finds them.
_READ_AS = {"MPO": "JPEG"}
_BITS_OF_MODE = {"1": 1, "I": 32, "F": 32}  # all others have 8, or say how many in their name
_TIFF_BITS_PER_SAMPLE = 258


@dataclass(frozen=True)
class ImageHeader:
    """What a file says of itself.

    Attributes:
        format: As Pillow names it.
        mode: As Pillow names it.
        bit_depth: Of a channel, as stored.
        n_frames: 0 where they cannot be counted.
        width: In pixels, as stored.
        height: In pixels, as stored.
        has_transparency: Whether there is an alpha channel or a transparent colour.
    """

    format: str
    mode: str
    bit_depth: int
    n_frames: int
    width: int
    height: int
    has_transparency: bool


def open_image(body: bytes, formats: Sequence[str] | None = None) -> ImageFile.ImageFile:
    """Opens an image without decoding it; raises what Pillow's readers raise.

    Args:
        body: The file.
        formats: Formats whose readers may see the bytes; None for all.
    """
    return Image.open(io.BytesIO(body), formats=None if formats is None else readers_of(tuple(formats)))


@cache
def readers_of(formats: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the names under which Pillow has readers for formats; a format that it cannot read has none."""
    Image.init()
    return tuple(dict.fromkeys(name for name in (_READ_AS.get(it, it) for it in formats) if name in Image.OPEN))


def header_of(image: ImageFile.ImageFile) -> ImageHeader:
    """Returns the header of an image that was opened and not decoded."""
    return ImageHeader(
        format=image.format or "",
        mode=image.mode,
        bit_depth=_bit_depth(image),
        width=image.width,
        height=image.height,
        has_transparency=image.has_transparency_data,
        n_frames=_n_frames(image),  # the last: counting may leave the image at another frame, of another size
    )


def format_by_signature(body: bytes, formats: Sequence[str]) -> str:
    """Returns which of some formats the first bytes are a signature of; empty if none, or if it has no signature."""
    prefix = body[:16]
    for name in readers_of(tuple(formats)):
        accepts = Image.OPEN[name][1]
        with suppress(Exception):  # some look at more bytes than there are
            if accepts is not None and accepts(prefix) is True:
                return name
    return ""


def _n_frames(image: ImageFile.ImageFile) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception:  # as for decoding; the first frame may be whole all the same
        return 0


def _bit_depth(image: ImageFile.ImageFile) -> int:
    if image.format == "PNG" and image.tile:
        stored = str(image.tile[0].args).partition(";")[2]  # such as "RGB;16B"; nothing for 8 bits
        digits = "".join(filter(str.isdigit, stored))
        return int(digits) if digits else _BITS_OF_MODE.get(image.mode, 8)
    if image.format == "TIFF":
        with suppress(Exception):
            return max(int(bits) for bits in image.tag_v2[_TIFF_BITS_PER_SAMPLE])  # type: ignore[attr-defined]
    return 16 if ";16" in image.mode else _BITS_OF_MODE.get(image.mode, 8)
