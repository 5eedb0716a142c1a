"""A network that is small enough for tests, and runtimes that do to its vectors what a broken worker would."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np

from include.retraining.embedding.extractors.extractor import Extractor

DIMENSIONS = 5
SIZE = 32


def small_network(size: int = SIZE) -> keras.Model:
    """A network of one convolution, with the same weights each time."""
    pixels = keras.Input((size, size, 3), dtype="float32")
    convolution = keras.layers.Conv2D(DIMENSIONS, 3, strides=2, activation="relu", kernel_initializer="zeros")
    vectors = keras.layers.GlobalAveragePooling2D()(convolution(keras.layers.Rescaling(1 / 128, -127 / 128)(pixels)))
    kernel = np.random.default_rng(0).normal(size=(3, 3, 3, DIMENSIONS))
    convolution.set_weights([kernel, np.full(DIMENSIONS, 0.1)])
    return keras.Model(pixels, vectors)


class ChangedRuntime:
    """Runs a network by Keras, and changes its vectors."""

    def __init__(
        self, network: keras.Model, change: Callable[[np.ndarray], np.ndarray] = lambda it: it, *, batch_size: int = 4
    ) -> None:
        self.name = "a worker of a test"
        self.batch_size = batch_size
        self._network = network
        self._change = change

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        return self._change(np.array(self._network(batch, training=False)))


def small_extractor(change: Callable[[np.ndarray], np.ndarray] = lambda it: it, *, batch_size: int = 4) -> Extractor:
    """An extractor with the small network, whose vectors are changed on their way."""
    network = small_network()
    return Extractor(network, ChangedRuntime(network, change, batch_size=batch_size))
