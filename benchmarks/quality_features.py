"""The features that the quality benchmark compares, made by the project's own embedding stage and kept in a cache.

`python -m benchmarks.quality_features KIND FOLD` makes those of one fold: fine-tuning takes minutes each.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality_protocol import (
    Fold,
    freeze_fold,
    image_ids,
    labels_of,
    make_folds,
    pixels_of,
    put_images,
)
from benchmarks.results import REPOSITORY
from demo import fashion_mnist
from demo.fashion_mnist import FashionMnist
from include.retraining.artifacts import EmbeddingRecord
from include.retraining.config import ClassifierConfig, load_classifier
from include.retraining.embedding.features import read_features
from include.retraining.lineage import library_versions
from include.retraining.pipeline import embed
from include.retraining.storage.memory import InMemoryStore

CACHE = REPOSITORY / ".cache" / "quality"
SPLITS = ("train", "validation", "test")
EVERY_RUN = {"occasion": {"when": "every_runs", "runs": 1}}  # all else as FineTuneConfig has it
KINDS: dict[str, dict[str, Any] | None] = {
    "pixels": None,
    "frozen": {"embedding": {}},
    "fine-tuned": {"embedding": {}, "fine_tune": EVERY_RUN},
    # A random start needs longer and all layers; 64 pixels, since nothing in it was made for larger ones.
    "from scratch": {
        "embedding": {"weights": "none", "image_size": 64},
        "fine_tune": {**EVERY_RUN, "trained_from": "all", "epochs": 16},
    },
}
"""Changes of the demo's recipe by kind of features; none for raw pixels."""


@dataclass(frozen=True)
class Features:
    """A fold's rows by split.

    Attributes:
        X: Vectors by split, float32.
        y: Class ids by split.
        ids: Image ids by split.
    """

    X: dict[str, np.ndarray]
    y: dict[str, np.ndarray]
    ids: dict[str, np.ndarray]


def recipe_of(kind: str) -> ClassifierConfig:
    """Returns the demo's recipe with the changes of a kind of features."""
    document = load_classifier("fashion_mnist").model_dump(mode="json")
    changes = KINDS[kind] or {}
    document["embedding"] |= changes.get("embedding", {})
    document["fine_tune"] = changes.get("fine_tune")
    return ClassifierConfig.model_validate(document)


def fold_features(data: FashionMnist, kind: str, fold: Fold) -> Features:
    """Returns a fold's features of one kind: from the cache, or made now."""
    y = {split: labels_of(data, fold, split) for split in SPLITS}
    ids = {split: np.array(image_ids(data, fold, split)) for split in SPLITS}
    if kind == "pixels":
        return _sorted(Features({split: pixels_of(data, fold, split) for split in SPLITS}, y, ids))
    path = CACHE / f"{kind.replace(' ', '-')}-{fold.number}-{_digest(data, kind, fold)}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.npz")
        np.savez(partial, **_made(data, kind, fold))  # type: ignore[arg-type]
        partial.rename(path)
    with np.load(path, allow_pickle=False) as kept:
        return _sorted(Features({split: kept[split] for split in SPLITS}, y, ids))


def _made(data: FashionMnist, kind: str, fold: Fold) -> dict[str, np.ndarray]:
    store = InMemoryStore()
    run, snapshot_uri = freeze_fold(store, recipe_of(kind), data, fold, put_images(store, data, [fold]))
    record = run.load(embed(run, snapshot_uri, lambda *_: None), EmbeddingRecord)
    return {split: read_features(store, record, image_ids(data, fold, split)) for split in SPLITS}


def _sorted(features: Features) -> Features:
    """Returns the rows of every split in image id order, as the pipeline has them."""
    order = {split: np.argsort(features.ids[split]) for split in SPLITS}
    return Features(
        *({split: values[split][order[split]] for split in SPLITS} for values in (features.X, features.y, features.ids))
    )


def _digest(data: FashionMnist, kind: str, fold: Fold) -> str:
    """Returns a digest of what decides the features: images, recipe, source of the embedding stage, libraries."""
    recipe = recipe_of(kind)
    digest = hashlib.sha256()
    asked = {
        "embedding": recipe.embedding.model_dump(mode="json"),
        "fine_tune": recipe.fine_tune and recipe.fine_tune.model_dump(mode="json"),
        "versions": library_versions(),
    }
    digest.update(json.dumps(asked, sort_keys=True).encode())
    for split in SPLITS:
        digest.update(pixels_of(data, fold, split).tobytes() + labels_of(data, fold, split).tobytes())
    for path in sorted(_embedding_sources()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _embedding_sources() -> list[Path]:
    return list((REPOSITORY / "include" / "retraining" / "embedding").rglob("*.py"))


def main(arguments: list[str]) -> int:
    """Makes the features of one kind and fold, or of all."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    data = fashion_mnist.load(fashion_mnist.cache_directory())
    kinds = arguments[:1] or list(KINDS)
    for kind in kinds:
        for fold in make_folds(data):
            if len(arguments) < 2 or fold.number == int(arguments[1]):
                features = fold_features(data, kind, fold)
                print(f"{kind}, fold {fold.number}: {[features.X[split].shape for split in SPLITS]}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
