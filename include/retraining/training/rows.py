"""The rows that candidates are fitted on and chosen by: the train and the validation split, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from include.retraining.artifacts import EmbeddingRecord, SnapshotRecord
from include.retraining.dataset.kinship import kin
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.features import read_features, read_train_features
from include.retraining.run import Run


@dataclass(frozen=True, eq=False)
class Rows:
    """Train rows, first those of the images and then those of their augmented views; then validation rows.

    Attributes:
        X: Vectors as the extractor made them, shape `(n_rows, n_features)`, float32.
        y: Class ids in the order of `labels`, shape `(n_rows,)`, int64.
        row_ids: An image id, or `<image id>#<view>`, likewise.
        kin: Equal for rows of one image, of one group or of near-duplicates; shape `(n_rows,)`, int64.
        is_view: Whether a row is an augmented view, shape `(n_rows,)`, bool.
        n_train: Rows of the train split; all that follow are of the validation split.
        labels: Class names.
    """

    X: np.ndarray
    y: np.ndarray
    row_ids: np.ndarray
    kin: np.ndarray
    is_view: np.ndarray
    n_train: int
    labels: tuple[str, ...]

    @property
    def is_train(self) -> np.ndarray:
        """Whether a row is of the train split, shape `(n_rows,)`, bool."""
        is_train: np.ndarray = np.arange(len(self.y)) < self.n_train
        return is_train

    @property
    def names(self) -> np.ndarray:
        """Class names by row, shape `(n_rows,)`."""
        names: np.ndarray = np.array(self.labels)[self.y]
        return names


def read_rows(run: Run, snapshot: SnapshotRecord, embeddings: EmbeddingRecord) -> Rows:
    """Returns the rows of a frozen dataset, each split by image id; vectors of test images are not read.

    Raises:
        ArtifactIntegrityError: If a vector is not stored in the bytes that were published.
    """
    everything = read_snapshot(run.store, snapshot.uri)
    train, validation = rows_of(everything, "train"), rows_of(everything, "validation")
    features = read_train_features(run.store, embeddings, list(train["image_id"]))
    X_validation = read_features(run.store, embeddings, list(validation["image_id"]))
    images = pd.concat([train, validation], ignore_index=True)
    image = np.concatenate([features.image, len(train) + np.arange(len(validation))])
    kinship = kin(images, near_duplicate_bits=run.config.dataset.near_duplicate_bits)
    is_view = np.zeros(len(image), dtype=bool)
    is_view[len(train) : len(features.X)] = True
    return Rows(
        X=np.concatenate([features.X, X_validation]),
        y=class_ids(images, run.config.labels)[image],
        row_ids=np.concatenate([features.row_ids, validation["image_id"].to_numpy()]),
        kin=np.unique(kinship, return_inverse=True)[1][image],
        is_view=is_view,
        n_train=len(features.X),
        labels=run.config.labels,
    )


def class_ids(rows: pd.DataFrame, labels: tuple[str, ...]) -> np.ndarray:
    """Returns the class ids of rows, shape `(n_samples,)`, int64, in the order of the recipe's labels."""
    ids: np.ndarray = pd.Index(labels).get_indexer(rows["label"]).astype(np.int64)
    return ids
