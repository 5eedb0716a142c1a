"""Views by Keras's deprecated `ImageDataGenerator`, for recipes that come from it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from include.retraining.config.embedding import ImageDataGeneratorAugmentation
from include.retraining.embedding.augmentation.draws import draw_bits

logger = logging.getLogger(__name__)

# The generator draws from NumPy's global state, which all threads share.
_GLOBAL_STATE = threading.Lock()


def build_image_data_generator_augmenter(
    augmentation: ImageDataGeneratorAugmentation,
) -> Callable[[np.ndarray, str, int], np.ndarray]:
    """Returns an augmenter; see `build_augmenter`.

    The generator changes images only: it neither rescales nor splits (see `config/image_data_generator.py`).
    """
    logger.warning(
        "ImageDataGenerator is deprecated by Keras and will go with it; in embedding.augmentation, `engine: keras` "
        "replaces it: rotation_degrees, shift, zoom, brightness, contrast, horizontal_flip, vertical_flip."
    )
    generator = tf.keras.preprocessing.image.ImageDataGenerator(
        **augmentation.arguments, data_format="channels_last", dtype="float32"
    )

    def augment(image: np.ndarray, image_id: str, view: int) -> np.ndarray:
        seed = int.from_bytes(draw_bits(augmentation.seed, image_id, view)[:4], "big")
        change = _draw_change(generator, image.shape, seed)
        changed = generator.apply_transform(image.astype(np.float32), change)
        view_pixels: np.ndarray = np.rint(np.clip(changed, 0, 255)).astype(np.uint8)
        return view_pixels

    return augment


def _draw_change(generator: Any, shape: tuple[int, ...], seed: int) -> dict[str, Any]:
    """Returns the parameters that the generator draws for a seed, and leaves NumPy's global state as it was."""
    with _GLOBAL_STATE:
        before = np.random.get_state()  # noqa: NPY002
        try:
            change: dict[str, Any] = generator.get_random_transform(shape, seed)
        finally:
            np.random.set_state(before)  # noqa: NPY002
    return change
