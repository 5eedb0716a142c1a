"""Views by the changes of Keras's preprocessing layers, with all that moves pixels done in one step.

A layer after another would interpolate three times, which blurs small images, and takes several times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from include.retraining.config.embedding import KerasAugmentation
from include.retraining.embedding.augmentation.draws import draw_shares

FILL_MODE = "reflect"  # the layers' default; repeating the last pixel would draw stripes


@dataclass(frozen=True)
class Change:
    """What happens to one view, in this order. Each is what the Keras layer of that name does.

    Attributes:
        flip_horizontally: Left to right (`RandomFlip`).
        flip_vertically: Upside down (`RandomFlip`).
        degrees: Of rotation about the middle (`RandomRotation`).
        shift_down: As a share of the height (`RandomTranslation`).
        shift_right: As a share of the width (`RandomTranslation`).
        zoom: Above 0 shows more, smaller; below 0 less, larger (`RandomZoom`).
        brightness: Added to every value, as a share of 255 (`RandomBrightness`).
        contrast: Factor on the distance from a channel's mean (`RandomContrast`).
    """

    flip_horizontally: bool = False
    flip_vertically: bool = False
    degrees: float = 0.0
    shift_down: float = 0.0
    shift_right: float = 0.0
    zoom: float = 0.0
    brightness: float = 0.0
    contrast: float = 1.0


def build_keras_augmenter(augmentation: KerasAugmentation) -> Callable[[np.ndarray, str, int], np.ndarray]:
    """Returns an augmenter; see `build_augmenter`."""

    def augment(image: np.ndarray, image_id: str, view: int) -> np.ndarray:
        return apply_change(image, draw_change(augmentation, image_id, view))

    return augment


def draw_change(augmentation: KerasAugmentation, image_id: str, view: int) -> Change:
    """Returns the change of one view of one image; every kind of change has a draw of its own."""
    left_right, upside_down, *rest = draw_shares(augmentation.seed, image_id, view)
    degrees, down, right, zoom, brightness, contrast = (2 * share - 1 for share in rest)  # from -1 to 1
    return Change(
        flip_horizontally=augmentation.horizontal_flip and left_right < 0.5,
        flip_vertically=augmentation.vertical_flip and upside_down < 0.5,
        degrees=augmentation.rotation_degrees * degrees,
        shift_down=augmentation.shift * down,
        shift_right=augmentation.shift * right,
        zoom=augmentation.zoom * zoom,
        brightness=augmentation.brightness * brightness,
        contrast=1 + augmentation.contrast * contrast,
    )


def apply_change(image: np.ndarray, change: Change) -> np.ndarray:
    """Returns a changed copy of an image, uint8 of shape `(height, width, 3)`.

    Args:
        image: uint8, shape `(height, width, 3)`.
        change: What to do.
    """
    height, width, _ = image.shape
    # The processor, even where there is an accelerator: every worker then makes the same view of an image.
    with keras.device("cpu:0"):
        moved = keras.ops.image.affine_transform(
            image.astype(np.float32),
            _transform(change, height, width),
            interpolation="bilinear",
            fill_mode=FILL_MODE,
            data_format="channels_last",
        )
        pixels = keras.ops.convert_to_numpy(moved)
    view: np.ndarray = np.rint(_recolour(pixels, change)).astype(np.uint8)
    return view


def _recolour(pixels: np.ndarray, change: Change) -> np.ndarray:
    """Changes brightness, then contrast, each clipped to the range of pixels as the layers do."""
    if change.brightness:
        pixels = np.clip(pixels + np.float32(change.brightness * 255), 0, 255)
    if change.contrast != 1:
        mean = pixels.mean(axis=(0, 1), keepdims=True)
        pixels = np.clip((pixels - mean) * np.float32(change.contrast) + mean, 0, 255)
    return pixels


def _transform(change: Change, height: int, width: int) -> np.ndarray:
    """Returns the eight numbers of `affine_transform`, float32: from a pixel of the view to one of the image.

    The matrices map backwards, so the last change comes first.
    """
    angle = np.deg2rad(change.degrees)
    flip = np.diag([-1.0 if change.flip_horizontally else 1.0, -1.0 if change.flip_vertically else 1.0, 1.0])
    rotation = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    shift = np.array([[1, 0, -change.shift_right * width], [0, 1, -change.shift_down * height], [0, 0, 1]])
    zoom = np.diag([1 + change.zoom, 1 + change.zoom, 1.0])
    middle = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    matrix = middle @ flip @ rotation @ shift @ zoom @ np.linalg.inv(middle)
    transform: np.ndarray = matrix.reshape(-1)[:8].astype(np.float32)
    return transform
