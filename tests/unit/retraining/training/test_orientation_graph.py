from __future__ import annotations

import io
import struct
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from include.retraining.pictures import decode_image
from include.retraining.training.decoding_graph import decode

ORIENTATION, MAKE = 0x0112, 0x010F
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 16, 3), dtype=np.uint8))


def encoded(format: str, exif: bytes, **options: object) -> bytes:
    sink = io.BytesIO()
    PICTURE.save(sink, format, exif=exif, **options)
    return sink.getvalue()


def exif_of(orientation: int, order: str = "<", *, kind: int = 3, number: int = ORIENTATION) -> bytes:
    """EXIF of two entries, in little (`<`) or big (`>`) byte order."""
    start = b"II*\0" if order == "<" else b"MM\0*"
    make = struct.pack(f"{order}HHI", MAKE, 2, 4) + b"abc\0"
    entry = struct.pack(f"{order}HHIHH", number, kind, 1, orientation, 0)
    directory = struct.pack(f"{order}H", 2) + make + entry + struct.pack(f"{order}I", 0)
    return b"Exif\0\0" + start + struct.pack(f"{order}I", 8) + directory


@cache
def graph() -> tf.types.experimental.GenericFunction:
    return tf.function(decode, input_signature=[tf.TensorSpec((), tf.string)], autograph=False)


def decoded(body: bytes) -> np.ndarray:
    return graph()(tf.constant(body)).numpy()


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_a_picture_is_turned_for_each_orientation_as_in_training(format: str, order: str):
    stored = decoded(encoded(format, b""))
    pictures = []
    for orientation in range(10):
        body = encoded(format, exif_of(orientation, order))

        turned = decoded(body)

        assert np.array_equal(turned, decode_image(body))
        pictures.append((turned.shape, turned.tobytes()))
    assert len(set(pictures)) == 8  # 0 and 9 are none, 1 is upright: all three as stored
    assert pictures[0] == pictures[1] == pictures[9] == (stored.shape, stored.tobytes())


@pytest.mark.parametrize("format", ["PNG", "JPEG"])
@pytest.mark.parametrize(
    "exif",
    [
        pytest.param(b"Exif\0\0not a tiff header at all", id="no_header"),
        pytest.param(b"Exif\0\0II*\0\xff\xff\xff\xff", id="directory_beyond_the_end"),
        pytest.param(b"Exif\0\0MM\0*\0\0\0\x08\xff\xff", id="entries_beyond_the_end"),
        pytest.param(exif_of(6)[:30], id="cut"),
        pytest.param(exif_of(6, number=0x0113), id="another_tag"),
    ],
)
def test_exif_without_an_orientation_that_can_be_read_leaves_the_picture_as_stored(format: str, exif: bytes):
    body = encoded(format, exif)

    assert np.array_equal(decoded(body), decoded(encoded(format, b"")))


def test_exif_is_found_behind_a_large_segment_before_it():
    body = encoded("JPEG", exif_of(6))
    segment = b"\xff\xe2" + struct.pack(">H", 60_002) + bytes(60_000)
    body = body[:2] + segment + body[2:]

    assert np.array_equal(decoded(body), decode_image(body))
    assert decoded(body).shape == (16, 8, 3)
