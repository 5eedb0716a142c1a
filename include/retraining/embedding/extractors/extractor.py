"""The extractor: pixels of any size become one float32 vector an image."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np

from include.retraining.artifacts import Weights
from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.extractors.devices import prepare_devices
from include.retraining.embedding.extractors.resizing import Resizer, check_images, resizing_layer
from include.retraining.embedding.extractors.runtimes.runtime import Runtime
from include.retraining.embedding.extractors.runtimes.starting import start_runtime
from include.retraining.embedding.networks.network import build_network
from include.retraining.storage.base import ObjectStore


class Extractor:
    """A frozen network with its resizing, and the fast way to run many images through it.

    A vector depends on its image alone. The network always sees batches of one size, the last one filled up with
    black, since another size may take another kernel and change a last bit. On processors with oneDNN, where the same
    kernels serve all sizes from 2 up, neither does the batch size matter.

    Args:
        network: Maps float32 pixels in [0, 255], shape `(n, size, size, 3)`, to vectors `(n, dimensions)`; in float32,
            on the CPU.
        runtime: What runs it here. Its numbers may differ from the network's in their last bits.

    Attributes:
        model: Maps pixels in [0, 255], uint8 or float, shape `(n, height, width, 3)`, to vectors `(n, dimensions)`, in
            float32 whatever runs here. It holds only built-in layers, so that a model composed with it is saved and
            loaded like any other.
        dimensions: Length of a vector.
        image_size: Side of the network's input in pixels.
        batch_size: Images in one call of the network.
        runs_on: What runs the network and where, for people.
    """

    def __init__(self, network: keras.Model, runtime: Runtime) -> None:
        self.image_size: int = network.input_shape[1]
        self.dimensions: int = network.output_shape[-1]
        self.batch_size = runtime.batch_size
        self.runs_on = runtime.name
        resizing = resizing_layer(self.image_size)
        pixels = keras.Input((None, None, 3), dtype="float32", name="pixels")
        # Said for good: Keras's Resizing says training=True to whatever comes after it in a call that leaves it open.
        self.model = keras.Model(pixels, network(resizing(pixels), training=False), name="extractor")
        self.model.trainable = False
        self._resizer = Resizer(resizing)
        self._runtime = runtime

    def resize(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Returns images in the size of the network's input; runs on the CPU, and several threads may call it.

        Args:
            images: uint8 RGB pixels, each of shape `(height, width, 3)`, in any mixture of sizes.

        Returns:
            float32 in [0, 255], shape `(n_images, image_size, image_size, 3)`. It may be read-only.

        Raises:
            ValueError: If an image is not as described.
        """
        return self._resizer(images)

    def vectors_of(self, batch: np.ndarray) -> np.ndarray:
        """Returns the vectors of one whole batch; several threads may call it.

        Args:
            batch: What `resize` returned, float32, shape `(batch_size, image_size, image_size, 3)`.

        Returns:
            Shape `(batch_size, dimensions)`, float32.

        Raises:
            ValueError: If the batch has another shape or type.
        """
        expected = (self.batch_size, self.image_size, self.image_size, 3)
        if batch.shape != expected or batch.dtype != np.float32:
            raise ValueError(
                f"Expected a float32 batch of shape {expected}; got {batch.dtype} of shape {batch.shape}. "
                "Fill a batch up with zeros, or call embed."
            )
        return self._runtime(batch)

    def embed(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the vectors of images.

        Args:
            images: uint8 RGB pixels, each of shape `(height, width, 3)`, in any mixture of sizes.

        Returns:
            float32 vectors in the order of the images, shape `(n_images, dimensions)`.

        Raises:
            ValueError: If an image is not as described.
        """
        check_images(images)
        vectors = np.empty((len(images), self.dimensions), np.float32)
        for start in range(0, len(images), self.batch_size):
            part = images[start : start + self.batch_size]
            batch = np.zeros((self.batch_size, self.image_size, self.image_size, 3), np.float32)
            batch[: len(part)] = self.resize(part)
            vectors[start : start + len(part)] = self.vectors_of(batch)[: len(part)]
        return vectors


def build_extractor(store: ObjectStore, config: EmbeddingConfig, weights: Weights) -> Extractor:
    """Returns the extractor that a recipe asks for, ready to run on this worker.

    Args:
        store: Where a file of weights may lie.
        config: Which network, and how it runs.
        weights: Of the network.

    Raises:
        ConfigurationError: If there is no such layer, or the weights do not fit or are not to be had.
        ArtifactIntegrityError: If the weights are not the ones that were named.
    """
    device = prepare_devices()
    # What is exported, and what the golden check trusts, never saw an accelerator.
    reference = build_network(store, config.model_copy(update={"precision": "float32"}), weights, device="cpu:0")
    runtime = start_runtime(reference, config, device, build=lambda: build_network(store, config, weights))
    return Extractor(reference, runtime)
