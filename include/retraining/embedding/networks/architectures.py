"""The networks by name: right input, preprocessing and layers for each. What builds them is in `backbones.py`.

Light on purpose: planning which vectors are missing needs no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from include.retraining.config import EmbeddingConfig, ExtractorName
from include.retraining.errors import ConfigurationError

LITE = "(x - 127) / 128"
SYMMETRIC = "x / 127.5 - 1"
STANDARDISED = "(x / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)"
BGR = "x[2, 1, 0] - (103.939, 116.779, 123.68)"


@dataclass(frozen=True)
class Architecture:
    """A network that can be an extractor.

    Attributes:
        name: As the recipe names it.
        native_size: Side in pixels that it was trained with.
        minimum_size: Smallest side that it takes.
        preprocessing: What happens to RGB pixels in [0, 255] before the first convolution; part of the fingerprint.
        layers: Layers whose outputs are taken where the recipe names none.
        trained_from: First layer, or block of layers that begin with its name, that fine-tuning trains where the recipe
            names none; in the order of the network's layers.
    """

    name: ExtractorName
    native_size: int
    minimum_size: int
    preprocessing: str
    layers: tuple[str, ...]
    trained_from: str


_TABLE = (
    Architecture(
        name="efficientnet_lite0",
        native_size=224,
        minimum_size=32,
        preprocessing=LITE,
        layers=("block_4", "block_7", "block_10", "block_15", "head"),
        trained_from="block_3",
    ),
    Architecture(
        name="efficientnet_lite1",
        native_size=240,
        minimum_size=32,
        preprocessing=LITE,
        layers=("block_6", "block_10", "block_14", "block_20", "head"),
        trained_from="block_4",
    ),
    Architecture(
        name="efficientnet_lite2",
        native_size=260,
        minimum_size=32,
        preprocessing=LITE,
        layers=("block_6", "block_10", "block_14", "block_20", "head"),
        trained_from="block_4",
    ),
    Architecture(
        name="resnet50",
        native_size=224,
        minimum_size=32,
        preprocessing=BGR,
        layers=("conv5_block3_out",),
        trained_from="conv4_block1_1_conv",
    ),
    Architecture(
        name="resnet50_v2",
        native_size=224,
        minimum_size=32,
        preprocessing=SYMMETRIC,
        layers=("post_relu",),
        trained_from="conv4_block1_preact_bn",
    ),
    Architecture(
        name="inception_v3",
        native_size=299,
        minimum_size=75,
        preprocessing=SYMMETRIC,
        layers=("mixed10",),
        trained_from="mixed7",
    ),
    Architecture(
        name="xception",
        native_size=299,
        minimum_size=71,
        preprocessing=SYMMETRIC,
        layers=("block14_sepconv2_act",),
        trained_from="block9_sepconv1_act",
    ),
    Architecture(
        name="mobilenet_v2",
        native_size=224,
        minimum_size=32,
        preprocessing=SYMMETRIC,
        layers=("out_relu",),
        trained_from="block_3_expand",
    ),
    Architecture(
        name="mobilenet_v3_small",
        native_size=224,
        minimum_size=32,
        preprocessing=SYMMETRIC,
        layers=("activation_17",),
        trained_from="expanded_conv_3_expand",
    ),
    Architecture(
        name="mobilenet_v3_large",
        native_size=224,
        minimum_size=32,
        preprocessing=SYMMETRIC,
        layers=("activation_19",),
        trained_from="expanded_conv_3_expand",
    ),
    Architecture(
        name="efficientnet_b0",
        native_size=224,
        minimum_size=32,
        preprocessing=STANDARDISED,
        layers=("top_activation",),
        trained_from="block3a_expand_conv",
    ),
    Architecture(
        name="efficientnet_v2_b0",
        native_size=224,
        minimum_size=32,
        preprocessing=STANDARDISED,
        layers=("top_activation",),
        trained_from="block4a_expand_conv",
    ),
    Architecture(
        name="convnext_tiny",
        native_size=224,
        minimum_size=32,
        preprocessing=STANDARDISED,
        layers=("layer_normalization",),
        trained_from="convnext_tiny_downsampling_block_1",
    ),
    Architecture(
        name="densenet121",
        native_size=224,
        minimum_size=32,
        preprocessing=STANDARDISED,
        layers=("relu",),
        trained_from="pool3_bn",
    ),
    Architecture(
        name="vgg16",
        native_size=224,
        minimum_size=32,
        preprocessing=BGR,
        layers=("block5_pool",),
        trained_from="block4_conv1",
    ),
)

ARCHITECTURES: Mapping[str, Architecture] = {architecture.name: architecture for architecture in _TABLE}


def check_image_size(config: EmbeddingConfig) -> None:
    """Asserts that the extractor takes images of the recipe's size.

    Raises:
        ConfigurationError: If they are too small for it.
    """
    architecture = ARCHITECTURES[config.extractor]
    if config.image_size < architecture.minimum_size:
        raise ConfigurationError(
            "embedding.image_size",
            f"{config.extractor} takes images of {architecture.minimum_size} pixels or more, "
            f"and the recipe says {config.image_size}",
            f"Write {architecture.minimum_size} or more; it was trained with {architecture.native_size}",
        )
