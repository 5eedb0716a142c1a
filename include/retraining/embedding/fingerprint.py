"""What decides the numbers of a vector, and its digest: vectors of one fingerprint are comparable, others are not.

Light on purpose: planning which vectors are missing needs no network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from importlib import metadata

from include.retraining.artifacts import Weights
from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.networks.architectures import ARCHITECTURES
from include.retraining.pictures import DECODING

RESIZING = "bilinear antialiased, without cropping"


def fingerprint_components(config: EmbeddingConfig, weights: Weights) -> dict[str, str]:
    """Returns what decides the numbers of a vector, without loading a network.

    The batch size is not in it, since it changes no vector (see `Extractor`); nor are the processor and the runtime,
    which may change last bits: the golden images (`golden.py`) hold every worker to a tolerance.
    """
    architecture = ARCHITECTURES[config.extractor]
    return {
        "architecture": config.extractor,
        "weights": weights.sha256,
        "decoding": DECODING,
        "resizing": RESIZING,
        "image_size": str(config.image_size),
        "preprocessing": architecture.preprocessing,
        "layers": ",".join(config.layers or architecture.layers),
        "pooling": config.pooling,
        "normalisation": config.normalisation,
        "precision": config.precision,
        "stored_as": config.stored_as,
        "keras": metadata.version("keras"),
        "tensorflow": metadata.version("tensorflow"),
    }


def view_components(components: Mapping[str, str], config: EmbeddingConfig, view: int) -> dict[str, str]:
    """Returns what decides the numbers of the vectors of one augmented view, from 1."""
    changes = json.dumps(config.augmentation.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
    return {**components, "augmentation": changes, "view": str(view)}


def fingerprint(components: Mapping[str, str]) -> str:
    """Returns the first 16 hexadecimal digits of the sha256 of the components as canonical JSON."""
    canonical = json.dumps(dict(components), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
