"""Which runtime a recipe gets on this worker."""

from __future__ import annotations

import logging
from collections.abc import Callable

import keras

from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.extractors.devices import Device
from include.retraining.embedding.extractors.runtimes.runtime import Runtime

logger = logging.getLogger(__name__)


def start_runtime(
    reference: keras.Model, config: EmbeddingConfig, device: Device, *, build: Callable[[], keras.Model]
) -> Runtime:
    """Returns what runs a network on this worker.

    A worker with an accelerator uses it, whatever `runtime` says; OpenVINO computes in float32, whatever `precision`
    says.

    Args:
        reference: The network in float32, on the CPU; it is run itself where that is what is wanted.
        config: `runtime`, `precision` and `batch_size`; 1 counts as 2, since a single image takes kernels of its own,
            with other last bits.
        device: Of this worker.
        build: Builds the network in the recipe's precision, on the device of Keras's choice.
    """
    batch_size = max(2, config.batch_size)
    if _has_openvino(config, device):
        from include.retraining.embedding.extractors.runtimes.openvino_runtime import OpenVinoRuntime  # loads OpenVINO

        return OpenVinoRuntime(reference, batch_size=batch_size, where=str(device))
    if config.precision == "mixed" and device.kind == "cpu":
        logger.warning("embedding.precision=mixed is slower than float32 on a worker without an accelerator")
    is_reference = config.precision == "float32" and device.kind == "cpu"
    network = reference if is_reference else build()
    if keras.backend.backend() == "tensorflow":
        from include.retraining.embedding.extractors.runtimes.tensorflow_runtime import (
            TensorFlowRuntime,  # loads TensorFlow
        )

        return TensorFlowRuntime(network, batch_size=batch_size, where=str(device))
    from include.retraining.embedding.extractors.runtimes.keras_runtime import KerasRuntime

    return KerasRuntime(network, batch_size=batch_size, where=str(device))


def _has_openvino(config: EmbeddingConfig, device: Device) -> bool:
    if config.runtime != "openvino":
        return False
    if device.kind != "cpu" or keras.backend.backend() != "tensorflow":
        logger.info(
            "embedding.runtime=openvino is for CPUs and Keras's TensorFlow backend; device=%s backend=%s",
            device,
            keras.backend.backend(),
        )
        return False
    if config.precision == "mixed":
        logger.info("embedding.runtime=openvino computes in float32, which embedding.precision=mixed allows")
    return True
