"""EfficientNet-Lite0, -Lite1 and -Lite2 in Keras layers that every backend has.

EfficientNet (Tan and Le, 2019) without squeeze-and-excite, with ReLU6, with a stem and a head of fixed width, and with
a first and a last stage of fixed depth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import keras
import numpy as np

from include.retraining.embedding.networks.architectures import LITE
from include.retraining.embedding.networks.preprocessing import preprocess


@dataclass(frozen=True)
class _Stage:
    repeats: int
    kernel_size: int
    strides: int
    expansion: int
    filters: int


@dataclass(frozen=True)
class _Scaling:
    width: float
    depth: float


_SCALINGS: Mapping[str, _Scaling] = {
    "efficientnet_lite0": _Scaling(width=1.0, depth=1.0),
    "efficientnet_lite1": _Scaling(width=1.0, depth=1.1),
    "efficientnet_lite2": _Scaling(width=1.1, depth=1.2),
}

_STAGES = (
    _Stage(repeats=1, kernel_size=3, strides=1, expansion=1, filters=16),
    _Stage(repeats=2, kernel_size=3, strides=2, expansion=6, filters=24),
    _Stage(repeats=2, kernel_size=5, strides=2, expansion=6, filters=40),
    _Stage(repeats=3, kernel_size=3, strides=2, expansion=6, filters=80),
    _Stage(repeats=3, kernel_size=5, strides=1, expansion=6, filters=112),
    _Stage(repeats=4, kernel_size=5, strides=2, expansion=6, filters=192),
    _Stage(repeats=1, kernel_size=3, strides=1, expansion=6, filters=320),
)
_STEM_FILTERS = 32
_HEAD_FILTERS = 1280
_IMAGENET_CLASSES = 1000

# The ends of our layers' names, and what the same layers are called in the file of weights.
_TORCH_NAMES = {
    "expand_conv": "_expand_conv",
    "expand_norm": "_bn0",
    "depthwise_conv": "_depthwise_conv",
    "depthwise_norm": "_bn1",
    "project_conv": "_project_conv",
    "project_norm": "_bn2",
    "stem_conv": "_conv_stem",
    "stem_norm": "_bn0",
    "head_conv": "_conv_head",
    "head_norm": "_bn1",
    "top": "_fc",
}


def build_efficientnet_lite(name: str, image_size: int, *, with_top: bool = False) -> keras.Model:
    """Returns the network, all its kernels 0.

    Every inverted residual block has a layer `block_<i>`, i from 0, that holds its output after the addition.

    Args:
        name: `efficientnet_lite0`, `efficientnet_lite1` or `efficientnet_lite2`.
        image_size: Height and width of its input, in pixels.
        with_top: Whether the ImageNet classifier is on top.

    Returns:
        A model from pixels in [0, 255], shape `(n, image_size, image_size, 3)`, to the activation of the layer `head`,
        shape `(n, ⌈image_size / 32⌉, ⌈image_size / 32⌉, 1280)`, or with the top to class probabilities `(n, 1000)`.
    """
    pixels = keras.Input((image_size, image_size, 3), dtype="float32", name="pixels")
    x = preprocess(pixels, LITE)
    x = _normalise(_convolve(x, _STEM_FILTERS, 3, "stem_conv", strides=2), "stem_norm")
    x = _activate(x, "stem")
    index = 0
    for stage in _scaled_stages(_SCALINGS[name]):
        for repeat in range(stage.repeats):
            x = _block(x, f"block_{index}", stage, strides=1 if repeat else stage.strides)
            index += 1
    x = _normalise(_convolve(x, _HEAD_FILTERS, 1, "head_conv"), "head_norm")
    x = _activate(x, "head")
    if with_top:
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
        x = keras.layers.Dense(_IMAGENET_CLASSES, "softmax", kernel_initializer="zeros", name="top")(x)
    return keras.Model(pixels, x, name=name)


def _scaled_stages(scaling: _Scaling) -> Iterator[_Stage]:
    for index, stage in enumerate(_STAGES):
        is_scaled = 0 < index < len(_STAGES) - 1
        repeats = math.ceil(stage.repeats * scaling.depth) if is_scaled else stage.repeats
        yield replace(stage, repeats=repeats, filters=_round_filters(stage.filters * scaling.width))


def _round_filters(filters: float) -> int:
    """Returns the nearest multiple of 8 that is not more than a tenth below."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def _block(x: keras.KerasTensor, name: str, stage: _Stage, *, strides: int) -> keras.KerasTensor:
    """Adds an inverted residual block. A layer of its name holds its output and no weights, whatever its form."""
    filters = x.shape[-1]
    shortcut = x
    if stage.expansion > 1:
        x = _convolve(x, filters * stage.expansion, 1, f"{name}_expand_conv")
        x = _activate(_normalise(x, f"{name}_expand_norm"), f"{name}_expand")
    x = keras.layers.DepthwiseConv2D(
        stage.kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        depthwise_initializer="zeros",
        name=f"{name}_depthwise_conv",
    )(x)
    x = _activate(_normalise(x, f"{name}_depthwise_norm"), f"{name}_depthwise")
    x = _normalise(_convolve(x, stage.filters, 1, f"{name}_project_conv"), f"{name}_project_norm")
    if strides == 1 and filters == stage.filters:
        return keras.layers.Add(name=name)([shortcut, x])
    return keras.layers.Identity(name=name)(x)


def _convolve(
    x: keras.KerasTensor, filters: int, kernel_size: int, name: str, *, strides: int = 1
) -> keras.KerasTensor:
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding="same",
        use_bias=False,
        kernel_initializer="zeros",
        name=name,
    )(x)


def _normalise(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.BatchNormalization(epsilon=1e-3, name=name)(x)


def _activate(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    return keras.layers.Activation("relu6", name=name)(x)


def assign_torch_weights(model: keras.Model, tensors: Mapping[str, np.ndarray]) -> None:
    """Gives a network, with its top or without, the weights that `read_packaged_weights` returns for its name."""
    for layer in model.layers:
        if not layer.weights:
            continue
        name = _torch_name(layer.name)
        if layer.name.endswith("_norm"):
            parts = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([tensors[f"{name}.{part}"] for part in parts])
        elif layer.name.endswith("depthwise_conv"):
            layer.set_weights([tensors[f"{name}.weight"].transpose(2, 3, 0, 1)])
        elif layer.name.endswith("_conv"):
            layer.set_weights([tensors[f"{name}.weight"].transpose(2, 3, 1, 0)])
        else:
            layer.set_weights([tensors[f"{name}.weight"].T, tensors[f"{name}.bias"]])


def _torch_name(layer_name: str) -> str:
    if layer_name.startswith("block_"):
        _, index, part = layer_name.split("_", 2)
        return f"_blocks.{index}.{_TORCH_NAMES[part]}"
    return _TORCH_NAMES[layer_name]
