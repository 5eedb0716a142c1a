"""The vectors of a snapshot as later stages read them: projected where the recipe asks, with views of train images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from include.retraining.artifacts import EmbeddingRecord
from include.retraining.embedding.projection import read_projection
from include.retraining.embedding.store.vectors import read_vectors
from include.retraining.storage.base import ObjectStore

VIEW_MARK = "#"


@dataclass(frozen=True)
class TrainFeatures:
    """The vectors to train on: those of the images first, then those of each view, in the same order.

    Attributes:
        X: Shape `(n_images × (1 + n_views), n_features)`, float32.
        row_ids: An id a row: the image's own, or `<image id>#<view>` for a view.
        image: Position of each row's image among the images asked for.
    """

    X: np.ndarray
    row_ids: np.ndarray
    image: np.ndarray


def read_features(store: ObjectStore, embeddings: EmbeddingRecord, image_ids: Sequence[str]) -> np.ndarray:
    """Returns the vectors of images in the order asked for, shape `(n_images, n_features)`, float32.

    Raises:
        ArtifactIntegrityError: If a vector is not stored in the bytes that were published.
    """
    return _project(store, embeddings, [read_vectors(store, embeddings.extractor.fingerprint, image_ids)])[0]


def read_train_features(store: ObjectStore, embeddings: EmbeddingRecord, image_ids: Sequence[str]) -> TrainFeatures:
    """Returns the vectors of train images and of their augmented views; raises as `read_features` does."""
    fingerprints = (embeddings.extractor.fingerprint, *embeddings.view_fingerprints)
    vectors = _project(store, embeddings, [read_vectors(store, it, image_ids) for it in fingerprints])
    ids = [[image_id, *(f"{image_id}{VIEW_MARK}{view}" for view in range(1, len(vectors)))] for image_id in image_ids]
    return TrainFeatures(
        X=np.concatenate(vectors) if len(vectors) > 1 else vectors[0],
        row_ids=np.array(ids, dtype=object).T.reshape(-1),
        image=np.tile(np.arange(len(image_ids)), len(vectors)),
    )


def image_of(row_id: str) -> str:
    """Returns the id of the image that a row belongs to.

    Example:
        >>> image_of("ab12#3")
        'ab12'
    """
    return row_id.partition(VIEW_MARK)[0]


def _project(store: ObjectStore, embeddings: EmbeddingRecord, vectors: list[np.ndarray]) -> list[np.ndarray]:
    if not embeddings.projection_uri:
        return vectors
    projection = read_projection(store, embeddings.projection_uri)
    return [projection.transform(each) for each in vectors]
