"""What decides the numbers of a vector, and its digest: vectors of one fingerprint are comparable, others are not.

Light on purpose: planning which vectors are missing needs no network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata

from include.retraining.config import EmbeddingConfig
from include.retraining.embedding import imagenet_weights
from include.retraining.pictures import DECODING

PREPROCESSING = "bilinear antialiased resize without cropping, (x - 127) / 128"
POOLING = "global average"


def fingerprint_components(config: EmbeddingConfig) -> dict[str, str]:
    """Returns what decides the numbers of a vector, without loading a network.

    The batch size is not in it, since it changes no vector (see `Extractor`); nor is the processor, which may change a
    last bit.
    """
    return {
        "architecture": config.extractor,
        "weights_sha256": imagenet_weights.SHA256,
        "decoding": DECODING,
        "preprocessing": PREPROCESSING,
        "image_size": str(config.image_size),
        "layers": ",".join(config.layers),
        "pooling": POOLING,
        "keras": metadata.version("keras"),
        "tensorflow": metadata.version("tensorflow"),
    }


def fingerprint(components: Mapping[str, str]) -> str:
    """Returns the first 16 hexadecimal digits of the sha256 of the components as canonical JSON."""
    canonical = json.dumps(dict(components), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
