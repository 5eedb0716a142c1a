from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.networks.network import build_network, layer_names
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.errors import ConfigurationError
from include.retraining.storage.memory import InMemoryStore

ROOT = Path(__file__).parents[5]
GOLDEN_START = [3.595192, 6.375581, -3.295526, -1.101872]
GOLDEN_SUM = 917.5634


def network(**recipe: Any) -> keras.Model:
    config = EmbeddingConfig.model_validate({"image_size": 32, **recipe})
    return build_network(InMemoryStore(), config, weights_of(config))


def images(size: int = 32) -> np.ndarray:
    return np.random.default_rng(7).uniform(0, 255, (3, size, size, 3)).astype(np.float32)


def vectors_of(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    return np.asarray(model(pixels, training=False))


def test_the_default_recipe_gives_the_vectors_that_it_always_gave():
    picture = load_sample_image("flower.jpg").astype(np.float32)
    pixels = np.asarray(keras.ops.image.resize(picture[None], (96, 96), antialias=True))

    vector = vectors_of(network(image_size=96), pixels)[0]

    assert vector.shape == (40 + 80 + 112 + 320 + 1280,)
    np.testing.assert_allclose(vector[:4], GOLDEN_START, rtol=1e-4)
    assert vector.sum() == pytest.approx(GOLDEN_SUM, rel=1e-4)


def test_layers_are_pooled_and_concatenated_in_the_order_of_the_recipe():
    both = vectors_of(network(layers=["head", "block_2"]), images())

    np.testing.assert_array_equal(both[:, :1280], vectors_of(network(layers=["head"]), images()))
    np.testing.assert_array_equal(both[:, 1280:], vectors_of(network(layers=["block_2"]), images()))


def test_each_pooling_is_that_of_numpy():
    layers = ["block_2"]

    maps = vectors_of(network(layers=layers, pooling="flatten"), images()).reshape(3, 8, 8, 24)

    average = vectors_of(network(layers=layers), images())
    largest = vectors_of(network(layers=layers, pooling="max"), images())
    np.testing.assert_allclose(average, maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(largest, maps.max(axis=(1, 2)))


def test_flattening_warns_of_its_size(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        network(layers=["block_0", "head"], pooling="flatten", stored_as="float16")

    n_features = 16 * 16 * 16 + 1280
    assert f"features_per_image={n_features} bytes_per_1000_images={n_features * 2000}" in caplog.text


def test_pooling_does_not_warn(caplog: pytest.LogCaptureFixture):
    network(layers=["block_0"])

    assert caplog.text == ""


def test_l2_gives_vectors_of_length_one_in_the_same_direction():
    raw = vectors_of(network(), images())

    unit = vectors_of(network(normalisation="l2"), images())

    np.testing.assert_allclose(unit, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-5, atol=1e-7)


def test_an_unknown_layer_is_answered_with_names_that_are_close_and_how_to_see_all():
    with pytest.raises(ConfigurationError) as caught:
        network(layers=["block_15", "blok_4"])

    message = str(caught.value)
    assert message.startswith("embedding.layers: efficientnet_lite0 has no layer 'blok_4' with a feature map; it has ")
    assert "block_4," in message
    assert "python -c " in message
    assert "layer_names('efficientnet_lite0')" in message


@pytest.mark.parametrize("name", ["pixels", "resnet"])
def test_what_has_no_feature_map_cannot_be_named(name: str):
    with pytest.raises(ConfigurationError, match=rf"has no layer '{name}' with a feature map"):
        network(layers=[name])


def test_every_name_in_the_list_of_layers_can_be_named():
    names = layer_names("convnext_tiny")

    assert "convnext_tiny_stage_0_block_0_depthwise_conv" in names
    assert not any("downsampling" in name or name == "pixels" for name in names)
    built = network(extractor="convnext_tiny", weights="none", layers=names)
    assert vectors_of(built, images()).shape[0] == 3


def test_images_that_are_too_small_are_refused_before_anything_is_built():
    with pytest.raises(ConfigurationError, match="xception takes images of 71 pixels or more"):
        network(extractor="xception", weights="none")


def test_mixed_precision_gives_float32_vectors_that_are_close():
    expected = vectors_of(network(), images())

    vectors = vectors_of(network(precision="mixed"), images())

    assert vectors.dtype == np.float32
    distance = np.linalg.norm(vectors - expected, axis=1) / np.linalg.norm(expected, axis=1)
    assert 0 < distance.max() < 0.02


def test_vectors_are_float32_whatever_policy_is_the_global_one():
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_float16")
        both = network(layers=["block_0", "head"], normalisation="l2")
        one = network(layers=["head"], pooling="max")
    finally:
        keras.config.set_dtype_policy(policy)

    assert vectors_of(both, images()).dtype == vectors_of(one, images()).dtype == np.float32


# VGG16 turns red and blue around, EfficientNetB0 keeps constants as weights, ConvNeXt has layers of its own.
@pytest.mark.parametrize("extractor", ["vgg16", "efficientnet_b0", "convnext_tiny"])
def test_it_reloads_in_safe_mode(extractor: str, tmp_path: Path):
    built = network(extractor=extractor, weights="none", normalisation="l2")
    built.save(tmp_path / "network.keras")

    reloaded = keras.models.load_model(tmp_path / "network.keras", safe_mode=True)

    np.testing.assert_allclose(vectors_of(reloaded, images()), vectors_of(built, images()), rtol=0, atol=1e-6)


ON_JAX = """
import sys
import keras, numpy as np
from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.networks.network import build_network
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.storage.memory import InMemoryStore
assert keras.backend.backend() == "jax" and "tensorflow" not in sys.modules
config = EmbeddingConfig(image_size=32, extractor="mobilenet_v2", weights="none")
network = build_network(InMemoryStore(), config, weights_of(config), device="cpu:0")
pixels = np.random.default_rng(7).uniform(0, 255, (3, 32, 32, 3)).astype(np.float32)
np.save(sys.argv[1], network.predict(pixels, verbose=0))
assert "tensorflow" not in sys.modules
"""


def test_it_gives_the_same_vectors_on_the_jax_backend(tmp_path: Path):
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}

    subprocess.run([sys.executable, "-c", ON_JAX, str(tmp_path / "x.npy")], check=True, env=environment, timeout=300)

    # One of Keras's own; EfficientNet-Lite0 is compared by the extractor's tests.
    expected = vectors_of(network(extractor="mobilenet_v2", weights="none"), images())
    on_jax = np.load(tmp_path / "x.npy")
    assert on_jax.dtype == np.float32
    np.testing.assert_allclose(on_jax, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
