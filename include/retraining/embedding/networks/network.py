"""The network of an extractor: pixels become the pooled outputs of the layers that the recipe names.

How images of any size come to its input is in `extractor.py`.
"""

from __future__ import annotations

import difflib
import logging

import keras

from include.retraining.artifacts import Weights
from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.networks.architectures import ARCHITECTURES, check_image_size
from include.retraining.embedding.networks.backbones import build_backbone, load_weights
from include.retraining.errors import ConfigurationError
from include.retraining.storage.base import ObjectStore

logger = logging.getLogger(__name__)

_POOLING = {
    "average": keras.layers.GlobalAveragePooling2D,
    "max": keras.layers.GlobalMaxPooling2D,
    "flatten": keras.layers.Flatten,
}


def build_network(
    store: ObjectStore, config: EmbeddingConfig, weights: Weights, *, device: str | None = None
) -> keras.Model:
    """Returns the network that a recipe asks for, in its precision.

    Args:
        store: Holds the file of weights where they are one.
        config: Which layers, their pooling, and whether vectors have length 1.
        weights: Of the network, as `weights_of` or a fine-tuning names them.
        device: Which keeps them, such as `cpu:0`; None: Keras's own choice.

    Returns:
        A model of built-in layers from RGB pixels in [0, 255], float32 of shape `(n, size, size, 3)`, to float32
        vectors `(n, n_features)`: the pooled outputs of the layers, concatenated in their order.

    Raises:
        ConfigurationError: If images are too small for it, a layer is unknown, or weights cannot be had or do not fit.
        ArtifactIntegrityError: If the weights are not those that their sha256 names.
    """
    check_image_size(config)
    backbone = build_backbone(config.extractor, config.image_size, precision=config.precision, device=device)
    maps = [_feature_map(backbone, name) for name in config.layers or ARCHITECTURES[config.extractor].layers]
    load_weights(store, backbone, config.extractor, weights)
    pooled = [_POOLING[config.pooling](dtype="float32", name=f"{name}_pool")(x) for name, x in maps]
    vector = keras.layers.Concatenate(dtype="float32", name="vector")(pooled) if len(pooled) > 1 else pooled[0]
    if config.pooling == "flatten":
        _warn_of_size(config, vector.shape[-1])
    if config.normalisation == "l2":
        vector = keras.layers.UnitNormalization(dtype="float32", name="unit_length")(vector)
    return keras.Model(backbone.input, vector, name=config.extractor)


def layer_names(extractor: str) -> list[str]:
    """Returns the layers that a recipe can name for an extractor: those whose output is a feature map, in order."""
    return _maps_of(build_backbone(extractor, ARCHITECTURES[extractor].minimum_size))


def _maps_of(backbone: keras.Model) -> list[str]:
    # A model inside the model, as ConvNeXt has, has no output of its own in the outer one.
    layers = [it for it in backbone.layers if not isinstance(it, keras.Model | keras.layers.InputLayer)]
    return [layer.name for layer in layers if len(layer.output.shape) == 4]


def _feature_map(backbone: keras.Model, name: str) -> tuple[str, keras.KerasTensor]:
    names = _maps_of(backbone)
    if name not in names:
        close = ", ".join(difflib.get_close_matches(name, names, n=5, cutoff=0.5)) or ", ".join(names[-5:])
        module, extractor = __name__, backbone.name
        raise ConfigurationError(
            "embedding.layers",
            f"{extractor} has no layer {name!r} with a feature map; it has {close} and others, {len(names)} in all",
            f"Name some of them; `python -c \"from {module} import layer_names; print(*layer_names('{extractor}'))\"` "
            "prints all",
        )
    return name, backbone.get_layer(name).output


def _warn_of_size(config: EmbeddingConfig, n_features: int) -> None:
    item_bytes = 2 if config.stored_as == "float16" else 4
    logger.warning(
        "flattened features are large extractor=%s layers=%d features_per_image=%d bytes_per_1000_images=%d; "
        "`pooling: average` keeps a number a channel",
        config.extractor,
        len(config.layers or ARCHITECTURES[config.extractor].layers),
        n_features,
        1000 * n_features * item_bytes,
    )
