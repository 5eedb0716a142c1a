"""Rows to train on as pictures, flowed through Keras's deprecated `ImageDataGenerator`, the same way for a seed."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

RESCALE = 1 / 255

# `flow` seeds NumPy's global state and draws from it; all threads share it.
_GLOBAL_STATE = threading.Lock()


@dataclass(frozen=True, eq=False)
class PictureRows:
    """Rows and the pictures that they show; a picture that several rows show is kept once.

    Attributes:
        pictures: Shape `(n_pictures, side, side, 3)`, uint8.
        shown: Position of each row's picture, shape `(n_rows,)`, int32.
        class_ids: Shape `(n_rows,)`, int64.
    """

    pictures: np.ndarray
    shown: np.ndarray
    class_ids: np.ndarray

    def __len__(self) -> int:
        """Returns how many rows there are."""
        return len(self.shown)

    @property
    def side(self) -> int:
        """Of every picture, in pixels."""
        return int(self.pictures.shape[1])


class PictureFlow:
    """Batches of changed pictures, in [0, 1].

    What a batch holds follows from seed, epoch and its number alone, whatever was drawn before it. Nothing is split
    here: all rows are trained on.

    Args:
        rows: What to flow.
        augmentation: Arguments of `ImageDataGenerator`, as `config/image_data_generator.py` accepts them.
        batch_size: Rows in a batch; the last one of an epoch may have fewer.
        seed: Of order and changes.
    """

    def __init__(self, rows: PictureRows, augmentation: Mapping[str, Any], *, batch_size: int, seed: int) -> None:
        self.rows = rows
        self._batch_size, self._seed = batch_size, seed
        self._generator = tf.keras.preprocessing.image.ImageDataGenerator(
            **augmentation, rescale=RESCALE, data_format="channels_last", dtype="float32"
        )

    @property
    def batches_per_epoch(self) -> int:
        """Batches of an epoch, the last one included."""
        return -(-len(self.rows) // self._batch_size)

    def batches(self, epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields an epoch's pictures, float32 of shape `(n, side, side, 3)`, and their class ids; every row once."""
        order = np.random.default_rng([self._seed, epoch]).permutation(len(self.rows))
        for number in range(self.batches_per_epoch):
            chosen = order[number * self._batch_size : (number + 1) * self._batch_size]
            seed = int(np.random.default_rng([self._seed, epoch, number]).integers(2**32))
            pictures = self.rows.pictures[self.rows.shown[chosen]]
            yield self._changed(pictures, self.rows.class_ids[chosen], seed)

    def _changed(self, pictures: np.ndarray, class_ids: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Returns a batch as the generator changes it, and leaves NumPy's global state as it was."""
        # A flow over all rows would hold them as float32: four times the memory.
        flow = self._generator.flow(pictures, class_ids, batch_size=len(class_ids), shuffle=False, seed=seed)
        with _GLOBAL_STATE:
            before = np.random.get_state()  # noqa: NPY002
            try:
                changed, labels = flow[0]
            finally:
                np.random.set_state(before)  # noqa: NPY002
        return changed, labels
