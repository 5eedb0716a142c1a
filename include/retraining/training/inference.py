"""Applies an exported model to images of any size."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

BATCH = 64


def predict_proba(model: keras.Model, images: Sequence[np.ndarray]) -> np.ndarray:
    """Returns a model's probabilities for images.

    Images of one size go through the model together, in batches.

    Args:
        model: From pixels `(n_images, height, width, 3)` to probabilities.
        images: Each `(height, width, 3)`, uint8; at least one.

    Returns:
        Shape `(n_images, n_classes)`, float32.
    """
    # One graph for all sizes. Not by XLA, which on a CPU is many times slower.
    any_size = tf.TensorSpec((None, None, None, 3), tf.uint8)
    graph = tf.function(lambda pixels: model(pixels, training=False), input_signature=[any_size], jit_compile=False)
    by_size: dict[tuple[int, ...], list[int]] = {}
    for index, image in enumerate(images):
        by_size.setdefault(image.shape, []).append(index)
    probabilities = np.empty((len(images), model.output_shape[-1]), dtype=np.float32)
    for members in by_size.values():
        for start in range(0, len(members), BATCH):
            batch = members[start : start + BATCH]
            probabilities[batch] = np.asarray(graph(tf.constant(np.stack([images[index] for index in batch]))))
    return probabilities
