from __future__ import annotations

import io
import struct
import zlib
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from include.retraining.pictures import decode_image
from include.retraining.training.decoding_graph import decode

NOISE = np.random.default_rng(0).integers(0, 256, (37, 53, 4), dtype=np.uint8)
RGBA = Image.fromarray(NOISE)
RGB = RGBA.convert("RGB")
WIDE = np.random.default_rng(1).integers(0, 65536, (9, 11, 4)).astype(">u2")
# Every colour with every alpha.
EVERY_MIX = np.stack([*[np.repeat(np.arange(256), 256)] * 3, np.tile(np.arange(256), 256)], -1).astype(np.uint8)


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    sink = io.BytesIO()
    image.save(sink, format, **options)
    return sink.getvalue()


def png(
    depth: int, colour_type: int, rows: np.ndarray, *, width: int, more: tuple[bytes, bytes] | None = None
) -> bytes:
    """A PNG file of a kind that Pillow does not write; `more` is a chunk before the pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    chunks = [(b"IHDR", header), *([more] if more else []), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def few_bits(depth: int) -> np.ndarray:
    return np.random.default_rng(depth).integers(0, 256, (9, -(-11 * depth // 8)), dtype=np.uint8)


def animation(format: str) -> bytes:
    return encoded(RGB, format, save_all=True, append_images=[RGB.transpose(Image.Transpose.FLIP_LEFT_RIGHT)])


@cache
def graph() -> tf.types.experimental.GenericFunction:
    """Compiled once, as in the served model."""
    return tf.function(decode, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)


def decoded(body: bytes) -> np.ndarray:
    return graph()(tf.constant(body)).numpy()


SAME = {
    **{f"png_{mode}": encoded(RGBA.convert(mode)) for mode in ("RGB", "RGBA", "L", "LA", "P", "1")},
    "png_every_alpha": encoded(Image.fromarray(EVERY_MIX.reshape(256, 256, 4))),
    "png_16_bits_by_pillow": encoded(Image.fromarray(WIDE[..., 0].astype(np.uint16))),
    **{
        f"png_16_bits_{name}": png(16, kind, WIDE[..., :channels], width=11)
        for name, kind, channels in (("grey", 0, 1), ("rgb", 2, 3), ("grey_alpha", 4, 2), ("rgba", 6, 4))
    },
    "png_16_bits_transparent_grey": png(16, 0, WIDE[..., :1], width=11, more=(b"tRNS", WIDE[0, 0, :1].tobytes())),
    **{f"png_{depth}_bits": png(depth, 0, few_bits(depth), width=11) for depth in (1, 2, 4)},
    "png_transparent_bit": encoded(RGB.convert("1"), transparency=0),
    "png_transparent_grey": encoded(RGB.convert("L"), transparency=100),
    "png_transparent_colour": encoded(RGB, transparency=tuple(NOISE[0, 0, :3].tolist())),
    "png_transparent_entry": encoded(RGB.convert("P"), transparency=5),
    "png_translucent_palette": encoded(RGB.convert("P"), transparency=bytes(range(256))),
    **{f"png_palette_{bits}_bits": encoded(RGB.quantize(2**bits), bits=bits) for bits in (1, 2, 4)},
    **{
        f"png_transparent_entry_{bits}_bits": encoded(RGB.quantize(2**bits), bits=bits, transparency=1)
        for bits in (1, 2, 4)
    },
    "png_translucent_bits": encoded(RGB.quantize(4), bits=2, transparency=bytes([3, 90, 3, 255])),
    "png_gamma": png(8, 2, NOISE[..., :3], width=53, more=(b"gAMA", struct.pack(">I", 100_000))),
    "png_animated": animation("PNG"),
    **{
        f"jpeg_{sampling}_{quality}{'_progressive' * progressive}": encoded(
            RGB, "JPEG", subsampling=sampling, quality=quality, progressive=progressive
        )
        for sampling in ("4:4:4", "4:2:2", "4:2:0", "4:1:1")
        for quality in (40, 95)
        for progressive in (False, True)
    },
    "jpeg_grey": encoded(RGB.convert("L"), "JPEG"),
    "jpeg_rgb": encoded(RGB, "JPEG", keep_rgb=True),
    "gif": encoded(RGB, "GIF"),
    "gif_animated": animation("GIF"),
    **{f"bmp_{mode}": encoded(RGB.convert(mode), "BMP") for mode in ("RGB", "L", "P")},
    "bmp_palette_of_16": encoded(RGB.quantize(16), "BMP"),
}


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in SAME.items()])
def test_the_pixels_are_those_of_training_bit_for_bit(body: bytes):
    expected = decode_image(body)

    pixels = decoded(body)

    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, expected)


def test_a_jpeg_in_cmyk_is_off_by_one_at_most():
    body = encoded(Image.fromarray(NOISE, "CMYK"), "JPEG")

    difference = decoded(body).astype(int) - decode_image(body)

    assert np.abs(difference).max() == 1


def test_transparent_pixels_of_a_gif_are_black_and_not_white_as_in_training():
    body = encoded(Image.new("P", (8, 8), 3), "GIF", transparency=3)

    assert np.unique(decode_image(body)).tolist() == [255]
    assert np.unique(decoded(body)).tolist() == [0]


def compressed_bmp() -> bytes:
    body = bytearray(encoded(RGB.convert("L"), "BMP"))
    body[30:34] = struct.pack("<I", 1)
    return bytes(body)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"image,label\n1.png,shoe\n", "Unknown image file format", id="text"),
        pytest.param(SAME["png_RGB"][:400], "Invalid PNG data", id="png_cut"),
        pytest.param(SAME["png_RGB"][:20], "Invalid PNG", id="png_cut_in_header"),
        pytest.param(SAME["jpeg_grey"][:400], "Invalid JPEG data", id="jpeg_cut"),
        pytest.param(compressed_bmp(), "A compressed BMP file", id="bmp_compressed"),
        pytest.param(encoded(RGB.convert("1"), "BMP"), "Number of channels", id="bmp_1_bit"),
    ],
)
def test_what_cannot_be_read_is_an_error_and_no_picture(body: bytes, reason: str):
    with pytest.raises(tf.errors.InvalidArgumentError, match=reason):
        decoded(body)
