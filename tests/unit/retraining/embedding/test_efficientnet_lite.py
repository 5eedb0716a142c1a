from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from include.retraining.embedding.efficientnet_lite import LAYERS, build_efficientnet_lite0

PALACE, DAISY = 698, 985


@pytest.fixture(scope="module")
def classifier() -> keras.Model:
    return build_efficientnet_lite0(224, with_top=True)


@pytest.mark.parametrize(("picture", "expected"), [("china.jpg", PALACE), ("flower.jpg", DAISY)])
def test_real_pictures_get_their_imagenet_class(classifier: keras.Model, picture: str, expected: int):
    pixels = load_sample_image(picture)
    margin = (pixels.shape[1] - pixels.shape[0]) // 2
    square = pixels[:, margin : margin + pixels.shape[0]].astype(np.float32)
    resized = keras.ops.image.resize(square[None], (224, 224), antialias=True)
    scores = np.asarray(classifier(resized, training=False))[0]
    assert scores.argmax() == expected
    assert scores.sum() == pytest.approx(1, abs=1e-5)


def test_it_has_the_published_number_of_parameters(classifier: keras.Model):
    assert classifier.count_params() == 4_694_024


def test_every_block_and_the_head_can_be_taken_by_name(classifier: keras.Model):
    shapes = {name: classifier.get_layer(name).output.shape[1:] for name in LAYERS}
    assert list(shapes) == [*(f"block_{index}" for index in range(16)), "head"]
    sides = [112, 56, 56, 28, 28, 14, 14, 14, 14, 14, 14, 7, 7, 7, 7, 7, 7]
    channels = [16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320, 1280]
    assert list(shapes.values()) == [(side, side, width) for side, width in zip(sides, channels, strict=True)]


def test_it_is_made_of_built_in_layers_that_reload_without_trusted_code(classifier: keras.Model):
    assert {type(layer) for layer in classifier.layers} <= {
        keras.layers.InputLayer,
        keras.layers.Rescaling,
        keras.layers.Conv2D,
        keras.layers.DepthwiseConv2D,
        keras.layers.BatchNormalization,
        keras.layers.Activation,
        keras.layers.Add,
        keras.layers.Identity,
        keras.layers.GlobalAveragePooling2D,
        keras.layers.Dense,
    }


def test_an_odd_size_gives_rounded_up_maps():
    assert build_efficientnet_lite0(50).output_shape == (None, 2, 2, 1280)
