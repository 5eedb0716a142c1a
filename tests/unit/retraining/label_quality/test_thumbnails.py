from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from include.retraining.label_quality.thumbnails import NO_PICTURE, thumbnails
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256


def png(width: int, height: int) -> bytes:
    sink = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def thumbnail_of(body: bytes) -> str:
    store = InMemoryStore()
    store.put("image", body)
    return next(thumbnails(store, ["image"], [sha256(body)]))


def decoded(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(";base64,")[2])))


@pytest.mark.parametrize(
    ("size", "shown", "kind"),
    [
        pytest.param((28, 28), (84, 84), "png", id="tiny pictures are enlarged"),
        pytest.param((3, 40), (6, 80), "png", id="and keep their shape"),
        pytest.param((60, 50), (60, 50), "jpeg", id="small ones stay"),
        pytest.param((800, 400), (96, 48), "jpeg", id="large ones shrink"),
        pytest.param((2, 5000), (1, 96), "jpeg", id="thin ones are not lost"),
    ],
)
def test_a_picture_is_at_most_96_pixels_wide_and_high(size: tuple[int, int], shown: tuple[int, int], kind: str):
    uri = thumbnail_of(png(*size))

    assert uri.startswith(f"data:image/{kind};base64,")
    assert decoded(uri).size == shown
    assert len(uri) < 16_000


def test_pictures_come_in_the_order_asked_for_and_are_missing_where_there_is_none():
    store = InMemoryStore()
    bodies = {f"{number}.png": png(10 + number, 10) for number in range(20)}
    for key, body in bodies.items():
        store.put(key, body)
    store.put("text.png", b"no image")
    digests = {key: sha256(body) for key, body in bodies.items()} | {"text.png": sha256(b"no image"), "gone.png": "0"}
    digests["3.png"] = sha256(b"what was accepted")
    keys = ["gone.png", *bodies, "text.png"]

    found = list(thumbnails(store, keys, [digests[key] for key in keys]))

    assert [key for key, uri in zip(keys, found, strict=True) if uri == NO_PICTURE] == ["gone.png", "3.png", "text.png"]
    widths = [decoded(uri).width // (96 // max(10 + n, 10)) for n, uri in enumerate(found[1:-1]) if uri]
    assert widths == [10 + n for n in range(20) if n != 3]
