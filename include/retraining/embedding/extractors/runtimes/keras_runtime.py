"""A network as Keras runs it on a backend other than TensorFlow."""

from __future__ import annotations

import threading

import keras
import numpy as np


class KerasRuntime:
    """Runs a network by Keras, compiled where the backend compiles, for batches of one size.

    Args:
        network: On the device that is to run it.
        batch_size: Images in one call.
        where: Name of the device, for people.
    """

    def __init__(self, network: keras.Model, *, batch_size: int, where: str) -> None:
        self.name = f"Keras with {keras.backend.backend()} on {where}"
        self.batch_size = batch_size
        self._network = network
        self._calling = threading.Lock()  # Keras compiles at the first call, and says nothing of threads

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Returns the vectors of a batch."""
        with self._calling:
            return np.asarray(self._network.predict_on_batch(batch), np.float32)
