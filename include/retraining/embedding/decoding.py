"""Turns the bytes of an image file into the pixels that the network is shown."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

DECODING = "first frame, exif orientation, alpha on white, 16 bits to 8 by 257, rgb"
"""What `decode_image` does, for the fingerprint: whoever changes the one changes the other."""

_WHITE = (255, 255, 255, 255)
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")

# What Pillow's many readers raise on bytes that are broken in one way or another.
_BROKEN_IMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    OverflowError,
    MemoryError,
    struct.error,
    Image.DecompressionBombError,
)


def decode_image(body: bytes) -> np.ndarray:
    """Returns an image's pixels as a viewer would show them.

    The first frame counts; it is turned as its EXIF orientation says (an EXIF block that cannot be read is ignored).
    Transparent pixels are composited on white, the ground of most cut-out pictures. Grey and palette images become
    RGB. 16-bit grey is scaled to 8 bits, 65535 to 255.

    Args:
        body: A whole file, in any format that Pillow reads.

    Returns:
        uint8 RGB pixels, shape `(height, width, 3)`.

    Raises:
        ValueError: If it cannot be decoded, or its values have no fixed range (floats, 32-bit integers over 65535).
    """
    try:
        with Image.open(io.BytesIO(body)) as image:
            image.load()
            return np.asarray(_to_rgb(_upright(image)))
    except UnidentifiedImageError as error:
        # Pillow's own sentence names an address in memory: no two runs would say the same.
        raise ValueError("not decodable: no known image format") from error
    except _BROKEN_IMAGE as error:
        raise ValueError(f"not decodable: {str(error) or type(error).__name__}") from error


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except _BROKEN_IMAGE:
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BIT_MODES or image.mode == "I":
        return _from_sixteen_bits(image)
    if image.mode == "F":
        raise ValueError("floating-point pixels have no fixed range; save them as 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image).convert("RGB")
    return image.convert("RGB")


def _from_sixteen_bits(image: Image.Image) -> Image.Image:
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 65535:
        raise ValueError(
            f"grey values from {grey.min()} to {grey.max()} where 16 bits were expected; save them as 8 or 16 bits"
        )
    return Image.fromarray(np.round(grey / 257).astype(np.uint8)).convert("RGB")
