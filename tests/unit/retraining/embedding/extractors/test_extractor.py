from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest

from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.extractors.extractor import Extractor, build_extractor
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.storage.memory import InMemoryStore
from tests.extractors import ChangedRuntime, small_extractor, small_network

REPOSITORY = Path(__file__).parents[5]
MIXED_TOLERANCE = 3e-2  # of a vector's length; measured: 1.2e-2 (2.9e-2 with Lite2)
MIXED_COSINE_TOLERANCE = 1e-3  # measured: 7e-5 (4e-4 with Lite2)
SIZES = ((28, 28), (40, 30), (28, 28), (200, 120), (96, 96), (28, 28), (40, 30))


def pictures(sizes: Sequence[tuple[int, int]] = SIZES, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]


def build(**settings: object) -> Extractor:
    config = EmbeddingConfig.model_validate({"image_size": 64, **settings})
    return build_extractor(InMemoryStore(), config, weights_of(config))


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return build(batch_size=4)


def test_the_default_layers_give_vectors_of_1832_numbers(extractor: Extractor):
    vectors = extractor.embed(pictures())
    assert extractor.dimensions == 40 + 80 + 112 + 320 + 1280 == 1832
    assert (vectors.shape, vectors.dtype) == ((len(SIZES), 1832), np.float32)
    assert np.isfinite(vectors).all()
    assert len(np.unique(vectors, axis=0)) == len(SIZES)


def test_the_numbers_are_those_that_the_fingerprint_stands_for(extractor: Extractor):
    # If these change, so must what fingerprint_components says, or old vectors are mixed with new ones.
    texture = (np.arange(150 * 100 * 3) * 7919 // 64 % 256).reshape(150, 100, 3).astype(np.uint8)
    vector = extractor.embed([texture])[0]
    means = [part.mean() for part in np.split(vector, np.cumsum([40, 80, 112, 320]))]
    assert means == pytest.approx([-0.59594, -0.09305, 0.72279, -0.23240, 0.69590], rel=1e-3)


def test_layers_are_concatenated_in_the_order_of_the_recipe(extractor: Extractor):
    images = pictures()
    some = build(layers=("block_10", "block_4"))
    assert some.dimensions == 152
    expected = extractor.embed(images)
    np.testing.assert_allclose(some.embed(images)[:, :112], expected[:, 120:232], atol=1e-5)
    np.testing.assert_allclose(some.embed(images)[:, 112:], expected[:, :40], atol=1e-5)


def test_no_image_gives_no_vector(extractor: Extractor):
    assert extractor.embed([]).shape == (0, 1832)


def test_a_vector_does_not_depend_on_its_neighbours_or_its_place(extractor: Extractor):
    images = pictures(SIZES * 3)
    together = extractor.embed(images)
    alone = np.concatenate([extractor.embed([image]) for image in images])
    backwards = extractor.embed(images[::-1])[::-1]
    assert np.array_equal(together, alone)
    assert np.array_equal(together, backwards)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_a_vector_does_not_depend_on_the_batch_size(extractor: Extractor, batch_size: int):
    other = build(batch_size=batch_size)
    np.testing.assert_allclose(other.embed(pictures()), extractor.embed(pictures()), rtol=1e-4, atol=1e-5)


EMBED = """
import sys
import keras
import numpy as np
from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.extractors.extractor import build_extractor
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.storage.memory import InMemoryStore

config = EmbeddingConfig(image_size=64, batch_size=4)
extractor = build_extractor(InMemoryStore(), config, weights_of(config))
images = list(np.load(sys.argv[1]).values())
np.savez(sys.argv[2], vectors=extractor.embed(images), pixels=extractor.resize(images), runs_on=extractor.runs_on)
"""


def embed_in_a_fresh_process(folder: Path, backend: str) -> dict[str, np.ndarray]:
    np.savez(folder / "images.npz", *pictures())
    command = [sys.executable, "-c", EMBED, str(folder / "images.npz"), str(folder / "found.npz")]
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(REPOSITORY)}
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)
    return dict(np.load(folder / "found.npz"))


def test_a_fresh_process_computes_the_same_bits(extractor: Extractor, tmp_path: Path):
    found = embed_in_a_fresh_process(tmp_path, "tensorflow")

    assert np.array_equal(found["vectors"], extractor.embed(pictures()))


def test_another_backend_of_keras_gives_the_same_vectors(extractor: Extractor, tmp_path: Path):

    found = embed_in_a_fresh_process(tmp_path, "jax")

    assert str(found["runs_on"]).startswith("Keras with jax on cpu")
    np.testing.assert_allclose(found["pixels"], extractor.resize(pictures()), atol=1e-3)
    np.testing.assert_allclose(found["vectors"], extractor.embed(pictures()), atol=1e-3)


def test_the_model_takes_bytes_and_floats_of_any_size_and_agrees_with_embed(extractor: Extractor):
    for image in pictures():
        expected = extractor.embed([image])
        np.testing.assert_allclose(np.asarray(extractor.model(image[None])), expected, atol=1e-4)
        np.testing.assert_allclose(np.asarray(extractor.model(image[None].astype(np.float32))), expected, atol=1e-4)


def test_the_model_is_frozen_even_when_what_it_is_part_of_trains(extractor: Extractor):
    image = pictures()[0][None]
    assert extractor.model.trainable_weights == []
    assert np.array_equal(np.asarray(extractor.model(image, training=True)), np.asarray(extractor.model(image)))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras, when it saves
def test_a_classifier_composed_with_it_is_saved_and_loaded_whole(extractor: Extractor, tmp_path: Path):
    pixels = keras.Input((None, None, 3))
    initializer = keras.initializers.GlorotUniform(seed=0)
    head = keras.Sequential(
        [
            keras.Input((extractor.dimensions,)),
            keras.layers.Dense(10, "softmax", kernel_initializer=initializer),
        ]
    )
    classifier = keras.Model(pixels, head(extractor.model(pixels)))
    classifier.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    for image in pictures():
        assert np.array_equal(np.asarray(loaded(image[None])), np.asarray(classifier(image[None])))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((8, 8, 3), np.float32), id="float"),
        pytest.param(np.zeros((8, 8), np.uint8), id="grey"),
        pytest.param(np.zeros((8, 8, 4), np.uint8), id="alpha"),
        pytest.param(np.zeros((0, 8, 3), np.uint8), id="empty"),
    ],
)
def test_an_image_of_another_form_is_refused_by_its_index_before_anything_is_computed(image: np.ndarray):
    calls = []
    extractor = small_extractor(lambda vectors: calls.append(1) or vectors)

    with pytest.raises(ValueError, match=r"Expected uint8 pixels .* image 6 has"):
        extractor.embed([*pictures(((8, 8),) * 6), image])

    assert calls == []


@pytest.mark.parametrize(
    "batch",
    [
        pytest.param(np.zeros((3, 32, 32, 3), np.float32), id="too few"),
        pytest.param(np.zeros((4, 32, 31, 3), np.float32), id="too narrow"),
        pytest.param(np.zeros((4, 32, 32, 3), np.uint8), id="bytes"),
    ],
)
def test_a_batch_of_another_form_is_refused(batch: np.ndarray):
    with pytest.raises(ValueError, match=r"Expected a float32 batch of shape \(4, 32, 32, 3\); got"):
        small_extractor(batch_size=4).vectors_of(batch)


def test_the_parts_of_embed_give_what_it_gives(extractor: Extractor):
    images = pictures()[:4]

    vectors = extractor.vectors_of(extractor.resize(images))

    assert (extractor.batch_size, extractor.image_size) == (4, 64)
    assert np.array_equal(vectors, extractor.embed(images))


def test_a_network_with_dropout_gives_the_same_vector_each_time_saved_or_not(tmp_path: Path):
    network = small_network()
    dropping = keras.Model(network.input, keras.layers.Dropout(0.5)(network.output))
    extractor = Extractor(dropping, ChangedRuntime(dropping))
    image = pictures()[0]
    extractor.model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)

    for model in (extractor.model, loaded):
        for training in ({}, {"training": False}):
            np.testing.assert_allclose(np.asarray(model(image[None], **training)), extractor.embed([image]), rtol=1e-5)


@pytest.mark.parametrize("image_size", [64, 96])
def test_mixed_precision_keeps_within_its_tolerance(image_size: int):
    images = pictures()
    expected = build(image_size=image_size, batch_size=4).embed(images).astype(np.float64)

    mixed = build(image_size=image_size, batch_size=4, precision="mixed")

    vectors = mixed.embed(images).astype(np.float64)
    differences = np.linalg.norm(vectors - expected, axis=1) / np.linalg.norm(expected, axis=1)
    cosines = (vectors * expected).sum(1) / np.linalg.norm(vectors, axis=1) / np.linalg.norm(expected, axis=1)
    assert 1e-4 < differences.max() < MIXED_TOLERANCE  # not float32 after all
    assert (1 - cosines).max() < MIXED_COSINE_TOLERANCE
    np.testing.assert_allclose(np.asarray(mixed.model(images[0][None])), expected[:1], atol=1e-4)  # what is exported
