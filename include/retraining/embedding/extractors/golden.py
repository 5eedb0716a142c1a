"""The golden check: a worker shows on fixed images that its network gives the vectors that every worker's must give.

A GPU whose memory is full has been seen to give wrong numbers instead of an error.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Mapping, Sequence

import keras
import numpy as np

from include.retraining.artifacts import ExtractorRecord
from include.retraining.embedding.extractors.extractor import Extractor
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, GoldenCheckError
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import get_verified, publish, read_manifest, read_manifest_if_any, sha256

logger = logging.getLogger(__name__)

TOLERANCES: Mapping[str, float] = {"float32": 1e-3, "mixed": 0.1}
"""How far a vector may be from the expected one, by precision, as a share of its length.

Measured on golden images at 96 and 224 pixels, in TensorFlow and OpenVINO on a CPU: float32 differs by 4e-6 at most for
trained networks and for most random ones, by 1.2e-4 for EfficientNetV2B0 with random weights; float16 feature maps by
3.6e-2 at most (EfficientNet-Lite2). Numbers that have nothing to do with the image differ by about 1.
"""


def golden_images() -> list[np.ndarray]:
    """Returns the golden images: uint8 RGB, of several sizes, the same on every machine by integer arithmetic alone."""
    return [_draw(width, height, pattern) for width, height, pattern in _PICTURES]


def check_golden(store: ObjectStore, extractor: Extractor, record: ExtractorRecord) -> None:
    """Compares this worker's vectors of the golden images with the expected ones.

    They come from the first worker that asks, by an independent way: the network called eagerly in float32 on the CPU.
    The check costs one whole batch, every row of which is compared.

    Side effects:
        Publishes the expected vectors where there are none. Where several workers do so at once, one of them wins;
        all of them are right.

    Args:
        store: Where the expected vectors lie.
        extractor: As it runs here.
        record: Says under which fingerprint, and in which precision.

    Raises:
        GoldenCheckError: If they differ by more than the tolerance, or are not finite.
        ConfigurationError: If the network itself tells nothing of an image, whatever runs it.
        ArtifactIntegrityError: If the stored vectors are not those that were published. They are not made anew: a
            check that replaces what it compares with would find nothing.
    """
    images = golden_images()
    expected = _expected(store, extractor, images, record)
    n_rows = -(-len(images) // extractor.batch_size) * extractor.batch_size
    image_of = np.arange(n_rows) % len(images)
    vectors = extractor.embed([images[index] for index in image_of])
    difference = _largest_difference(vectors, expected[image_of])
    tolerance = TOLERANCES[record.components["precision"]]
    if not difference <= tolerance:  # so that NaN fails
        raise GoldenCheckError(extractor.runs_on, difference, tolerance)
    logger.info("golden images agree difference=%.1e tolerance=%g on=%s", difference, tolerance, extractor.runs_on)


def _largest_difference(vectors: np.ndarray, expected: np.ndarray) -> float:
    lengths = np.linalg.norm(expected.astype(np.float64), axis=1)
    distances = np.linalg.norm(vectors.astype(np.float64) - expected, axis=1)
    return float((distances / lengths).max())


def _expected(
    store: ObjectStore, extractor: Extractor, images: Sequence[np.ndarray], record: ExtractorRecord
) -> np.ndarray:
    prefix = layout.golden(record.fingerprint, _digest_of(images))
    if read_manifest_if_any(store, prefix) is None:
        reference = _reference(extractor, images, record)
        body = _to_bytes(reference)
        try:
            # Named by its content: of two workers that write at once, neither breaks the other's file.
            publish(store, prefix, {f"{sha256(body)}.npy": body})
        except ArtifactIntegrityError:
            logger.info("another worker was first to publish golden vectors under %s", prefix)
    expected = _read(store, prefix)
    if expected.shape != (len(images), extractor.dimensions):
        raise ArtifactIntegrityError(
            uri_of(store, prefix), f"vectors of shape {(len(images), extractor.dimensions)}", f"{expected.shape}"
        )
    return expected


def _reference(extractor: Extractor, images: Sequence[np.ndarray], record: ExtractorRecord) -> np.ndarray:
    with keras.device("cpu:0"):
        vectors = np.concatenate([np.asarray(extractor.model(image[None]), np.float32) for image in images])
    if not np.isfinite(vectors).all():
        problem = "numbers that are not finite"
    elif not vectors.any(axis=1).all():
        problem = "a vector of zeros"
    elif len(np.unique(vectors, axis=0)) < len(images):
        problem = "the same vector for different images"
    else:
        return vectors
    raise ConfigurationError(
        "embedding.weights",
        f"with {record.weights.source} {record.components['architecture']} makes {problem} of the golden images",
        "Name weights of a trained network of this architecture, or other layers",
    )


def _to_bytes(vectors: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, vectors, allow_pickle=False)
    return buffer.getvalue()


def _read(store: ObjectStore, prefix: str) -> np.ndarray:
    ((name, digest),) = read_manifest(store, prefix).files.items()
    vectors: np.ndarray = np.load(io.BytesIO(get_verified(store, f"{prefix}{name}", digest)), allow_pickle=False)
    return vectors


def _digest_of(images: Sequence[np.ndarray]) -> str:
    return sha256(b"".join(repr(image.shape).encode() + image.tobytes() for image in images))[:16]


Pattern = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # of row, column and channel, each int64


def _draw(width: int, height: int, pattern: Pattern) -> np.ndarray:
    y, x, channel = np.indices((height, width, 3), dtype=np.int64)
    return (pattern(y, x, channel) % 256).astype(np.uint8)


def _noise(y: np.ndarray, x: np.ndarray, channel: np.ndarray) -> np.ndarray:
    """Returns the middle bits of products with a large prime: without a pattern to see."""
    mixed = ((y * 1009 + x) * 31 + channel) * 2654435761 % 2**32
    noise: np.ndarray = (mixed ^ (mixed >> 15)) * 1540483477 % 2**32 >> 13
    return noise


_PICTURES: tuple[tuple[int, int, Pattern], ...] = (
    (96, 96, lambda y, x, channel: y + x + channel * 40),
    (64, 64, lambda y, x, channel: ((y // 8 + x // 8) % 2) * (255 - channel * 60)),
    (28, 28, _noise),
    (160, 120, lambda y, x, channel: ((y - 60) ** 2 + (x - 80) ** 2) // (16 + channel * 8)),
    (33, 47, lambda y, x, channel: (x * (channel + 1) // 3 % 2) * 200 + y),
    (224, 224, lambda y, x, channel: (y * x // 97 + _noise(y, x, channel) % 256 // 4) * (channel + 1)),
)
