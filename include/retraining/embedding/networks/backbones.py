"""Builds every network by its name, from pixels to its last feature map, and gives it weights.

What is made of the feature maps is in `network.py`; where ImageNet weights come from is in `imagenet_weights.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from functools import partial

import keras
import numpy as np

from include.retraining.artifacts import Weights
from include.retraining.config import Precision
from include.retraining.embedding.networks.architectures import ARCHITECTURES
from include.retraining.embedding.networks.efficientnet_lite import assign_torch_weights, build_efficientnet_lite
from include.retraining.embedding.networks.imagenet_weights import PACKAGES, download_of, read_packaged_weights
from include.retraining.embedding.networks.preprocessing import IMAGENET_MEAN, IMAGENET_STD, preprocess
from include.retraining.embedding.networks.weight_files import download, load_hdf5, read_weights_file, to_hdf5
from include.retraining.embedding.networks.weights import IMAGENET, RANDOM
from include.retraining.storage.base import ObjectStore

SEED = 0
"""Of the random start that `weights: none` means."""

_KERAS_MODELS: Mapping[str, Callable[..., keras.Model]] = {
    "resnet50": keras.applications.ResNet50,
    "resnet50_v2": keras.applications.ResNet50V2,
    "inception_v3": keras.applications.InceptionV3,
    "xception": keras.applications.Xception,
    "mobilenet_v2": keras.applications.MobileNetV2,
    "mobilenet_v3_small": partial(keras.applications.MobileNetV3Small, include_preprocessing=False),
    "mobilenet_v3_large": partial(keras.applications.MobileNetV3Large, include_preprocessing=False),
    "efficientnet_b0": keras.applications.EfficientNetB0,
    "efficientnet_v2_b0": partial(keras.applications.EfficientNetV2B0, include_preprocessing=False),
    "convnext_tiny": partial(keras.applications.ConvNeXtTiny, include_preprocessing=False),
    "densenet121": keras.applications.DenseNet121,
    "vgg16": keras.applications.VGG16,
}
# EfficientNetB0 cannot be built without its own layers for it, which hold their constants as weights.
_PREPROCESSES_ITSELF = "efficientnet_b0"


def build_backbone(
    name: str, image_size: int, *, precision: Precision = "float32", device: str | None = None
) -> keras.Model:
    """Returns a network with a random start, the same each time and on every backend of Keras.

    Args:
        name: A key of `ARCHITECTURES`.
        image_size: Height and width of its input, in pixels; not below the architecture's minimum.
        precision: `mixed` computes in float16 from after the preprocessing to the feature maps; weights are float32.
        device: Which keeps the weights, such as `cpu:0`; None: Keras's own choice.

    Returns:
        A model of built-in layers from RGB pixels in [0, 255], float32, shape `(n, image_size, image_size, 3)`, to its
        last feature map, shape `(n, height, width, channels)`. Its layers have the names that Keras gives them in a
        fresh process, whatever was built before.
    """
    # Keras counts names by thread, and keeps the dtype policy and the device by thread: in a thread of its own names
    # start anew, and no global setting is left behind.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(_build, name, image_size, precision, device).result()


def load_weights(store: ObjectStore, backbone: keras.Model, name: str, weights: Weights) -> None:
    """Gives a network of `build_backbone` its weights.

    Args:
        store: Holds the file of weights where the source names an object.
        backbone: Keeps its random start where the source is `none`.
        name: Of the network, a key of `ARCHITECTURES`.
        weights: Which.

    Raises:
        ConfigurationError: If ImageNet weights cannot be had, or a file is out of reach or of another network.
        ArtifactIntegrityError: If a file has another sha256; nothing of it is read then.
    """
    if weights.source == RANDOM:
        return
    if weights.source != IMAGENET:
        load_hdf5(backbone, read_weights_file(store, weights), weights.source)
    elif name in PACKAGES:
        assign_torch_weights(backbone, read_packaged_weights(name))
    else:
        file = download_of(name, backbone.input_shape[1])
        load_hdf5(backbone, download(file), file.url)
    _set_own_preprocessing(backbone)


def save_weights(backbone: keras.Model) -> bytes:
    """Returns the weights as the bytes of a `.weights.h5` that `load_weights` reads; equal weights give equal bytes."""
    return to_hdf5(backbone)


def _build(name: str, image_size: int, precision: Precision, device: str | None) -> keras.Model:
    keras.config.set_dtype_policy("mixed_float16" if precision == "mixed" else "float32")
    with nullcontext() if device is None else keras.device(device):
        model = (build_efficientnet_lite if name in PACKAGES else _build_keras_model)(name, image_size)
        _start_randomly(model)
        _set_own_preprocessing(model)
    return model


def _build_keras_model(name: str, image_size: int) -> keras.Model:
    shape = (image_size, image_size, 3)
    pixels = keras.Input(shape, dtype="float32", name="pixels")
    x = pixels if name == _PREPROCESSES_ITSELF else preprocess(pixels, ARCHITECTURES[name].preprocessing)
    model = _KERAS_MODELS[name](include_top=False, weights=None, input_tensor=x, input_shape=shape)
    return keras.Model(pixels, model.output, name=name)


def _start_randomly(model: keras.Model) -> None:
    """Draws every kernel from a normal distribution of variance 2 / fan-in (He et al., 2015, eq. 10), with NumPy."""
    rng = np.random.default_rng(SEED)
    for variable in model.weights:
        if variable.name.endswith("kernel"):
            shape = tuple(variable.shape)
            # A depthwise kernel is (height, width, channels, 1), and sums over height and width alone.
            fan_in = math.prod(shape[:2] if len(shape) == 4 and shape[-1] == 1 else shape[:-1])
            variable.assign(rng.standard_normal(shape, np.float32) / np.float32(math.sqrt(fan_in / 2)))
    generators = [layer.seed_generator for layer in model.layers if hasattr(layer, "seed_generator")]
    for index, generator in enumerate(generators):
        generator.state.assign([SEED, index])


def _set_own_preprocessing(model: keras.Model) -> None:
    """Makes EfficientNetB0's own layers standardise by ImageNet's mean and standard deviation.

    Keras's file of weights holds standard deviations for variances, and keras.applications divides by their roots once
    more in a layer that it adds for that file alone.
    """
    if model.name != _PREPROCESSES_ITSELF:
        return
    normalization = model.get_layer("normalization")
    for layer in (model.get_layer("rescaling"), normalization):
        layer.dtype_policy = keras.DTypePolicy("float32")
    normalization.set_weights([np.array(IMAGENET_MEAN), np.square(IMAGENET_STD), np.array(0)])
    normalization.finalize_state()
