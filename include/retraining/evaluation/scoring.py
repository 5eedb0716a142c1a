"""The probabilities that a model version gives to test images, from served bytes, and the thresholds between them.

Probabilities are computed once for each version and set of images.
"""

from __future__ import annotations

import io
import logging

import numpy as np
import pandas as pd

from include.retraining.dataset.images import image_refs, locality_order, read_images
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.registry import LABELS, MODEL, THRESHOLDS
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import (
    publish,
    read_manifest,
    read_manifest_if_any,
    read_published,
    sha256,
)
from include.retraining.storage.records import from_json

logger = logging.getLogger(__name__)

SCORES = "scores.npy"


def test_digest(rows: pd.DataFrame) -> str:
    """Returns a digest of test rows: their image ids and labels, in image id order."""
    lines = "".join(f"{row.image_id}\t{row.label}\n" for row in rows.itertuples(index=False))
    return sha256(lines.encode())[:16]


def version_scores(run: Run, version: str, rows: pd.DataFrame, *, expected_digest: str | None = None) -> np.ndarray:
    """Returns a version's probabilities for test images, computing them if that never happened.

    Args:
        run: Where everything is.
        version: Name of the version.
        rows: Test rows (schema `SNAPSHOT`) in image id order.
        expected_digest: Content digest that the version must have; None to take its manifest's word.

    Returns:
        Shape `(n_rows, n_classes)`, float32, columns in the order of the run's recipe.

    Raises:
        ArtifactIntegrityError: If the version is not whole, is not the one expected.
        ConfigurationError: If it knows other labels than the recipe.
    """
    prefix = layout.version(run.classifier, version)
    manifest = read_manifest(run.store, prefix)
    if expected_digest not in (None, manifest.digest):
        raise ArtifactIntegrityError(
            uri_of(run.store, prefix), f"content {expected_digest}", f"content {manifest.digest}"
        )
    _require_labels(run, prefix)
    # The key holds the model's own digest, so that scores of another model under the same name are never taken.
    scores = layout.evaluation(run.classifier, f"{version}-{manifest.digest[:12]}", test_digest(rows))
    if read_manifest_if_any(run.store, scores) is None:
        publish(run.store, scores, {SCORES: _to_npy(_predict(run, prefix, rows))})
    else:
        logger.info("scores of version %s on these test rows are stored already", version)
    stored: np.ndarray = np.load(io.BytesIO(read_published(run.store, scores, SCORES)), allow_pickle=False)
    return stored


def version_thresholds(run: Run, version: str) -> np.ndarray | None:
    """Returns the thresholds that a version decides by.

    Returns:
        Shape `(n_classes,)`, float64, in the order of the run's recipe; None: the most probable class is predicted.

    Raises:
        ArtifactIntegrityError: If the version is not whole, or they are not a positive number for each label.
    """
    prefix = layout.version(run.classifier, version)
    if THRESHOLDS not in read_manifest(run.store, prefix).files:
        return None
    uri = uri_of(run.store, f"{prefix}{THRESHOLDS}")
    by_label = from_json(dict[str, float], read_published(run.store, prefix, THRESHOLDS), uri)
    values = list(by_label.values())
    if set(by_label) != set(run.config.labels) or not (np.isfinite(values).all() and min(values) > 0):
        raise ArtifactIntegrityError(uri, f"a positive number for each of {list(run.config.labels)}", str(by_label))
    return np.array([by_label[label] for label in run.config.labels])


def _predict(run: Run, prefix: str, rows: pd.DataFrame) -> np.ndarray:
    from include.retraining.training.inference import predict_proba  # both load TensorFlow: seconds
    from include.retraining.training.keras_file import from_bytes

    refs = locality_order(image_refs(run.store, run.classifier, rows))
    by_id = dict(zip((ref.image_id for ref in refs), read_images(run.store, refs), strict=True))
    images = [by_id[image_id] for image_id in rows["image_id"]]
    return predict_proba(from_bytes(read_published(run.store, prefix, MODEL)), images)


def _require_labels(run: Run, prefix: str) -> None:
    uri = uri_of(run.store, f"{prefix}{LABELS}")
    labels = from_json(tuple[str, ...], read_published(run.store, prefix, LABELS), uri)
    if labels != run.config.labels:
        raise ConfigurationError(
            f"classifier {run.classifier}, key labels",
            f"the recipe has {list(run.config.labels)}, {uri} has {list(labels)}: they cannot be compared",
            "Take the labels back, or give the changed classifier a name of its own",
        )


def _to_npy(scores: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, scores, allow_pickle=False)
    return sink.getvalue()
