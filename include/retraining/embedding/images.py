"""Accepted images, fetched, compared with what intake saw, and decoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.pictures import decode_image
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import get_many
from include.retraining.storage.publishing import sha256


def read_images(store: ObjectStore, keys: Sequence[str], digests: Sequence[str]) -> Iterator[np.ndarray]:
    """Yields the pixels of images in the order asked for, each `(height, width, 3)`, uint8.

    Args:
        store: Where from.
        keys: Object keys.
        digests: The sha256 that each object had when it was accepted.

    Raises:
        ArtifactIntegrityError: If an object is missing or changed since.
    """
    for key, expected, body in zip(keys, digests, get_many(store, keys), strict=True):
        got = "no object" if body is None else f"sha256 {sha256(body)}"
        if body is None or got != f"sha256 {expected}":
            raise ArtifactIntegrityError(uri_of(store, key), f"sha256 {expected}, as when it was accepted", got)
        yield decode_image(body)
