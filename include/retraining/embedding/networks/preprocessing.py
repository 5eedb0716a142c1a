"""What happens to pixels before the first convolution, as layers of the network itself.

Built-in layers only, so that an exported model takes raw pixels and reloads without this project.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import keras

from include.retraining.embedding.networks.architectures import BGR, LITE, STANDARDISED, SYMMETRIC

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of ImageNet's pixels in [0, 1], by channel: red, green, blue."""

_BGR_MEAN = (103.939, 116.779, 123.68)


def preprocess(pixels: keras.KerasTensor, preprocessing: str) -> keras.KerasTensor:
    """Adds the layers that a preprocessing of `architectures.py` means.

    They hold no weights, so that a file of weights need not know of them, and compute in float32 whatever the precision
    of the network after them.

    Args:
        pixels: RGB in [0, 255], shape `(n, height, width, 3)`, float32.
        preprocessing: One of `LITE`, `SYMMETRIC`, `STANDARDISED`, `BGR`.
    """
    return _STEPS[preprocessing](pixels)


def _lite(pixels: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Rescaling(1 / 128, offset=-127 / 128, dtype="float32", name="rescaling")(pixels)


def _symmetric(pixels: keras.KerasTensor) -> keras.KerasTensor:
    return keras.layers.Rescaling(1 / 127.5, offset=-1.0, dtype="float32", name="rescaling")(pixels)


def _standardise(pixels: keras.KerasTensor) -> keras.KerasTensor:
    mean = [255 * value for value in IMAGENET_MEAN]
    variance = [(255 * value) ** 2 for value in IMAGENET_STD]
    return keras.layers.Normalization(mean=mean, variance=variance, dtype="float32", name="standardising")(pixels)


def _to_bgr(pixels: keras.KerasTensor) -> keras.KerasTensor:
    flipped = keras.ops.flip(pixels, axis=-1)
    return keras.layers.Normalization(mean=_BGR_MEAN, variance=[1.0] * 3, dtype="float32", name="centring")(flipped)


_STEPS: Mapping[str, Callable[[keras.KerasTensor], keras.KerasTensor]] = {
    LITE: _lite,
    SYMMETRIC: _symmetric,
    STANDARDISED: _standardise,
    BGR: _to_bgr,
}
