"""A dataset whose vectors say all about its images: two lamps, each as bright as one of the numbers."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from include.retraining.artifacts import EmbeddingRecord, SnapshotRecord
from include.retraining.config import ClassifierConfig
from include.retraining.run import Run
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256
from tests.builders import LABELS, make_config, make_run
from tests.datasets import publish_snapshot, split_rows, store_vectors

COUNTS = {
    "train": {"daisy": 24, "poppy": 8, "orchid": 3},
    "validation": dict.fromkeys(LABELS, 4),
    "test": dict.fromkeys(LABELS, 2),
}
N_FEATURES = 4


def recipe(**changes: Any) -> ClassifierConfig:
    return make_config(balancing={"reconstruct": True, "seed": 0, **changes})


def dataset(
    config: ClassifierConfig | None = None,
    counts: Mapping[str, Mapping[str, int]] = COUNTS,
    *,
    store: InMemoryStore | None = None,
    side: int = 28,
) -> tuple[Run, SnapshotRecord, EmbeddingRecord]:
    """A run with pictures, a snapshot of them, and vectors of its train and validation images; of no test image."""
    run = make_run(store, config or recipe())
    rows = split_rows(counts)
    vectors = brightness(rows)
    lit = [{**row, "bytes_sha256": _put(run, row, vector, side)} for row, vector in zip(rows, vectors, strict=True)]
    seen = [index for index, row in enumerate(rows) if row["split"] != "test"]
    embedding = store_vectors(run, [rows[index] for index in seen], vectors[seen])
    return run, publish_snapshot(run, lit), embedding


def brightness(rows: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Vectors in [0, 1): around another brightness for each label."""
    centres = [list(LABELS).index(row["label"]) for row in rows]
    noise = [np.random.default_rng(int(row["image_id"][:8], 16)).random(N_FEATURES) for row in rows]
    return (0.25 * np.array(centres)[:, np.newaxis] + 0.5 * np.array(noise)).astype(np.float32)


def lamp(vector: np.ndarray, side: int = 28) -> np.ndarray:
    """The image that a vector tells of: its left half as bright as the first number, its right as the second."""
    image = np.empty((side, side, 3), np.uint8)
    image[:, : side // 2], image[:, side // 2 :] = (np.clip(vector[:2], 0, 1) * 255).astype(np.uint8)
    return image


def _put(run: Run, row: Mapping[str, Any], vector: np.ndarray, side: int) -> str:
    sink = io.BytesIO()
    Image.fromarray(lamp(vector, side)).save(sink, "PNG")
    run.store.put(row["key"], sink.getvalue())
    return sha256(sink.getvalue())
