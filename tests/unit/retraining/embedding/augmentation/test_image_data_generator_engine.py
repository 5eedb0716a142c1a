from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from include.retraining.config.embedding import ImageDataGeneratorAugmentation
from include.retraining.embedding.augmentation.draws import draw_bits
from include.retraining.embedding.augmentation.image_data_generator_engine import build_image_data_generator_augmenter
from tests.unit.retraining.embedding.augmentation.pictures import picture

# Keras 3.15 calls SciPy by a name that SciPy has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:Please import `affine_transform`:DeprecationWarning")


def build(**arguments: Any):
    return build_image_data_generator_augmenter(
        ImageDataGeneratorAugmentation(engine="image_data_generator", arguments=arguments)
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"rotation_range": 40},
        {"width_shift_range": 0.3, "height_shift_range": [2, 4]},
        {"shear_range": 30, "fill_mode": "reflect"},
        {"zoom_range": [0.6, 1.6], "fill_mode": "constant", "cval": 9},
        {"brightness_range": [0.3, 0.7]},
        {"channel_shift_range": 60},
        {"rotation_range": 40, "interpolation_order": 3, "fill_mode": "wrap"},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_each_argument_changes_the_image_and_keeps_shape_and_type(arguments: dict[str, Any]):
    image = picture(24, 40)
    view = build(**arguments)(image, "ab12", 1)
    assert view.shape == image.shape
    assert view.dtype == np.uint8
    assert np.abs(view.astype(int) - image.astype(int)).mean() > 1


def test_a_view_is_what_the_generator_s_own_random_transform_makes_in_float32():
    arguments = {"rotation_range": 20, "zoom_range": 0.2, "horizontal_flip": True, "channel_shift_range": 30}
    image = picture(24, 40)
    generator = tf.keras.preprocessing.image.ImageDataGenerator(**arguments)

    for view in range(1, 4):
        seed = int.from_bytes(draw_bits(0, "ab12", view)[:4], "big")
        expected = np.rint(generator.random_transform(image.astype(np.float32), seed))
        assert np.array_equal(build(**arguments)(image, "ab12", view), expected)


def test_flips_are_exact_mirror_images_and_half_of_the_views_are():
    image, augment = picture(24, 40), build(horizontal_flip=True)
    views = [augment(image, f"{number:064x}", 1) for number in range(200)]
    mirrored = [np.array_equal(view, image[:, ::-1]) for view in views]
    assert all(flip or np.array_equal(view, image) for flip, view in zip(mirrored, views, strict=True))
    assert 80 < sum(mirrored) < 120


def test_without_arguments_the_view_is_the_image_in_every_byte():
    image = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    assert np.array_equal(build()(image, "ab12", 1), image)


def test_interpolation_beyond_black_and_white_is_clipped_and_never_wraps():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, 16:] = 255
    view = build(zoom_range=[0.7, 0.7], interpolation_order=3)(image, "ab12", 1)
    assert (view[:, :12] < 40).all()
    assert (view[:, 20:] > 215).all()


def test_numpy_s_global_state_is_left_as_it_was():
    augment = build(rotation_range=40)
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    augment(picture(), "ab12", 1)
    assert np.random.random() == expected  # noqa: NPY002


def test_one_message_says_that_the_engine_is_deprecated_and_what_replaces_it(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        augment = build(rotation_range=40)
        augment(picture(), "ab12", 1)
        augment(picture(), "ab12", 2)
    assert len(caplog.records) == 1
    assert "deprecated by Keras" in caplog.text
    assert "`engine: keras` replaces it" in caplog.text
