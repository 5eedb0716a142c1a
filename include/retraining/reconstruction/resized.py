"""Images of one small side, all in memory: what a decoder is trained on and what pictures show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from include.retraining.artifacts import ImageRef
from include.retraining.dataset.images import locality_order, read_images
from include.retraining.embedding.extraction.feeding import feed
from include.retraining.embedding.extractors.resizing import Resizer, resizing_layer
from include.retraining.storage.base import ObjectStore

SIDES = (32, 64)
MEASURED = 64  # images whose size is asked

_BATCH = 256


class _Resizing:
    """Resizes to one side, as extractors do: bilinear, antialiased, without cropping."""

    batch_size = _BATCH

    def __init__(self, side: int) -> None:
        self.image_size = side
        self._resizer = Resizer(resizing_layer(side))

    def resize(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Returns uint8 images as float32, shape `(n, side, side, 3)`."""
        return self._resizer(images)


def fitting_side(store: ObjectStore, refs: Sequence[ImageRef]) -> int:
    """Returns the smallest of 32 and 64 that is not below the median of the images' longer sides; at most 64.

    Args:
        store: Where from.
        refs: At least one image; 64 of them, evenly spaced, are looked at.

    Raises:
        ArtifactIntegrityError: If an image is not the one that intake accepted.
    """
    chosen = [refs[position] for position in np.linspace(0, len(refs) - 1, min(MEASURED, len(refs))).astype(int)]
    median = float(np.median([max(image.shape[:2]) for image in read_images(store, chosen)]))
    return next((side for side in SIDES if side >= median), SIDES[-1])


def read_resized(store: ObjectStore, refs: Sequence[ImageRef], side: int) -> np.ndarray:
    """Returns images as squares, in the order asked for.

    Memory: 3 KiB an image at a side of 32, 12 KiB at 64.

    Returns:
        uint8, shape `(n_images, side, side, 3)`.

    Raises:
        ArtifactIntegrityError: If an image is not the one that intake accepted.
    """
    images = np.empty((len(refs), side, side, 3), np.uint8)
    places: dict[str, list[int]] = {}
    for position, ref in enumerate(refs):
        places.setdefault(ref.image_id, []).append(position)
    ordered = locality_order(list({ref.image_id: ref for ref in refs}.values()))
    start = 0
    for batch in feed(store, ordered, _Resizing(side)):
        pixels = np.rint(np.clip(batch.pixels[: batch.n_images], 0, 255)).astype(np.uint8)
        for ref, image in zip(ordered[start : start + batch.n_images], pixels, strict=True):
            images[places[ref.image_id]] = image
        start += batch.n_images
    return images
