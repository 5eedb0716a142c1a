"""Which weights a recipe means, and their digest, without loading a network. What loads them is in `backbones.py`."""

from __future__ import annotations

from include.retraining.artifacts import Weights
from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.networks.imagenet_weights import imagenet_digest

IMAGENET = "imagenet"
RANDOM = "none"


def weights_of(config: EmbeddingConfig) -> Weights:
    """Returns the weights that a recipe names."""
    if config.weights_sha256 is not None:
        return Weights(config.weights, config.weights_sha256)
    if config.weights == RANDOM:
        return Weights(RANDOM, "random, seed 0")
    return Weights(IMAGENET, imagenet_digest(config.extractor, config.image_size))
