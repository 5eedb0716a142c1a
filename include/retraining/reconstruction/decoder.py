"""A decoder from embedding vectors to pictures, trained on the train images, so that synthetic vectors can be seen.

Its pictures explain what resampling made; they are no data of record, and no model that is promoted has seen them. The
network is in `decoder_network.py`.
"""

from __future__ import annotations

import json
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import tensorflow as tf

from include.retraining.artifacts import EmbeddingRecord, SnapshotRecord
from include.retraining.dataset.images import image_refs
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.features import read_features
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.lineage import code_digest, library_versions
from include.retraining.reconstruction.decoder_network import build_decoder
from include.retraining.reconstruction.resized import fitting_side, read_resized
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import MANIFEST, publish, read_published, sha256
from include.retraining.storage.records import from_json, to_json
from include.retraining.training import keras_file

logger = logging.getLogger(__name__)

NETWORK = "decoder.keras"
FIT = "fit.json"
MOST_IMAGES = 20_000
EPOCHS = 8
BATCH = 64

_DECODED_AT_ONCE = 256
_SOURCES = ("decoder.py", "decoder_network.py", "resized.py")


@dataclass(frozen=True)
class DecoderFit:
    """How well a decoder shows images that it was not trained on.

    Attributes:
        side: Of its pictures, in pixels.
        n_images: Train images that it was trained on.
        error: Mean absolute error of decoded validation images, of pixels in [0, 1].
        mean_image_error: The same of showing the mean train image of each image's class: what it must beat.
        loss: Mean absolute error while training, by epoch.
    """

    side: int
    n_images: int
    error: float
    mean_image_error: float
    loss: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class Decoder:
    """Turns vectors into pictures.

    Attributes:
        uri: Prefix that it is published under.
        network: From raw vectors, `(n, n_features)`, to pixels in [0, 1], `(n, side, side, 3)`.
    """

    uri: str
    network: keras.Model

    @property
    def side(self) -> int:
        """Side of the pictures in pixels."""
        return int(self.network.output_shape[1])

    def decode(self, X: np.ndarray) -> np.ndarray:
        """Returns pictures, uint8, shape `(n, side, side, 3)`, of raw vectors, shape `(n, n_features)`."""
        pictures: np.ndarray = np.rint(_decoded(self.network, X) * 255).astype(np.uint8)
        return pictures


def decoder_for(run: Run, snapshot: SnapshotRecord, embeddings: EmbeddingRecord) -> tuple[Decoder, DecoderFit]:
    """Returns the decoder of a run's vectors: trains it, or finds the one that was trained from the same inputs before.

    At most 20,000 train images are used, a sample that takes small classes whole and as many of each larger one as fit.
    Validation images measure its error and decide nothing; test images are not read.

    Side effects:
        Publishes `decoder.keras` and `fit.json` under the digest of the inputs; a repeat writes nothing.

    Raises:
        ArtifactIntegrityError: If an image or a vector is not the one that was accepted or published.
        ConfigurationError: If the training diverges.
    """
    prefix = layout.decoder(run.classifier, _inputs_digest(run, snapshot, embeddings))
    uri = uri_of(run.store, prefix)
    if not run.store.exists(f"{prefix}{MANIFEST}"):
        network, fit = _train(run, snapshot, embeddings)
        publish(run.store, prefix, {NETWORK: keras_file.to_bytes(network), FIT: to_json(fit)})
    fit = from_json(DecoderFit, read_published(run.store, prefix, FIT), uri)
    return Decoder(uri, keras_file.from_bytes(read_published(run.store, prefix, NETWORK), f"{uri}{NETWORK}")), fit


def sampled(labels: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Returns positions of at most so many rows, ascending: small classes whole, larger ones cut to one size.

    Args:
        labels: Of all rows, shape `(n_rows,)`.
        most: Rows altogether; each class keeps one even where there are more classes.
        seed: Decides which rows of a class that is cut.
    """
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    left, cap, kept = most, 0, []
    for index, rows in enumerate(sorted(members, key=len)):
        cap = max(1, left // (len(members) - index))
        kept.append(rows if len(rows) <= cap else rng.choice(rows, cap, replace=False))
        left -= len(kept[-1])
    return np.sort(np.concatenate(kept))


@dataclass(frozen=True, eq=False)
class _Examples:
    """Vectors with the pictures that they are of.

    Attributes:
        X: Raw vectors, shape `(n, n_features)`, float32.
        images: uint8, shape `(n, side, side, 3)`.
        labels: Shape `(n,)`.
    """

    X: np.ndarray
    images: np.ndarray
    labels: np.ndarray


def _train(run: Run, snapshot: SnapshotRecord, embeddings: EmbeddingRecord) -> tuple[keras.Model, DecoderFit]:
    everything = read_snapshot(run.store, snapshot.uri)
    train, validation = (_sample_of(run, everything, split) for split in ("train", "validation"))
    side = fitting_side(run.store, image_refs(run.store, run.classifier, train))
    examples = _read(run, embeddings, train, side)
    keras.utils.clear_session()
    keras.utils.set_random_seed(run.config.balancing.seed)
    tf.config.experimental.enable_op_determinism()
    network = build_decoder(fit_scaler(examples.X), side, -(-len(examples.X) // BATCH) * EPOCHS)
    loss = _fit(run, network, examples)
    held_out = _read(run, embeddings, validation, side)
    fit = DecoderFit(
        side=side,
        n_images=len(examples.X),
        error=_error(_decoded(network, held_out.X), held_out.images),
        mean_image_error=_mean_image_error(examples, held_out),
        loss=loss,
    )
    logger.info(
        "decoder side=%d images=%d error=%.4f mean_image=%.4f", side, fit.n_images, fit.error, fit.mean_image_error
    )
    return network, fit


def _sample_of(run: Run, everything: pd.DataFrame, split: str) -> pd.DataFrame:
    """Returns a sample of a split's rows; that they are that split's is checked in every run, not only in tests."""
    rows = rows_of(everything, split)
    strangers = int((rows["split"] != split).sum())
    if strangers:
        raise ArtifactIntegrityError("snapshot", f"{split} rows alone for the decoder", f"{strangers} others")
    return rows.iloc[sampled(rows["label"].to_numpy(), MOST_IMAGES, run.config.balancing.seed)]


def _read(run: Run, embeddings: EmbeddingRecord, rows: pd.DataFrame, side: int) -> _Examples:
    return _Examples(
        X=read_features(run.store, embeddings, list(rows["image_id"])),
        images=read_resized(run.store, image_refs(run.store, run.classifier, rows), side),
        labels=rows["label"].to_numpy(),
    )


def _fit(run: Run, network: keras.Model, examples: _Examples) -> tuple[float, ...]:
    """Trains to the last epoch; returns the mean loss by epoch."""
    losses: list[float] = []
    for epoch in range(1, EPOCHS + 1):
        order = np.random.default_rng([run.config.balancing.seed, epoch]).permutation(len(examples.X))
        losses.append(_fit_epoch(network, examples, order))
        if not math.isfinite(losses[-1]):
            raise ConfigurationError(
                "balancing.reconstruct",
                f"the decoder's loss is not finite at epoch {epoch} (seed {run.config.balancing.seed})",
                "Set it to false, or another balancing.seed: its pictures change no model",
            )
        logger.info("decoder epoch=%d/%d loss=%.4f", epoch, EPOCHS, losses[-1])
    return tuple(losses)


def _fit_epoch(network: keras.Model, examples: _Examples, order: np.ndarray) -> float:
    total = 0.0
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        pixels = examples.images[chosen].astype(np.float32) / 255
        total += float(network.train_on_batch(examples.X[chosen], pixels)) * len(chosen)
    return total / len(order)


def _decoded(network: keras.Model, X: np.ndarray) -> np.ndarray:
    """Returns pixels in [0, 1], float32, shape `(n, side, side, 3)`."""
    pixels = np.empty((len(X), *network.output_shape[1:]), np.float32)
    for start in range(0, len(X), _DECODED_AT_ONCE):
        batch = slice(start, start + _DECODED_AT_ONCE)
        pixels[batch] = np.asarray(network(X[batch], training=False))
    return pixels


def _error(pixels: np.ndarray, images: np.ndarray) -> float:
    """Returns the mean absolute error of pixels in [0, 1], given uint8 images of the same shape."""
    return float(np.mean([np.abs(got - image / 255).mean() for got, image in zip(pixels, images, strict=True)]))


def _mean_image_error(train: _Examples, held_out: _Examples) -> float:
    mean_of = {label: train.images[train.labels == label].mean(axis=0) / 255 for label in np.unique(train.labels)}
    errors = [
        np.abs(mean_of[label] - image / 255).mean()
        for label, image in zip(held_out.labels, held_out.images, strict=True)
    ]
    return float(np.mean(errors))


def _inputs_digest(run: Run, snapshot: SnapshotRecord, embeddings: EmbeddingRecord) -> str:
    """Returns a digest of everything that decides the weights; this package is not part of the models' code digest."""
    folder = Path(__file__).parent
    inputs = {
        "snapshot": snapshot.digest,
        "embeddings": embeddings.digest,
        "labels": run.config.labels,
        "seed": run.config.balancing.seed,
        "code": [code_digest(), *(sha256((folder / name).read_bytes()) for name in _SOURCES)],
        "versions": library_versions(),
    }
    return sha256(json.dumps(inputs, sort_keys=True).encode())[:16]
