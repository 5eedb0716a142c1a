"""Turns the bytes of an image file into the picture that intake judges and the network is shown: one decoder for both.

What a picture must be to be accepted is in `intake/inspection/image_policy.py`; scaling it is in `embedding/`.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

DECODING = "first frame, exif orientation, alpha on white, 16 bits to 8 by 257, rgb"
"""What `decode_picture` does, for the fingerprint: whoever changes the one changes the other."""

_WHITE = (255, 255, 255, 255)
_WHOLE_NUMBERS = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UndecodableError(ValueError):
    """The bytes are no image, or one that is broken."""


class UnsupportedPixelsError(ValueError):
    """The pixels have no fixed range, so that nobody knows which value is white."""


@dataclass(frozen=True)
class Picture:
    """An image as a viewer would show it.

    Attributes:
        image: Upright, mode RGB, 8 bits a channel.
        exif_orientation: What the file said of it, 1 to 8; 0 where it said nothing that can be read.
    """

    image: Image.Image
    exif_orientation: int

    @property
    def pixels(self) -> np.ndarray:
        """uint8, shape `(height, width, 3)`."""
        return np.asarray(self.image)

    @cached_property
    def digest(self) -> str:
        """The image's identity: sha256 over size and pixels, the same for files that the network cannot tell apart."""
        digest = hashlib.sha256(f"RGB {self.image.width} {self.image.height}\n".encode())
        digest.update(self.image.tobytes())
        return digest.hexdigest()


def decode_image(body: bytes) -> np.ndarray:
    """Returns an image's pixels, uint8 RGB of shape `(height, width, 3)`; see `decode_picture`."""
    return decode_picture(body).pixels


def decode_picture(body: bytes, formats: tuple[str, ...] | None = None) -> Picture:
    """Returns an image as a viewer would show it.

    The first frame counts; it is turned as its EXIF orientation says (EXIF that cannot be read is ignored).
    Transparent pixels are composited on white, the ground of most cut-out pictures. Grey, palette and CMYK images
    become RGB by Pillow's formulas, without colour profiles. 16-bit grey is scaled to 8 bits, 65535 to 255.

    Args:
        body: A whole file.
        formats: Formats to try, as Pillow names its readers; None for every one.

    Raises:
        UndecodableError: If it cannot be decoded to its end.
        UnsupportedPixelsError: If its values have no fixed range (floats, 32-bit integers beyond 0 to 65535).
        MemoryError: If the worker has too little; that says nothing against the image.
    """
    try:
        with Image.open(io.BytesIO(body), formats=formats) as image:
            image.load()
            orientation = _orientation(image)
            upright = image.transpose(_TURNS[orientation]) if orientation in _TURNS else image
            return Picture(_to_rgb(upright), orientation)
    except (MemoryError, UnsupportedPixelsError):
        raise
    except UnidentifiedImageError as error:
        # Pillow's own sentence names an address in memory: no two runs would say the same.
        raise UndecodableError("not decodable: no known image format") from error
    except Exception as error:  # there is no list of what Pillow's many readers raise on broken bytes
        raise UndecodableError(f"not decodable: {str(error) or type(error).__name__}") from error


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 0)
    except Exception:  # as above; EXIF that cannot be read says nothing of the orientation
        return 0
    return orientation if isinstance(orientation, int) and 1 <= orientation <= 8 else 0


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _WHOLE_NUMBERS:
        return _from_sixteen_bits(image)
    if image.mode == "F":
        raise UnsupportedPixelsError("floating-point pixels have no fixed range; save them as 8 or 16 bits")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, _WHITE), image).convert("RGB")
    return image.convert("RGB")


def _from_sixteen_bits(image: Image.Image) -> Image.Image:
    grey = np.asarray(image)
    if grey.min() < 0 or grey.max() > 65535:
        raise UnsupportedPixelsError(
            f"grey values from {grey.min()} to {grey.max()} where 16 bits were expected; save them as 8 or 16 bits"
        )
    return Image.fromarray(np.round(grey / 257).astype(np.uint8)).convert("RGB")
