"""The probabilities that a model version gives to test images, from served bytes, and the thresholds between them.

Probabilities are computed once for each version and set of images. The bytes that they come from are read and compared
every time all the same: a version that was damaged since cannot be served, whatever it once said.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import pandas as pd

from include.retraining.artifacts import Lineage
from include.retraining.dataset.images import image_refs, locality_order, read_images
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.evaluation.kept import kept_once
from include.retraining.evaluation.verified import VerifiedVersion, verify
from include.retraining.registry import LABELS, LINEAGE, MODEL, THRESHOLDS
from include.retraining.run import Run
from include.retraining.storage.arrays import from_npy
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import sha256
from include.retraining.storage.records import from_json

SCORES = "scores.npy"
SUMS_TO = 0.01  # how far from 1 the probabilities of a row may sum: 16 bits are coarse


@dataclass(frozen=True, eq=False)
class OpenVersion:
    """A version of which every file that decides its predictions was read, and is what was published.

    Attributes:
        files: The others, compared when they are read.
        model: Its Keras file.
        thresholds: Shape `(n_classes,)`, float64, in the order of the run's recipe; None: the most probable class is
            predicted.
        lineage: What it was made from.
    """

    files: VerifiedVersion
    model: bytes
    thresholds: np.ndarray | None
    lineage: Lineage

    @property
    def name(self) -> str:
        """Its name."""
        return self.files.name

    @property
    def model_uri(self) -> str:
        """Its Keras file: what an error names that lies in the model alone."""
        return self.files.uri(MODEL)


def test_digest(rows: pd.DataFrame) -> str:
    """Returns a digest of test rows: their image ids and labels, in image id order."""
    lines = "".join(f"{row.image_id}\t{row.label}\n" for row in rows.itertuples(index=False))
    return sha256(lines.encode())[:16]


def open_version(run: Run, name: str, *, expected_digest: str | None = None) -> OpenVersion:
    """Returns a version that can be scored by the run's recipe. Its model is not loaded yet.

    Args:
        run: Where everything is.
        name: Of the version.
        expected_digest: Content digest that it must have; None to take its manifest's word.

    Raises:
        ArtifactIntegrityError: If there is no such version, it is not whole, it is not the one expected, or it knows
            other labels than the recipe. All name an object of the version.
    """
    files = verify(run, name, expected_digest=expected_digest)
    _require_labels(files, run.config.labels)
    return OpenVersion(
        files=files,
        model=files.read(MODEL),
        thresholds=_thresholds(files, run.config.labels),
        lineage=from_json(Lineage, files.read(LINEAGE), files.uri(LINEAGE)),
    )


def version_scores(run: Run, version: OpenVersion, rows: pd.DataFrame) -> np.ndarray:
    """Returns a version's probabilities for test images, computing them if that never happened.

    Args:
        run: Where the images are.
        version: The version.
        rows: Test rows (schema `SNAPSHOT`) in image id order.

    Returns:
        Shape `(n_rows, n_classes)`, float32, columns in the order of the run's recipe.

    Raises:
        ArtifactIntegrityError: If the model does not load or gives no probabilities: then `model_uri` is named. If an
            image, or what was kept of the scores, is not what it was: then that is.
    """
    # The key holds the version's own digest, so that scores of another model under the same name are never taken.
    prefix = version.files.evaluation(test_digest(rows))
    body = kept_once(run.store, prefix, SCORES, lambda: _to_npy(_predict(run, version, rows)))
    return from_npy(body, uri_of(run.store, f"{prefix}{SCORES}"))


def _predict(run: Run, version: OpenVersion, rows: pd.DataFrame) -> np.ndarray:
    refs = locality_order(image_refs(run.store, run.classifier, rows))
    by_id = dict(zip((ref.image_id for ref in refs), read_images(run.store, refs), strict=True))
    return _probabilities(version, [by_id[image_id] for image_id in rows["image_id"]], len(run.config.labels))


def _probabilities(version: OpenVersion, images: list[np.ndarray], n_classes: int) -> np.ndarray:
    """Returns what the version's model says of images; whatever goes wrong in it is an error that names it."""
    import tensorflow as tf  # seconds; not needed where the scores are kept already

    from include.retraining.training.inference import predict_proba
    from include.retraining.training.keras_file import from_bytes

    try:
        scores = predict_proba(from_bytes(version.model), images)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        raise  # the worker's fault
    except Exception as error:
        # Keras says by all kinds of exceptions that a file is none, holds code, or is of another release.
        said = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        expected = "a model of pictures that Keras loads in safe mode"
        raise ArtifactIntegrityError(version.model_uri, expected, said) from error
    if scores.shape != (len(images), n_classes):
        raise ArtifactIntegrityError(version.model_uri, f"{n_classes} probabilities an image", f"{scores.shape[1:]}")
    # Written so that NaN fails.
    if not (scores.min() >= 0 and np.abs(scores.sum(axis=1) - 1).max() <= SUMS_TO):
        raise ArtifactIntegrityError(version.model_uri, "probabilities that sum to 1", "other numbers, or none")
    return scores


def _thresholds(files: VerifiedVersion, labels: tuple[str, ...]) -> np.ndarray | None:
    if THRESHOLDS not in files.manifest.files:
        return None
    uri = files.uri(THRESHOLDS)
    by_label = from_json(dict[str, float], files.read(THRESHOLDS), uri)
    values = list(by_label.values())
    if set(by_label) != set(labels) or not (np.isfinite(values).all() and min(values) > 0):
        raise ArtifactIntegrityError(uri, f"a positive number for each of {list(labels)}", str(by_label))
    return np.array([by_label[label] for label in labels])


def _require_labels(files: VerifiedVersion, labels: tuple[str, ...]) -> None:
    found = from_json(tuple[str, ...], files.read(LABELS), files.uri(LABELS))
    if found != labels:
        raise ArtifactIntegrityError(
            files.uri(LABELS), f"the recipe's labels {list(labels)}, in this order", f"{list(found)}"
        )


def _to_npy(scores: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, scores, allow_pickle=False)
    return sink.getvalue()
