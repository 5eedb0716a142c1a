"""A network in OpenVINO, which on CPUs is about twice as fast as TensorFlow (docs/decisions/0014)."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import keras
import numpy as np
import openvino
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from include.retraining.embedding.extractors.runtimes.tensorflow_runtime import graph_of


class OpenVinoRuntime:
    """Runs a network in OpenVINO on the CPU, in float32 throughout, for batches of one size.

    Args:
        network: Of the TensorFlow backend, in float32.
        batch_size: Images in one call.
        where: Name of the processor, for people.
    """

    def __init__(self, network: keras.Model, *, batch_size: int, where: str) -> None:
        self.name = f"OpenVINO on {where}"
        self.batch_size = batch_size
        # On processors that have bfloat16, OpenVINO computes in it unless told otherwise. Threads that are pinned to
        # cores stand in each other's way as soon as two workers share a machine, and are no faster.
        settings = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False, "NUM_STREAMS": 1}
        self._network = openvino.Core().compile_model(_read(network, batch_size), "CPU", settings)
        self._of_thread = threading.local()  # a request serves one call at a time

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Returns the vectors of a batch."""
        if not hasattr(self._of_thread, "request"):
            self._of_thread.request = self._network.create_infer_request()
        vectors: np.ndarray = self._of_thread.request.infer([batch])[0]
        return vectors


def _read(network: keras.Model, batch_size: int) -> openvino.Model:
    """Returns a network as OpenVINO reads it from a frozen graph.

    Not by `openvino.convert_model`, which tells its maker of every call unless each machine opts out.
    """
    frozen = convert_variables_to_constants_v2(graph_of(network, batch_size).get_concrete_function())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "network.pb")
        path.write_bytes(frozen.graph.as_graph_def().SerializeToString())
        return openvino.Core().read_model(path)
