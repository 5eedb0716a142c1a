from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf

from include.retraining.embedding.extractors import resizing
from include.retraining.embedding.extractors.resizing import Resizer, resizing_layer

SIZE = 96
SIZES = ((28, 28), (40, 30), (28, 28), (200, 120), (96, 96), (28, 28), (1, 1), (96, 50), (95, 97))


def pictures(sizes: Sequence[tuple[int, int]] = SIZES) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]


@pytest.fixture(scope="module")
def resizer() -> Resizer:
    return Resizer(resizing_layer(SIZE))


@pytest.mark.parametrize("n_images", [1, 2, 64])
@pytest.mark.parametrize("size", sorted(set(SIZES)))
def test_images_come_out_bit_for_bit_as_from_the_layer_that_is_exported(
    resizer: Resizer, size: tuple[int, int], n_images: int
):
    images = pictures([size] * n_images)
    layer = resizing_layer(SIZE)
    exported = tf.function(lambda x: layer(x), input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])

    resized = resizer(images)

    assert resized.dtype == np.float32
    assert np.array_equal(resized, exported(np.stack(images).astype(np.float32)))


def test_images_of_many_sizes_keep_their_order(resizer: Resizer):
    images = pictures()

    resized = resizer(images)

    assert resized.shape == (len(SIZES), SIZE, SIZE, 3)
    assert np.array_equal(resized, np.concatenate([resizer([image]) for image in images]))


def test_an_image_of_the_right_size_keeps_its_pixels(resizer: Resizer):
    image = pictures([(SIZE, SIZE)])[0]

    assert np.array_equal(resizer([image])[0], image)


def test_large_images_are_resized_a_few_at_a_time_with_the_same_result(
    resizer: Resizer, monkeypatch: pytest.MonkeyPatch
):
    images = pictures([(60, 50)] * 5)
    at_once = resizer(images)
    calls = []
    monkeypatch.setattr(resizing, "RESIZED_PIXELS", 2 * 60 * 50)
    monkeypatch.setattr(
        resizer, "_resize", lambda pixels, call=resizer._resize: calls.append(len(pixels)) or call(pixels)
    )

    assert np.array_equal(resizer(images), at_once)
    assert calls == [2, 2, 1]


def test_threads_do_not_disturb_each_other(resizer: Resizer):
    batches = [pictures([size] * 8) for size in ((28, 28), (40, 30), (64, 64), (50, 70))] * 4
    expected = [resizer(images) for images in batches]

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(Resizer(resizing_layer(SIZE)), batches))

    assert all(np.array_equal(one, other) for one, other in zip(found, expected, strict=True))


def test_no_image_gives_no_pixels(resizer: Resizer):
    assert resizer([]).shape == (0, SIZE, SIZE, 3)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.zeros((8, 8, 3), np.float32), id="float"),
        pytest.param(np.zeros((8, 8), np.uint8), id="grey"),
        pytest.param(np.zeros((8, 8, 4), np.uint8), id="alpha"),
        pytest.param(np.zeros((0, 8, 3), np.uint8), id="empty"),
    ],
)
def test_an_image_of_another_form_is_refused_by_its_index(resizer: Resizer, image: np.ndarray):
    with pytest.raises(ValueError, match=r"Expected uint8 pixels .* image 1 has"):
        resizer([np.zeros((8, 8, 3), np.uint8), image])
