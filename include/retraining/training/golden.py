"""Golden images of a version: files as a client would send them, and the probabilities that they must give.

They lie inside the version, so that whoever serves it can see that it still says what it said when it was exported.
The fixed images that an extractor is checked with are in `embedding/extractors/golden.py`.
"""

from __future__ import annotations

import dataclasses
import io
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import tensorflow as tf
from PIL import Image

from include.retraining.artifacts import EmbeddingRecord
from include.retraining.dataset.images import image_refs, read_bodies
from include.retraining.embedding.features import read_features
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.pictures import decode_image
from include.retraining.run import Run
from include.retraining.storage import arrays as archive
from include.retraining.training.decoding_graph import decode
from include.retraining.training.head import Head, Layer

logger = logging.getLogger(__name__)

MOST_BYTES = 8 * 2**20


@dataclass(frozen=True)
class Golden:
    """Image files and what a model says of them.

    Attributes:
        images: A whole file each.
        probabilities: Shape `(n_images, n_classes)`, float32, columns in the order of the recipe's labels.
    """

    images: tuple[bytes, ...]
    probabilities: np.ndarray

    def first(self, n_images: int, most_bytes: int = MOST_BYTES) -> Golden:
        """Returns at most so many of the images and bytes from the beginning, and one at least."""
        sizes = np.cumsum([len(image) for image in self.images])
        n_images = max(1, min(n_images, int(np.searchsorted(sizes, most_bytes, side="right"))))
        return Golden(self.images[:n_images], self.probabilities[:n_images])

    def to_npz(self) -> bytes:
        """Returns a NumPy archive: `image_000` and so on, the bytes of each file, and `probabilities`."""
        arrays = {f"image_{index:03d}": np.frombuffer(image, np.uint8) for index, image in enumerate(self.images)}
        sink = io.BytesIO()
        np.savez(sink, probabilities=self.probabilities, **arrays)  # type: ignore[arg-type]
        return sink.getvalue()


def from_npz(body: bytes, uri: str = "a golden file") -> Golden:
    """Returns what `Golden.to_npz` wrote.

    Args:
        body: The archive.
        uri: Where it comes from, for the error.

    Raises:
        ArtifactIntegrityError: If the bytes are none; pickled objects are refused.
    """
    arrays = archive.from_npz(body, uri)
    if "probabilities" not in arrays:
        raise ArtifactIntegrityError(uri, "images and probabilities", f"the arrays {sorted(arrays)}")
    names = sorted(name for name in arrays if name.startswith("image_"))
    return Golden(tuple(arrays[name].tobytes() for name in names), arrays["probabilities"])


def golden_of(run: Run, rows: pd.DataFrame, embeddings: EmbeddingRecord, head: Head, *, n_images: int) -> Golden:
    """Returns images with the probabilities that a head gives to their stored vectors.

    A file that TensorFlow decodes to other pixels than training did is taken as a PNG of the latter, with a warning.

    Args:
        run: Where images and vectors are.
        rows: Schema `SNAPSHOT`, sorted by image id; at least one.
        embeddings: Their vectors.
        head: The candidate's.
        n_images: At most; the classes take turns, so that rare ones are among them.
    """
    turn = rows.groupby("label").cumcount()
    chosen = rows.iloc[np.argsort(turn.to_numpy(), kind="stable")[:n_images]]
    files = list(read_bodies(run.store, image_refs(run.store, run.classifier, chosen)))
    images = tuple(_as_served(file) for file in files)
    n_converted = sum(image is not file for image, file in zip(images, files, strict=True))
    if n_converted:
        logger.warning(
            "the SavedModel reads some files otherwise than training n_files=%d of=%d", n_converted, len(files)
        )
    vectors = read_features(run.store, embeddings, list(chosen["image_id"]))
    return Golden(images, _in_float64(head).predict_proba(vectors).astype(np.float32))


def check_golden(predict_proba: Callable[[Sequence[bytes]], np.ndarray], golden: Golden) -> float:
    """Returns the largest difference from the golden probabilities; NaN if a probability is none.

    Args:
        predict_proba: From image files to probabilities `(n_images, n_classes)`.
        golden: The images, and what they must give.
    """
    return float(np.abs(predict_proba(golden.images) - golden.probabilities).max())


def _in_float64(head: Head) -> Head:
    """Returns a head whose rounded sums are those of any processor: a golden file's bytes name the version."""
    layers = tuple(Layer(layer.kernel.astype(np.float64), layer.bias.astype(np.float64)) for layer in head.layers)
    return dataclasses.replace(head, layers=layers)


def _as_served(file: bytes) -> bytes:
    pixels = decode_image(file)
    try:
        if np.array_equal(decode(tf.constant(file)).numpy(), pixels):
            return file
    except tf.errors.InvalidArgumentError:
        pass
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()
