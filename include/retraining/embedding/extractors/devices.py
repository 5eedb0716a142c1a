"""What a worker computes on, made ready before the first network is built."""

from __future__ import annotations

import logging
import os
import platform
from dataclasses import dataclass

import keras

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Device:
    """What runs networks on this worker.

    Attributes:
        kind: `cpu`, `gpu`, or what else the backend calls it.
        name: As its maker calls it, or the processor's architecture.
        n: How many there are; only the first runs extractors.
    """

    kind: str
    name: str
    n: int

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def prepare_devices() -> Device:
    """Returns what this worker computes on, and lets it share its GPUs.

    Side effects:
        TensorFlow takes memory on each visible GPU as it needs it, not all of it at once. Once TensorFlow uses a GPU
        this cannot change any more; it stays as it is then, and the log says so. Other backends of Keras read their
        own environment variables.
    """
    return _prepare_tensorflow() if keras.backend.backend() == "tensorflow" else _find_others()


def share_cores(calls: int) -> None:
    """Gives each of several calls of a network its share of the cores, where there is no accelerator.

    Calls on a few threads each, side by side, do more than one after the other on all of them: no thread waits for the
    others at the end of each layer. Vectors keep their bits.

    Side effects:
        TensorFlow runs each operation of this process on so few threads, for good. It is for a process that does
        nothing but embed; once TensorFlow has started, nothing changes, and the log says so.
    """
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf  # other backends of Keras do without

    threads = max(1, (os.cpu_count() or 1) // calls)
    is_set = tf.config.threading.get_intra_op_parallelism_threads() == threads
    if is_set or tf.config.list_physical_devices("GPU"):
        return
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError as error:
        logger.info("calls of the network share all threads: %s", error)


def _prepare_tensorflow() -> Device:
    import tensorflow as tf  # other backends of Keras do without

    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except (RuntimeError, ValueError) as error:  # in use already, or divided into virtual devices
            logger.warning("memory growth stays as it is on %s: %s", gpu.name, error)
    if not gpus:
        return _cpu()
    details = tf.config.experimental.get_device_details(gpus[0])
    return Device("gpu", details.get("device_name", gpus[0].name), len(gpus))


def _find_others() -> Device:
    if keras.backend.backend() != "jax":  # of the rest Keras does not tell which devices there are
        return _cpu()
    found = keras.distribution.list_devices()  # such as gpu:0; CPUs only where there is nothing else
    kind = found[0].partition(":")[0]
    return _cpu() if kind == "cpu" else Device(kind, found[0], len(found))


def _cpu() -> Device:
    return Device("cpu", platform.machine(), 1)
