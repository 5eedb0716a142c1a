"""The protocol of the quality benchmark: which images a fold trains on, chooses on and is scored on.

It is that of DeepSMOTE for Fashion-MNIST (Dablain, Krawczyk and Chawla, 2022, "DeepSMOTE: Fusing Deep Learning and
SMOTE for Imbalanced Data", section V): five folds over the 60,000 train images, each fold's train part thinned to
4,000 … 40 images a class, its test part left balanced. What is chosen (weight decays, best epochs, temperatures) is
chosen on images of the official test set, which no fold ever scores.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
from PIL import Image
from sklearn.model_selection import StratifiedKFold

from demo.fashion_mnist import FashionMnist
from include.retraining.artifacts import SnapshotRecord, Window
from include.retraining.config import ClassifierConfig
from include.retraining.dataset.snapshot import IMAGES
from include.retraining.dataset.splits import split_counts
from include.retraining.run import Run
from include.retraining.schemas import SNAPSHOT
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import publish, sha256
from include.retraining.storage.tables import to_parquet

FOLDS = 5
SEED = 0
TRAIN_COUNTS = (4000, 2000, 1000, 750, 500, 350, 200, 100, 60, 40)
VALIDATION_PER_CLASS = 200
DAY = date(2026, 1, 1)


@dataclass(frozen=True)
class Fold:
    """A fold's images, as positions. Train and test positions count train images, validation ones test images.

    Attributes:
        number: From 0.
        train: Long-tailed, 9,000 of them.
        validation: Balanced, of the official test set; the same in every fold.
        test: Balanced, 12,000 of them.
    """

    number: int
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def make_folds(data: FashionMnist) -> list[Fold]:
    """Returns the five folds; equal data give equal folds."""
    labels = data.train_labels
    splitter = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    validation = _draw(data.test_labels, np.arange(len(data.test_labels)), (VALIDATION_PER_CLASS,) * 10, [SEED])
    return [
        Fold(number, _draw(labels, kept, TRAIN_COUNTS, [SEED, number]), validation, test)
        for number, (kept, test) in enumerate(splitter.split(np.zeros(len(labels)), labels))
    ]


def image_ids(data: FashionMnist, fold: Fold, split: str) -> list[str]:
    """Returns the ids of a fold's images of one split, in the order of their positions."""
    prefix = "official test" if split == "validation" else "train"
    return [sha256(f"{prefix} {position}".encode()) for position in getattr(fold, split)]


def labels_of(data: FashionMnist, fold: Fold, split: str) -> np.ndarray:
    """Returns the class ids of a fold's images of one split, shape `(n_images,)`, int64."""
    source = data.test_labels if split == "validation" else data.train_labels
    ids: np.ndarray = source[getattr(fold, split)].astype(np.int64)
    return ids


def pixels_of(data: FashionMnist, fold: Fold, split: str) -> np.ndarray:
    """Returns the pixels of a fold's images of one split as rows in [0, 1], shape `(n_images, 784)`, float32."""
    source = data.test_images if split == "validation" else data.train_images
    pixels: np.ndarray = (source[getattr(fold, split)].reshape(-1, 28 * 28) / 255).astype(np.float32)
    return pixels


def put_images(store: ObjectStore, data: FashionMnist, folds: list[Fold]) -> dict[str, str]:
    """Puts every image that a fold needs as a PNG file; returns the digest of each by image id."""
    digests: dict[str, str] = {}
    for fold in folds:
        for split in ("train", "validation", "test"):
            source = data.test_images if split == "validation" else data.train_images
            for image_id, position in zip(image_ids(data, fold, split), getattr(fold, split), strict=True):
                if image_id not in digests:
                    digests[image_id] = _put(store, image_id, source[position])
    return digests


def freeze_fold(
    store: ObjectStore, config: ClassifierConfig, data: FashionMnist, fold: Fold, digests: dict[str, str]
) -> tuple[Run, str]:
    """Publishes a fold as a frozen dataset of a classifier of its own; returns its run and the record's URI."""
    config = config.model_copy(update={"name": f"{config.name}_fold_{fold.number}"})
    frames = []
    for split in ("train", "validation", "test"):
        ids = image_ids(data, fold, split)
        names = [config.labels[class_id] for class_id in labels_of(data, fold, split)]
        frames.append(pd.DataFrame({"image_id": ids, "label": names, "split": split}))
    rows = pd.concat(frames, ignore_index=True).sort_values("image_id")
    rows = rows.assign(
        key=[_key(image_id) for image_id in rows["image_id"]],
        bytes_sha256=[digests[image_id] for image_id in rows["image_id"]],
        perceptual_hash="",
        group="",
        date=DAY,
        attributes="",
    )
    body = to_parquet(rows[SNAPSHOT.names], SNAPSHOT)
    prefix = layout.snapshot(config.name, sha256(body)[:16])
    publish(store, prefix, {IMAGES: body})
    end = datetime(2026, 1, 2, tzinfo=UTC)
    record = SnapshotRecord(
        uri=uri_of(store, prefix),
        digest=sha256(body)[:16],
        window_end=end,
        counts=split_counts(rows, config.labels),
        batch_uris={},
        conflicts=0,
        near_duplicate_clusters=0,
    )
    run = Run(config, store, Window(datetime(2026, 1, 1, tzinfo=UTC), end), "quality", end)
    return run, run.record("snapshot.json", record)


def _draw(labels: np.ndarray, among: np.ndarray, counts: tuple[int, ...], seed: list[int]) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drawn = [
        rng.choice(among[labels[among] == class_id], count, replace=False) for class_id, count in enumerate(counts)
    ]
    return np.sort(np.concatenate(drawn))


def _put(store: ObjectStore, image_id: str, pixels: np.ndarray) -> str:
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    store.put(_key(image_id), sink.getvalue())
    return sha256(sink.getvalue())


def _key(image_id: str) -> str:
    return f"incoming/quality/{image_id}.png"
