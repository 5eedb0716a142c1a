from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from include.retraining.pictures import (
    UndecodableError,
    UnsupportedPixelsError,
    decode_image,
    decode_picture,
)

ORIENTATION = 0x0112
GREY = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    body = io.BytesIO()
    image.save(body, format, **options)
    return body.getvalue()


def test_rgb_pixels_come_back_as_they_are():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    decoded = decode_image(encoded(Image.fromarray(pixels)))
    assert decoded.dtype == np.uint8
    assert np.array_equal(decoded, pixels)


@pytest.mark.parametrize("mode", ["L", "P", "LA", "I;16"])
def test_grey_becomes_three_equal_channels(mode: str):
    image = Image.fromarray(GREY)
    image = Image.fromarray(GREY.astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    assert np.array_equal(decode_image(encoded(image)), np.stack([GREY] * 3, axis=-1))


def test_black_and_white_becomes_0_and_255():
    image = Image.fromarray(np.array([[0, 255]], dtype=np.uint8)).convert("1")
    assert decode_image(encoded(image)).tolist() == [[[0] * 3, [255] * 3]]


def test_sixteen_bits_are_scaled_not_cut():
    image = Image.fromarray(np.array([[0, 255, 32768, 65535]], dtype=np.uint16))
    assert decode_image(encoded(image))[0, :, 0].tolist() == [0, 1, 128, 255]


def test_integers_of_32_bits_count_as_16_bits_where_they_fit():
    image = Image.fromarray(np.array([[0, 65535]], dtype=np.int32))
    assert decode_image(encoded(image, "TIFF"))[0, :, 0].tolist() == [0, 255]


def test_transparent_pixels_are_white():
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [0, 0, 0, 51]]], dtype=np.uint8)
    assert decode_image(encoded(Image.fromarray(rgba))).tolist() == [[[10, 20, 30], [255] * 3, [204] * 3]]


def test_a_transparent_palette_entry_is_white():
    image = Image.fromarray(np.array([[0, 1]], dtype=np.uint8), "L").convert("P")
    image.putpalette([9, 8, 7, 6, 5, 4])
    assert decode_image(encoded(image, transparency=1)).tolist() == [[[9, 8, 7], [255] * 3]]


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    assert np.abs(decode_image(encoded(image, "JPEG")).astype(int) - [255, 0, 0]).max() <= 6


def test_the_first_frame_of_an_animation_counts():
    frames = [Image.new("L", (4, 4), 10), Image.new("L", (4, 4), 200)]
    body = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert np.unique(decode_image(body)).tolist() == [10]


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    ("orientation", "rotate"),
    [pytest.param(1, 0, id="upright"), pytest.param(6, 3, id="right"), pytest.param(3, 2, id="down")],
)
def test_the_exif_orientation_is_applied(format: str, orientation: int, rotate: int):
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16] = 255
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    decoded = decode_image(encoded(Image.fromarray(pixels), format, exif=exif.tobytes()))
    assert np.array_equal(decoded > 127, np.rot90(pixels, rotate) > 127)


def test_a_broken_exif_block_does_not_cost_the_image():
    body = encoded(Image.fromarray(GREY), "JPEG", exif=b"Exif\x00\x00not a tiff header at all")
    assert decode_image(body).shape == (2, 3, 3)


def broken_images() -> dict[str, bytes]:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    png, jpeg = encoded(Image.fromarray(pixels)), encoded(Image.fromarray(pixels), "JPEG")
    huge = bytearray(png)
    huge[16:24] = struct.pack(">II", 60000, 60000)
    huge[29:33] = struct.pack(">I", zlib.crc32(huge[12:29]))
    return {
        "empty": b"",
        "text": b"image,label\n1.png,shoe\n",
        "png_cut": png[: len(png) // 2],
        "png_cut_in_header": png[:20],
        "jpeg_cut": jpeg[: len(jpeg) // 2],
        "png_damaged": png[:60] + bytes(40) + png[100:],
        "bomb": bytes(huge),
    }


@pytest.mark.parametrize("body", [pytest.param(body, id=name) for name, body in broken_images().items()])
def test_what_cannot_be_decoded_is_a_short_readable_error(body: bytes):
    with pytest.raises(UndecodableError, match=r"^not decodable: .{3,}") as caught:
        decode_image(body)
    assert len(str(caught.value)) < 300
    assert "\n" not in str(caught.value)
    assert " at 0x" not in str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "reason"),
    [
        pytest.param(np.ones((2, 2), np.float32), "floating-point pixels have no fixed range", id="float"),
        pytest.param(np.full((2, 2), 70000, np.int32), "grey values from 70000 to 70000", id="32_bits"),
        pytest.param(np.full((2, 2), -1, np.int32), "grey values from -1 to -1", id="negative"),
    ],
)
def test_values_without_a_fixed_range_are_refused(pixels: np.ndarray, reason: str):
    with pytest.raises(UnsupportedPixelsError, match=reason):
        decode_image(encoded(Image.fromarray(pixels), "TIFF"))


def colourful() -> Image.Image:
    """Four by three pixels that are different in every channel."""
    grey = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4) * 20)
    return Image.merge("RGB", [grey, grey.point(lambda value: 255 - value), grey.point(lambda value: value // 2)])


@pytest.mark.parametrize("mode", ["RGB", "P", "RGBA"])
def test_the_digest_of_a_picture_is_what_it_always_was(mode: str):
    image = colourful().quantize(12) if mode == "P" else colourful().convert(mode)

    digest = decode_picture(encoded(image)).digest

    assert digest == "ce5208173bcabf0d6f667239c61db57fd8e16cb3c4320b66d3d18ae13bed75fa"


def test_the_digest_of_a_grey_picture_is_what_it_always_was():
    grey = colourful().getchannel(0)

    digests = {decode_picture(encoded(grey.convert(mode))).digest for mode in ("L", "RGB", "P", "LA")}

    assert digests == {"6d4e89205ef3a3b9bc3aa12842e884d022d87b5672954edf5f48fad9634d4500"}


def test_files_that_the_network_cannot_tell_apart_are_one_picture():
    white_on_clear = np.full((4, 4, 4), 255, dtype=np.uint8)
    black_on_clear = np.zeros((4, 4, 4), dtype=np.uint8)
    deep = np.full((4, 4), 65535, dtype=np.uint16)
    files = [Image.fromarray(white_on_clear), Image.fromarray(black_on_clear), Image.fromarray(deep)]

    assert {decode_picture(encoded(image)).digest for image in files} == {
        decode_picture(encoded(Image.new("L", (4, 4), 255))).digest
    }


def test_the_shape_belongs_to_the_digest():
    wide, square = Image.new("L", (8, 2), 7), Image.new("L", (4, 4), 7)

    assert decode_picture(encoded(wide)).digest != decode_picture(encoded(square)).digest


@pytest.mark.parametrize("value", [0, 9, 65535])
def test_an_orientation_that_is_none_is_ignored(value: int):
    exif = Image.Exif()
    exif[ORIENTATION] = value

    picture = decode_picture(encoded(colourful(), exif=exif.tobytes()))

    assert (picture.exif_orientation, picture.image.size) == (0, (4, 3))


def test_only_the_readers_that_are_asked_for_see_the_bytes():
    body = encoded(colourful(), "GIF")

    with pytest.raises(UndecodableError, match="no known image format"):
        decode_picture(body, ("PNG", "JPEG"))


def test_a_lack_of_memory_is_not_blamed_on_the_image(monkeypatch: pytest.MonkeyPatch):
    def fail(image: Image.Image, mode: str) -> None:
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", fail)

    with pytest.raises(MemoryError):
        decode_image(encoded(colourful()))
