"""What a result depends on beside its data: the code, the recipe with its seeds, and the libraries."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

from include.retraining.config import ClassifierConfig

# They read what the stages left, and change no model.
SHOW_ONLY = ("reporting", "command_line", "label_quality", "reconstruction")
LIBRARIES = ("numpy", "scikit-learn", "imbalanced-learn", "keras", "tensorflow", "pillow")


@cache
def code_digest() -> str:
    """Returns the sha256 over the source files that can change a model, in the order of their paths."""
    root = Path(__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        if path.relative_to(root).parts[0] in SHOW_ONLY:
            continue
        digest.update(f"{path.relative_to(root)}\x00".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def config_digest(config: ClassifierConfig) -> str:
    """Returns the sha256 of a recipe, whatever the order and the comments of its YAML."""
    canonical = json.dumps(config.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()


@cache
def environment_digest() -> str:
    """Returns the sha256 of `requirements.txt`, the lock of every package, beside `include/`; empty where it is not."""
    lock = Path(__file__).parents[2] / "requirements.txt"
    return hashlib.sha256(lock.read_bytes()).hexdigest() if lock.is_file() else ""


def seeds(config: ClassifierConfig) -> dict[str, int]:
    """Returns the seeds that a recipe gives to balancing, training and evaluation."""
    return {
        "balancing": config.balancing.seed,
        "training": config.training.seed,
        "evaluation": config.evaluation.seed,
    }


def library_versions() -> dict[str, str]:
    """Returns the installed versions of the libraries that change numbers."""
    return {name: version(name) for name in LIBRARIES}
