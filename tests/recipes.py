"""Recipes as files, for what reads a folder of them."""

from __future__ import annotations

from pathlib import Path

import yaml

from include.retraining.config import ClassifierConfig


def write_recipe(directory: Path, config: ClassifierConfig) -> Path:
    """Writes a recipe as a YAML file; returns its path."""
    path = directory / f"{config.name}.yaml"
    path.write_text(yaml.safe_dump(config.model_dump(mode="json")), encoding="utf-8")
    return path
