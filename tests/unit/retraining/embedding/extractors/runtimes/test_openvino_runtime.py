from __future__ import annotations

import numpy as np
import pytest
from openvino.tools.ovc import telemetry_utils

from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.extractors.runtimes.openvino_runtime import OpenVinoRuntime
from include.retraining.embedding.extractors.runtimes.tensorflow_runtime import TensorFlowRuntime
from include.retraining.embedding.networks.network import build_network
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.storage.memory import InMemoryStore
from tests.extractors import small_network

TOLERANCE = 1e-4  # of a pooled activation; measured: 3e-5
COSINE_TOLERANCE = 1e-6  # measured: 3e-7


def pictures(n_images: int, size: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (n_images, size, size, 3)).astype(np.float32)
    waves = 127 + 127 * np.sin(np.indices((size, size)).sum(axis=0) / np.arange(1, n_images + 1)[:, None, None])
    return np.where(np.arange(n_images)[:, None, None, None] % 2, noise, waves[..., None]).astype(np.float32)


@pytest.mark.parametrize("weights", [{}, {"extractor": "mobilenet_v2", "weights": "none"}], ids=["lite0", "mobilenet"])
def test_openvino_gives_the_vectors_of_tensorflow(weights: dict[str, str]):
    config = EmbeddingConfig(image_size=64, **weights)
    network = build_network(InMemoryStore(), config, weights_of(config))
    batch = pictures(8, 64)

    expected = TensorFlowRuntime(network, batch_size=8, where="cpu")(batch).astype(np.float64)
    vectors = OpenVinoRuntime(network, batch_size=8, where="cpu")(batch).astype(np.float64)

    np.testing.assert_allclose(vectors, expected, atol=TOLERANCE, rtol=1e-5)
    lengths = np.linalg.norm(vectors, axis=1) * np.linalg.norm(expected, axis=1)
    assert (1 - (vectors * expected).sum(axis=1) / lengths).max() < COSINE_TOLERANCE


def test_a_vector_does_not_depend_on_its_neighbours_or_its_place():
    runtime = OpenVinoRuntime(small_network(), batch_size=4, where="cpu")
    batch = pictures(4, 32)
    alone = np.zeros_like(batch)
    alone[2] = batch[1]

    assert np.array_equal(runtime(batch)[1], runtime(alone)[2])


def test_vectors_stay_when_the_next_batch_is_computed():
    runtime = OpenVinoRuntime(small_network(), batch_size=4, where="cpu")

    vectors = runtime(pictures(4, 32))
    before = vectors.copy()
    runtime(np.zeros((4, 32, 32, 3), np.float32))

    assert np.array_equal(vectors, before)


def test_nobody_is_told_that_a_network_is_loaded(monkeypatch: pytest.MonkeyPatch):
    def tell(**_: object) -> None:
        raise AssertionError("OpenVINO's telemetry was started")

    monkeypatch.setattr(telemetry_utils, "init_telemetry_class", tell)

    OpenVinoRuntime(small_network(), batch_size=2, where="cpu")
