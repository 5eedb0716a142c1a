"""A network as one TensorFlow graph, on the accelerator where TensorFlow sees one, else on the CPU."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf


class TensorFlowRuntime:
    """Runs a network in TensorFlow, traced once, for batches of one size.

    Side effects:
        Turns TensorFloat-32 off for the process: NVIDIA GPUs would otherwise round the factors of every float32
        product to 10 bits, and vectors from GPUs and CPUs would differ a thousandfold more. Whoever wants the speed of
        16 bits asks for `precision: mixed`.

    Args:
        network: On the device that is to run it.
        batch_size: Images in one call.
        where: Name of the device, for people.
    """

    def __init__(self, network: keras.Model, *, batch_size: int, where: str) -> None:
        self.name = f"TensorFlow on {where}"
        self.batch_size = batch_size
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self._graph = graph_of(network, batch_size)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Returns the vectors of a batch."""
        vectors: np.ndarray = self._graph(tf.constant(batch)).numpy()
        return vectors


def graph_of(network: keras.Model, batch_size: int) -> tf.types.experimental.PolymorphicFunction:
    """Returns a network as a graph that takes float32 batches of one size."""
    # Without XLA, which is an order of magnitude slower on CPUs.
    return tf.function(
        lambda pixels: network(pixels, training=False),
        input_signature=[tf.TensorSpec((batch_size, *network.input_shape[1:]), tf.float32)],
        jit_compile=False,
    )
