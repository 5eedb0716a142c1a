"""Small pictures of stored images, as `data:` URIs, so that a page can carry them."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence

from PIL import Image

from include.retraining.pictures import decode_picture
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.parallel import get_many
from include.retraining.storage.publishing import sha256

MOST_PIXELS = 96
TINY_PIXELS = 48  # smaller pictures are enlarged by a whole number
NO_PICTURE = ""

_FETCHED_AT_ONCE = 8  # bounds the memory: an image may have as many bytes as intake lets in
_JPEG_QUALITY = 80


def thumbnails(store: ObjectStore, keys: Sequence[str], digests: Sequence[str]) -> Iterator[str]:
    """Yields a picture of at most 96 × 96 pixels for each image, in the order asked for.

    Args:
        store: Where from.
        keys: Object keys.
        digests: The sha256 that each object had when it was accepted.

    Yields:
        A `data:` URI; `NO_PICTURE` where the object is gone, is another one now, or cannot be decoded. A page that
        lists images is of use without one of its pictures.
    """
    for start in range(0, len(keys), _FETCHED_AT_ONCE):
        bodies = get_many(store, keys[start : start + _FETCHED_AT_ONCE])
        for body, digest in zip(bodies, digests[start : start + _FETCHED_AT_ONCE], strict=True):
            yield NO_PICTURE if body is None or sha256(body) != digest else _thumbnail(body)


def _thumbnail(body: bytes) -> str:
    try:
        image = decode_picture(body).image
    except ValueError:
        return NO_PICTURE
    sink = io.BytesIO()
    if max(image.size) <= TINY_PIXELS:
        factor = MOST_PIXELS // max(image.size)
        enlarged = image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
        enlarged.save(sink, "PNG", optimize=True)
        kind = "png"
    else:
        image.thumbnail((MOST_PIXELS, MOST_PIXELS))
        image.save(sink, "JPEG", quality=_JPEG_QUALITY)
        kind = "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(sink.getvalue()).decode()}"
