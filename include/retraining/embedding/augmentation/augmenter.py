"""Which engine makes the views that a recipe asks for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from include.retraining.config.embedding import Augmentation, KerasAugmentation
from include.retraining.embedding.augmentation.image_data_generator_engine import build_image_data_generator_augmenter
from include.retraining.embedding.augmentation.keras_engine import build_keras_augmenter

Augmenter = Callable[[np.ndarray, str, int], np.ndarray]
"""From an image, uint8 of shape `(height, width, 3)`, its id and the view's number from 1 to a view of that shape."""


def build_augmenter(augmentation: Augmentation) -> Augmenter:
    """Returns what makes views of images; it may be called from several threads.

    A view depends on the recipe's `augmentation`, the image, its id and the view's number alone: not on the batch, the
    shard, the process or the order.

    Side effects:
        Logs a warning where the engine is the deprecated one.
    """
    if isinstance(augmentation, KerasAugmentation):
        return build_keras_augmenter(augmentation)
    return build_image_data_generator_augmenter(augmentation)
