from __future__ import annotations

import logging

import keras
import numpy as np
import pytest

from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.extractors.devices import Device
from include.retraining.embedding.extractors.runtimes.openvino_runtime import OpenVinoRuntime
from include.retraining.embedding.extractors.runtimes.starting import start_runtime
from include.retraining.embedding.extractors.runtimes.tensorflow_runtime import TensorFlowRuntime
from tests.extractors import DIMENSIONS, SIZE, small_network

CPU = Device("cpu", "x86_64", 1)
GPU = Device("gpu", "NVIDIA H100", 1)


def never() -> keras.Model:
    raise AssertionError("the reference could have been run")


def batch(n_images: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n_images, SIZE, SIZE, 3)).astype(np.float32)


def test_a_cpu_runs_the_reference_itself():
    network = small_network()

    runtime = start_runtime(network, EmbeddingConfig(batch_size=4), CPU, build=never)

    assert isinstance(runtime, TensorFlowRuntime)
    assert (runtime.name, runtime.batch_size) == ("TensorFlow on cpu x86_64", 4)
    vectors = runtime(batch(4))
    assert (vectors.shape, vectors.dtype) == ((4, DIMENSIONS), np.float32)
    np.testing.assert_allclose(vectors, np.asarray(network(batch(4))), rtol=1e-5)


def test_a_batch_of_one_counts_as_two():
    assert start_runtime(small_network(), EmbeddingConfig(batch_size=1), CPU, build=never).batch_size == 2


def test_openvino_runs_the_reference_on_a_cpu():
    network = small_network()

    runtime = start_runtime(network, EmbeddingConfig(batch_size=4, runtime="openvino"), CPU, build=never)

    assert isinstance(runtime, OpenVinoRuntime)
    assert (runtime.name, runtime.batch_size) == ("OpenVINO on cpu x86_64", 4)
    vectors = runtime(batch(4))
    assert (vectors.shape, vectors.dtype) == ((4, DIMENSIONS), np.float32)
    np.testing.assert_allclose(vectors, np.asarray(network(batch(4))), rtol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_an_accelerator_is_used_whatever_the_recipe_says_of_cpus(precision: str, caplog: pytest.LogCaptureFixture):
    config = EmbeddingConfig(batch_size=4, runtime="openvino", precision=precision)
    built = []

    with caplog.at_level(logging.INFO):
        runtime = start_runtime(small_network(), config, GPU, build=lambda: built.append(1) or small_network())

    assert isinstance(runtime, TensorFlowRuntime)
    assert runtime.name == "TensorFlow on gpu NVIDIA H100"
    assert built == [1]  # the reference stays on the CPU
    assert "embedding.runtime=openvino is for CPUs" in caplog.text


def test_mixed_precision_on_a_cpu_is_done_and_warned_of(caplog: pytest.LogCaptureFixture):
    built = []
    config = EmbeddingConfig(batch_size=4, precision="mixed")

    start_runtime(small_network(), config, CPU, build=lambda: built.append(1) or small_network())

    assert built == [1]
    assert [it.levelname for it in caplog.records if "slower than float32" in it.message] == ["WARNING"]


def test_openvino_computes_mixed_precision_in_float32():
    config = EmbeddingConfig(batch_size=4, precision="mixed", runtime="openvino")

    assert isinstance(start_runtime(small_network(), config, CPU, build=never), OpenVinoRuntime)
