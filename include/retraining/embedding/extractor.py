"""The extractor: pixels of any size become one float32 vector an image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.efficientnet_lite import LAYERS, build_efficientnet_lite0
from include.retraining.errors import ConfigurationError

# Pixels that are resized in one call: bounds the memory for large photographs (12 bytes a pixel, as float32).
_RESIZED_PIXELS = 2**24


class Extractor:
    """A frozen network with its resizing, and the fast way to run many images through it.

    A vector depends on its image alone. The network always sees batches of one size, the last one filled up with
    black, since another size may take another kernel and change a last bit. On processors with oneDNN, where the same
    kernels serve all sizes from 2 up, neither does the batch size matter.

    Args:
        network: Maps float32 pixels in [0, 255], shape `(n, size, size, 3)`, to vectors `(n, dimensions)`.
        batch_size: Images in one call of the network; 1 counts as 2.

    Attributes:
        model: Maps pixels in [0, 255], uint8 or float, shape `(n, height, width, 3)`, to vectors `(n, dimensions)`. It
            holds only built-in layers, so that a model composed with it is saved and loaded like any other.
        dimensions: Length of a vector.
    """

    def __init__(self, network: keras.Model, *, batch_size: int) -> None:
        size = network.input_shape[1]
        resizing = keras.layers.Resizing(size, size, interpolation="bilinear", antialias=True, name="resizing")
        pixels = keras.Input((None, None, 3), dtype="float32", name="pixels")
        self.model = keras.Model(pixels, network(resizing(pixels)), name="extractor")
        self.model.trainable = False
        self.dimensions: int = network.output_shape[-1]
        self._size = size
        # A single image takes kernels of its own, with other last bits.
        self._batch_size = max(2, batch_size)
        # Without jit_compile: XLA is an order of magnitude slower on CPUs.
        self._resize = tf.function(
            lambda images: resizing(tf.cast(images, tf.float32)),
            input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8)],
        )
        self._network = tf.function(
            lambda images: network(images, training=False),
            input_signature=[tf.TensorSpec((self._batch_size, size, size, 3), tf.float32)],
        )

    def embed(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Returns the vectors of images.

        Args:
            images: uint8 RGB pixels, each of shape `(height, width, 3)`, in any mixture of sizes.

        Returns:
            float32 vectors in the order of the images, shape `(n_images, dimensions)`.

        Raises:
            ValueError: If an image is not as described.
        """
        for index, image in enumerate(images):
            if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
                raise ValueError(
                    f"Expected uint8 pixels of shape (height, width, 3); image {index} has {image.dtype} pixels of "
                    f"shape {image.shape}. decode_image returns them as expected."
                )
        vectors = np.empty((len(images), self.dimensions), np.float32)
        for start in range(0, len(images), self._batch_size):
            part = images[start : start + self._batch_size]
            vectors[start : start + len(part)] = self._network(self._batch_of(part)).numpy()[: len(part)]
        return vectors

    def _batch_of(self, images: Sequence[np.ndarray]) -> np.ndarray:
        batch = np.zeros((self._batch_size, self._size, self._size, 3), np.float32)
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, image in enumerate(images):
            by_shape[image.shape].append(index)
        for (height, width, _), indices in by_shape.items():
            step = max(1, _RESIZED_PIXELS // (height * width))
            for start in range(0, len(indices), step):
                chosen = indices[start : start + step]
                batch[chosen] = self._resize(np.stack([images[index] for index in chosen])).numpy()
        return batch


def build_extractor(config: EmbeddingConfig) -> Extractor:
    """Returns the extractor that a recipe asks for, with its ImageNet weights.

    Args:
        config: Its layers are average-pooled over height and width each, and concatenated in their order.

    Raises:
        ConfigurationError: If a layer is unknown or named twice, or the weights' package is not installed.
        ArtifactIntegrityError: If the weights are not the pinned ones.
    """
    _check_layers(config.layers)
    backbone = build_efficientnet_lite0(config.image_size)
    pooled = [
        keras.layers.GlobalAveragePooling2D(name=f"{name}_pool")(backbone.get_layer(name).output)
        for name in config.layers
    ]
    vector = keras.layers.Concatenate(name="vector")(pooled) if len(pooled) > 1 else pooled[0]
    return Extractor(keras.Model(backbone.input, vector, name=config.extractor), batch_size=config.batch_size)


def _check_layers(layers: Sequence[str]) -> None:
    unknown = [name for name in layers if name not in LAYERS]
    if unknown:
        raise ConfigurationError(
            "embedding.layers", f"there is no layer {', '.join(unknown)}", f"Name layers out of: {', '.join(LAYERS)}"
        )
    repeated = sorted({name for name in layers if layers.count(name) > 1})
    if repeated:
        raise ConfigurationError(
            "embedding.layers", f"{', '.join(repeated)} is named more than once", "Name every layer once"
        )
