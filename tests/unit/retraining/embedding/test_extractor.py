from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest

from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.extractor import Extractor, build_extractor
from include.retraining.errors import ConfigurationError

REPOSITORY = Path(__file__).parents[4]
SIZES = ((28, 28), (40, 30), (28, 28), (200, 120), (96, 96), (28, 28), (40, 30))


def pictures(sizes: Sequence[tuple[int, int]] = SIZES, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]


@pytest.fixture(scope="module")
def extractor() -> Extractor:
    return build_extractor(EmbeddingConfig(image_size=64, batch_size=4))


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
    some = build_extractor(EmbeddingConfig(image_size=64, layers=("block_10", "block_4")))
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
    other = build_extractor(EmbeddingConfig(image_size=64, batch_size=batch_size))
    np.testing.assert_allclose(other.embed(pictures()), extractor.embed(pictures()), rtol=1e-4, atol=1e-5)


def test_a_fresh_process_computes_the_same_bits(extractor: Extractor, tmp_path: Path):
    code = (
        "import sys, numpy as np\n"
        "from include.retraining.config import EmbeddingConfig\n"
        "from include.retraining.embedding.extractor import build_extractor\n"
        "images = list(np.load(sys.argv[1]).values())\n"
        "np.save(sys.argv[2], build_extractor(EmbeddingConfig(image_size=64, batch_size=4)).embed(images))\n"
    )
    np.savez(tmp_path / "images.npz", *pictures())
    command = [sys.executable, "-c", code, str(tmp_path / "images.npz"), str(tmp_path / "vectors.npy")]
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    assert np.array_equal(np.load(tmp_path / "vectors.npy"), extractor.embed(pictures()))


def test_large_images_are_resized_a_few_at_a_time_with_the_same_result(
    extractor: Extractor, monkeypatch: pytest.MonkeyPatch
):
    images = pictures(((60, 50),) * 4)
    at_once = extractor.embed(images)
    monkeypatch.setattr("include.retraining.embedding.extractor._RESIZED_PIXELS", 60 * 50)
    assert np.array_equal(extractor.embed(images), at_once)


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


def test_an_unknown_layer_is_refused_with_the_known_ones():
    with pytest.raises(
        ConfigurationError, match=r"embedding\.layers: there is no layer block_16, neck\..*block_15, head"
    ):
        build_extractor(EmbeddingConfig(layers=("block_16", "head", "neck")))


def test_a_layer_named_twice_is_refused():
    with pytest.raises(ConfigurationError, match="head is named more than once"):
        build_extractor(EmbeddingConfig(layers=("head", "block_4", "head")))


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((8, 8, 3), np.float32), id="float"),
        pytest.param(np.zeros((8, 8), np.uint8), id="grey"),
        pytest.param(np.zeros((8, 8, 4), np.uint8), id="alpha"),
        pytest.param(np.zeros((0, 8, 3), np.uint8), id="empty"),
    ],
)
def test_an_image_of_another_form_is_refused_by_its_index(extractor: Extractor, image: np.ndarray):
    with pytest.raises(ValueError, match=r"Expected uint8 pixels .* image 1 has"):
        extractor.embed([np.zeros((8, 8, 3), np.uint8), image])
