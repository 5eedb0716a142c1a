"""Makers of files that are no image, no whole image, or one of a rare kind."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

import numpy as np
from PIL import Image

from tests.unit.retraining.intake.deliveries import encoded, picture

ORIENTATION = 0x0112


def colours(side: int = 48) -> Image.Image:
    """A picture of colourful noise, another for each size."""
    return Image.fromarray(np.random.default_rng(side).integers(0, 256, (side, side, 3), dtype=np.uint8))


def animation(kind: str) -> bytes:
    """Three frames."""
    frames = [picture(number, 16) for number in range(3)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A PNG whose header promises far more pixels than its bytes could hold."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def honest_bomb(side: int) -> bytes:
    """A PNG that holds all its pixels, compressed to a thousandth."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    row = bytes(1 + (side + 7) // 8)
    squeeze = zlib.compressobj(9)
    data = b"".join(squeeze.compress(row * 100) for _ in range(side // 100)) + squeeze.flush()
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def text_bomb(*, behind_pixels: bool) -> bytes:
    """A PNG with a comment that unpacks to 40 MB."""
    whole = encoded(picture(1))
    comment = chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(bytes(40_000_000), 9))
    place = whole.index(b"IEND") - 4 if behind_pixels else 33
    return whole[:place] + comment + whole[place:]


def zip_file() -> bytes:
    """An archive that holds an image."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.png", encoded(picture(1)))
    return buffer.getvalue()


def see_through(mode: str, number: int = 1) -> Image.Image:
    """A picture that is transparent here and there."""
    image = picture(number).convert("RGBA")
    image.putalpha(picture(number + 1))
    return image if mode == "RGBA" else image.convert(mode)


def palette_with_transparency(number: int = 1) -> bytes:
    """A PNG of a palette, one colour of which is transparent."""
    return encoded(picture(number).convert("P"), transparency=5)


def sixteen_bits() -> Image.Image:
    """A grey picture of 16 bits a pixel."""
    return Image.fromarray(np.random.default_rng(5).integers(0, 65536, (12, 12), dtype=np.uint16))


def sixteen_bit_colours() -> bytes:
    """Pillow does not write PNG of 48 bits a pixel."""
    values = np.random.default_rng(6).integers(0, 65536, (12, 12 * 3)).astype(">u2")
    rows = b"".join(b"\x00" + row.tobytes() for row in values)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 12, 12, 16, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def with_checksum_flipped() -> bytes:
    """A PNG with a wrong bit."""
    body = bytearray(encoded(picture(1)))
    body[-20] ^= 1
    return bytes(body)


RUBBISH_EXIF = b"Exif\x00\x00MM\x00*\xff\xff\xff\xffrubbish"

TURNED = {
    1: [],
    2: [Image.Transpose.FLIP_LEFT_RIGHT],
    3: [Image.Transpose.ROTATE_180],
    4: [Image.Transpose.FLIP_TOP_BOTTOM],
    5: [Image.Transpose.TRANSPOSE],
    6: [Image.Transpose.ROTATE_90],  # stored turned to the left: a viewer turns it back to the right
    7: [Image.Transpose.TRANSVERSE],
    8: [Image.Transpose.ROTATE_270],
}


def turned_by_exif(upright: Image.Image, orientation: int) -> bytes:
    """A PNG that is stored turned, and says so: a viewer shows it upright."""
    stored = upright
    for turn in TURNED[orientation]:
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(stored, exif=exif.tobytes())
