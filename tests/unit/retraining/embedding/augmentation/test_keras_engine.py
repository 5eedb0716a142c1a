from __future__ import annotations

from collections import Counter

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.retraining.config.embedding import KerasAugmentation
from include.retraining.embedding.augmentation.keras_engine import Change, apply_change, draw_change
from tests.unit.retraining.embedding.augmentation.pictures import picture

OFF = KerasAugmentation(horizontal_flip=False, rotation_degrees=0, shift=0, zoom=0)
LAYERS = keras.layers
ALIKE = {"fill_mode": "reflect", "data_format": "channels_last"}


def by_layer(layer: keras.layers.Layer, image: np.ndarray) -> np.ndarray:
    """What a Keras layer whose range is one value makes of an image, rounded as a view is."""
    changed = layer(image[None].astype(np.float32), training=True)
    return np.rint(keras.ops.convert_to_numpy(changed)[0]).astype(np.uint8)


@pytest.mark.parametrize(
    ("change", "layer"),
    [
        (Change(degrees=25.0), LAYERS.RandomRotation((25 / 360, 25 / 360), **ALIKE)),
        (Change(degrees=-170.0), LAYERS.RandomRotation((-170 / 360, -170 / 360), **ALIKE)),
        (Change(shift_down=0.2), LAYERS.RandomTranslation((0.2, 0.2), (0, 0), **ALIKE)),
        (Change(shift_right=-0.13), LAYERS.RandomTranslation((0, 0), (-0.13, -0.13), **ALIKE)),
        (Change(zoom=0.3), LAYERS.RandomZoom((0.3, 0.3), **ALIKE)),
        (Change(zoom=-0.3), LAYERS.RandomZoom((-0.3, -0.3), **ALIKE)),
        (Change(brightness=0.25), LAYERS.RandomBrightness((0.25, 0.25))),
        (Change(brightness=-0.4), LAYERS.RandomBrightness((-0.4, -0.4))),
    ],
    ids=lambda value: "" if isinstance(value, Change) else value.name,
)
def test_each_change_is_that_of_keras_s_layer(change: Change, layer: keras.layers.Layer):
    image = picture(24, 40)
    view = apply_change(image, change)
    difference = np.abs(view.astype(int) - by_layer(layer, image).astype(int))
    assert difference.max() <= 1  # a float32 matrix of another rounding may move a value over a half
    assert np.count_nonzero(difference) < 0.01 * difference.size
    assert np.abs(view.astype(int) - image.astype(int)).mean() > 3


@pytest.mark.parametrize("factor", [0.6, 1.5])
def test_contrast_is_that_of_keras_s_layer(factor: float):
    image = picture(24, 40)
    layer = LAYERS.RandomContrast(0.5, value_range=(0, 255))
    expected = layer.transform_images(image[None].astype(np.float32), {"contrast_factor": factor}, training=True)
    view = apply_change(image, Change(contrast=factor))
    np.testing.assert_allclose(view, keras.ops.convert_to_numpy(expected)[0], atol=0.51)


def test_flips_are_exact_mirror_images():
    image = picture(23, 40)
    assert np.array_equal(apply_change(image, Change(flip_horizontally=True)), image[:, ::-1])
    assert np.array_equal(apply_change(image, Change(flip_vertically=True)), image[::-1])
    both = Change(flip_horizontally=True, flip_vertically=True)
    assert np.array_equal(apply_change(image, both), image[::-1, ::-1])


def test_changes_happen_in_the_order_of_the_layers():
    image = picture(48, 48)
    change = Change(flip_horizontally=True, degrees=20.0, shift_down=0.1, shift_right=-0.05, zoom=-0.1)

    view = apply_change(image, change)

    expected = image
    for one in (
        Change(flip_horizontally=True),
        Change(degrees=20.0),
        Change(shift_down=0.1, shift_right=-0.05),
        Change(zoom=-0.1),
    ):
        expected = apply_change(expected, one)
    middle = np.s_[12:36, 12:36]  # at the edges one fill after another differs from one fill
    np.testing.assert_allclose(view[middle], expected[middle], atol=6)


def test_where_nothing_is_asked_for_the_view_is_the_image_in_every_byte():
    image = np.random.default_rng(0).integers(0, 256, (31, 17, 3), dtype=np.uint8)
    assert draw_change(OFF, "ab12", 1) == Change()
    assert np.array_equal(apply_change(image, draw_change(OFF, "ab12", 1)), image)


def test_an_image_is_left_as_it_was():
    image = picture()
    before = image.copy()
    apply_change(image, Change(degrees=10.0, brightness=0.2, contrast=1.2))
    assert np.array_equal(image, before)


@pytest.mark.parametrize("degrees", [-180.0, -33.0, 5.0, 90.0])
def test_a_rotation_keeps_the_brightness_roughly(degrees: float):
    image = picture(64, 64)
    assert abs(apply_change(image, Change(degrees=degrees)).mean() - image.mean()) < 12


def test_values_beyond_black_and_white_are_clipped_and_never_wrap():
    image = picture()
    brightest = apply_change(image, Change(brightness=1.0, contrast=1.9))
    darkest = apply_change(image, Change(brightness=-1.0, contrast=1.9))
    assert (brightest == 255).all()
    assert (darkest == 0).all()


@pytest.mark.parametrize(
    ("setting", "field", "lowest", "highest"),
    [
        ({"rotation_degrees": 30}, "degrees", -30, 30),
        ({"shift": 0.2}, "shift_down", -0.2, 0.2),
        ({"shift": 0.2}, "shift_right", -0.2, 0.2),
        ({"zoom": 0.3}, "zoom", -0.3, 0.3),
        ({"brightness": 0.4}, "brightness", -0.4, 0.4),
        ({"contrast": 0.5}, "contrast", 0.5, 1.5),
    ],
)
def test_each_setting_bounds_its_own_change_and_all_of_its_range_is_drawn(setting, field, lowest, highest):
    augmentation = OFF.model_copy(update=setting)
    drawn = [draw_change(augmentation, f"{image:064x}", 1) for image in range(400)]
    values = np.array([getattr(change, field) for change in drawn])
    reach = highest - lowest
    assert lowest <= values.min() < lowest + 0.05 * reach
    assert highest - 0.05 * reach < values.max() <= highest
    others = {name for change in drawn for name, value in vars(change).items() if value != vars(Change())[name]}
    assert others <= {field, "shift_down", "shift_right"} if "shift" in setting else others == {field}


@pytest.mark.parametrize("setting", ["horizontal_flip", "vertical_flip"])
def test_half_of_the_views_are_mirrored(setting: str):
    augmentation = OFF.model_copy(update={setting: True})
    drawn = [draw_change(augmentation, f"{image:064x}", 1) for image in range(400)]
    share = np.mean([change.flip_horizontally or change.flip_vertically for change in drawn])
    assert 0.42 < share < 0.58
    assert all(not (change.flip_horizontally and change.flip_vertically) for change in drawn)


def test_one_flip_says_nothing_of_the_other():
    augmentation = OFF.model_copy(update={"horizontal_flip": True, "vertical_flip": True})
    drawn = [draw_change(augmentation, f"{image:064x}", 1) for image in range(400)]
    counts = Counter((change.flip_horizontally, change.flip_vertically) for change in drawn)
    assert len(counts) == 4
    assert all(70 < count < 130 for count in counts.values())


def test_a_change_that_is_switched_off_leaves_the_others_as_they_were():
    with_zoom, without = (
        draw_change(KerasAugmentation(zoom=zoom, brightness=0.2, contrast=0.2), "ab12", 3) for zoom in (0.2, 0.0)
    )
    assert vars(with_zoom) | {"zoom": 0.0} == vars(without)


@given(height=st.integers(1, 40), width=st.integers(1, 40), view=st.integers(1, 16))
def test_images_of_any_sides_give_a_view_of_the_same_sides(height: int, width: int, view: int):
    wild = KerasAugmentation(
        vertical_flip=True, rotation_degrees=180, shift=0.9, zoom=0.9, brightness=0.1, contrast=0.1
    )
    image = picture(height, width)
    changed = apply_change(image, draw_change(wild, "ab12", view))
    assert changed.shape == image.shape
    assert changed.dtype == np.uint8
