"""The train images as fine-tuning reads them, epoch after epoch: resized once and kept in memory where they fit."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence

import numpy as np

from include.retraining.artifacts import ImageRef
from include.retraining.dataset.images import locality_order
from include.retraining.embedding.extraction.feeding import feed
from include.retraining.embedding.extractors.resizing import Resizer, resizing_layer
from include.retraining.storage.base import ObjectStore

logger = logging.getLogger(__name__)

MOST_BYTES = 2 * 2**30
"""Resized images that are kept in memory. Where there are more, every epoch reads, decodes and resizes them anew."""


class _Resizing:
    """Resizes as the extractor does, without its network."""

    def __init__(self, batch_size: int, image_size: int) -> None:
        self.batch_size, self.image_size = batch_size, image_size
        self._resizer = Resizer(resizing_layer(image_size))

    def resize(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Returns uint8 images as float32 of one size, shape `(n, image_size, image_size, 3)`."""
        return self._resizer(images)


class TrainImages:
    """The images of the train split, at the size of the network's input.

    Pixels are rounded to whole numbers once they are resized: a quarter of the bytes, and at most half a grey level
    away from what the extractor is shown.

    Args:
        store: Where from.
        refs: The images, in the order of their positions.
        image_size: Side in pixels to resize to.
        batch_size: Images in a batch.
        most_bytes: Of resized images that are kept in memory.
    """

    def __init__(
        self,
        store: ObjectStore,
        refs: Sequence[ImageRef],
        *,
        image_size: int,
        batch_size: int,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._store, self._refs = store, list(refs)
        self._resizing = _Resizing(min(batch_size, len(self._refs)), image_size)
        n_bytes = len(self._refs) * image_size * image_size * 3
        self._kept = self._read_all() if n_bytes <= most_bytes else None
        logger.info("train images=%d bytes=%d kept_in_memory=%s", len(self._refs), n_bytes, self._kept is not None)

    @property
    def batches_per_epoch(self) -> int:
        """Whole batches of an epoch; what is left of its order is left out, other images in every epoch."""
        return len(self._refs) // self._resizing.batch_size

    @property
    def images_per_epoch(self) -> int:
        """Images in the whole batches of an epoch."""
        return self.batches_per_epoch * self._resizing.batch_size

    def batches(self, order: np.ndarray) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
        """Yields positions, shape `(batch_size,)`, and their images, uint8, shape `(batch_size, size, size, 3)`.

        Raises:
            ArtifactIntegrityError: If an image is not the one that intake accepted.
        """
        size = self._resizing.batch_size
        positions = [order[start : start + size] for start in range(0, self.batches_per_epoch * size, size)]
        if self._kept is not None:
            yield from ((chosen, self._kept[chosen]) for chosen in positions)
            return
        wanted = [self._refs[position] for chosen in positions for position in chosen]
        for chosen, batch in zip(positions, feed(self._store, wanted, self._resizing), strict=True):
            yield chosen, _rounded(batch.pixels)

    def _read_all(self) -> np.ndarray:
        side = self._resizing.image_size
        kept = np.empty((len(self._refs), side, side, 3), np.uint8)
        position_of = {ref.image_id: position for position, ref in enumerate(self._refs)}
        ordered = locality_order(self._refs)
        start = 0
        for batch in feed(self._store, ordered, self._resizing):
            read = ordered[start : start + batch.n_images]
            kept[[position_of[ref.image_id] for ref in read]] = _rounded(batch.pixels[: batch.n_images])
            start += batch.n_images
        return kept


def _rounded(pixels: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.rint(np.clip(pixels, 0, 255)).astype(np.uint8)
    return rounded
