from __future__ import annotations

import io
import math

import numpy as np
import pytest
from PIL import Image

from include.retraining.intake.inspection import measurements
from include.retraining.intake.inspection.measurements import HASH_BITS, laplacian_variance, measure, perceptual_hash


def rgb(grey: np.ndarray) -> Image.Image:
    return Image.fromarray(grey.astype(np.uint8)).convert("RGB")


def scene(number: int, side: int = 64) -> Image.Image:
    """A picture with detail at every scale, as photographs have, from 30 to 220; another for each number."""
    rng = np.random.default_rng(number)
    layers = [
        np.asarray(Image.fromarray(rng.normal(size=(cells, cells)) / cells).resize((side, side)))
        for cells in (4, 8, 16, 32)
    ]
    mixed = np.sum(layers, axis=0)
    return rgb(30 + 190 * (mixed - mixed.min()) / np.ptp(mixed))


def distance(first: Image.Image, second: Image.Image) -> int:
    hashes = [int(measure(picture).perceptual_hash, 16) for picture in (first, second)]
    return (hashes[0] ^ hashes[1]).bit_count()


def as_jpeg(picture: Image.Image, quality: int) -> Image.Image:
    body = io.BytesIO()
    picture.save(body, "JPEG", quality=quality)
    return Image.open(body).convert("RGB")


def test_brightness_and_contrast_are_mean_and_deviation():
    half_white = np.zeros((4, 4))
    half_white[:2] = 255

    measured = measure(rgb(half_white))

    assert (measured.brightness, measured.contrast) == (0.5, 0.5)


@pytest.mark.parametrize("shape", [(5, 7), (28, 28), (700, 900)])
def test_they_agree_with_numpy(shape: tuple[int, int]):
    grey = np.random.default_rng(0).integers(0, 256, shape)

    measured = measure(rgb(grey))

    assert measured.brightness == pytest.approx(grey.mean() / 255, abs=6e-5)
    assert measured.contrast == pytest.approx(grey.std() / 255, abs=6e-5)


def test_colours_count_by_their_luma():
    green, blue = (measure(Image.new("RGB", (4, 4), colour)).brightness for colour in ("#00ff00", "#0000ff"))

    assert (green, blue) == (pytest.approx(0.587, abs=0.003), pytest.approx(0.114, abs=0.003))


def test_the_laplacian_of_one_white_pixel_is_known():
    grey = np.zeros((5, 5), dtype=np.uint8)
    grey[2, 2] = 10
    values = np.array([-40, 10, 10, 10, 10, 0, 0, 0, 0])

    assert laplacian_variance(grey) == pytest.approx(values.var())


@pytest.mark.parametrize("band_pixels", [1, 20, 2**18])
def test_bands_change_nothing_in_the_laplacian(monkeypatch: pytest.MonkeyPatch, band_pixels: int):
    grey = np.random.default_rng(1).integers(0, 256, (23, 9)).astype(np.uint8)
    wide = grey.astype(float)
    expected = (wide[:-2, 1:-1] + wide[2:, 1:-1] + wide[1:-1, :-2] + wide[1:-1, 2:] - 4 * wide[1:-1, 1:-1]).var()
    monkeypatch.setattr(measurements, "_BAND_PIXELS", band_pixels)

    assert laplacian_variance(grey) == pytest.approx(expected)


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (9, 2)])
def test_a_picture_without_inner_pixels_has_no_sharpness(size: tuple[int, int]):
    picture = Image.new("RGB", size)
    picture.putpixel((0, 0), (255, 255, 255))

    assert measure(picture).sharpness == 0


def test_a_blurred_picture_is_less_sharp():
    picture = rgb(np.random.default_rng(2).integers(0, 256, (40, 40)))
    blurred = picture.resize((10, 10)).resize((40, 40))

    assert measure(blurred).sharpness < measure(picture).sharpness / 10


def test_a_ramp_is_not_sharp_but_has_contrast():
    measured = measure(rgb(np.tile(np.arange(0, 200, 10), (20, 1))))

    assert measured.sharpness == 0
    assert measured.contrast > 0.2


@pytest.mark.parametrize("difference", [0, 1])
def test_a_picture_of_one_colour_is_near_constant_and_has_no_hash(difference: int):
    grey = np.full((28, 28), 90)
    grey[::2] += difference

    measured = measure(rgb(grey))

    assert (measured.near_constant, measured.perceptual_hash) == (True, "")


def test_a_picture_of_little_contrast_is_not_near_constant():
    grey = np.full((28, 28), 90)
    grey[::2] += 4

    measured = measure(rgb(grey))

    assert not measured.near_constant
    assert len(measured.perceptual_hash) == HASH_BITS // 4


def test_the_hash_of_a_picture_is_what_it_always_was():
    values = np.fromfunction(lambda row, column: (7 * row + 13 * column + row * column) % 251, (32, 32))
    hashed = perceptual_hash(Image.fromarray(values.astype(np.uint8)))

    assert hashed == "80f5000e03ff0f828e3f4cee2998c9238b5f5aa6550c519155bbfdb65b35d32d"


def test_the_hash_is_that_of_the_definition():
    grey = scene(1, 32).convert("L")
    pixels = np.asarray(grey, dtype=float)
    place = np.arange(32)
    waves = [np.cos(math.pi * u * (2 * place + 1) / 64) * math.sqrt((1 if u == 0 else 2) / 32) for u in range(16)]
    frequencies = np.array([[(pixels * np.outer(down, across)).sum() for across in waves] for down in waves])

    bits = "".join("1" if value > np.median(frequencies) else "0" for value in frequencies.ravel())

    assert perceptual_hash(grey) == f"{int(bits, 2):064x}"


@pytest.mark.parametrize("number", range(8))
def test_the_same_picture_in_another_form_is_near(number: int):
    picture = scene(number)

    assert distance(picture, as_jpeg(picture, 90)) <= 12
    assert distance(picture, picture.resize((128, 128), Image.Resampling.BICUBIC)) <= 12
    assert distance(picture, picture.point(lambda value: min(255, value + 8))) <= 12


def test_other_pictures_are_far():
    pictures = [scene(number) for number in range(12)]

    distances = [distance(a, b) for index, a in enumerate(pictures) for b in pictures[:index]]

    assert min(distances) > 40


def test_frequencies_that_a_symmetric_picture_lacks_set_no_bit():
    ring = np.full((32, 32), 200)
    ring[8:24, 8:24] = 50

    bits = int(measure(rgb(ring)).perceptual_hash, 16)

    odd_rows = sum(0xFFFF << (16 * (15 - row)) for row in range(1, 16, 2))
    assert bits & odd_rows == 0
    assert bits
