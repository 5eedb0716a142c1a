"""A small convolutional network from pictures to classes, trained from a random start."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from include.retraining.config.training import ImagesConfig
from include.retraining.errors import TrainingDivergedError
from include.retraining.metrics import macro_recall
from include.retraining.reconstruction.picture_flow import RESCALE, PictureFlow, PictureRows

logger = logging.getLogger(__name__)

NAME = "the image-level network"
WIDTHS = (32, 64, 128, 128)
SMALLEST_MAP = 4  # pixels: a block halves the side until the map is so small
DROPOUT = 0.3
WEIGHT_DECAY = 1e-2
_SCORED_AT_ONCE = 512


@dataclass(frozen=True)
class ImageFit:
    """A trained network and how it got there.

    Attributes:
        network: With the weights of the best epoch.
        best_epoch: That epoch, from 1; the earliest of equals.
        loss: Mean training loss by epoch.
        validation_macro_recall: By epoch.
    """

    network: keras.Model
    best_epoch: int
    loss: tuple[float, ...]
    validation_macro_recall: tuple[float, ...]


def fit_image_network(
    flow: PictureFlow, validation: PictureRows, config: ImagesConfig, *, n_classes: int, seed: int
) -> ImageFit:
    """Trains the network; equal arguments give equal weights on one machine.

    Args:
        flow: Of the rows to train on.
        validation: What the best epoch is chosen by: as they are, without changes; every class present.
        config: Epochs and step size.
        n_classes: Outputs.
        seed: Of weights and dropout.

    Raises:
        TrainingDivergedError: If a loss or a probability is not finite.
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    network = build_image_network(
        flow.rows.side, n_classes, learning_rate=config.learning_rate, steps=config.epochs * flow.batches_per_epoch
    )
    losses: list[float] = []
    scores: list[float] = []
    best: list[np.ndarray] = []
    for epoch in range(1, config.epochs + 1):
        started = time.monotonic()
        losses.append(_train_epoch(network, flow.batches(epoch)))
        y_score = predict(network, validation)
        # The loss is older than the weights: it misses what the epoch's last step did.
        if not (math.isfinite(losses[-1]) and np.isfinite(y_score).all()):
            raise TrainingDivergedError(NAME, epoch, seed, "training.images.learning_rate")
        scores.append(macro_recall(validation.class_ids, y_score.argmax(axis=1), n_classes))
        if scores[-1] > max(scores[:-1], default=-1.0):
            best = network.get_weights()
        _log_epoch(config.epochs, losses, scores, time.monotonic() - started)
    network.set_weights(best)
    return ImageFit(network, scores.index(max(scores)) + 1, tuple(losses), tuple(scores))


def build_image_network(side: int, n_classes: int, *, learning_rate: float, steps: int) -> keras.Model:
    """Returns the compiled network: blocks of convolution, normalisation and pooling, then a mean and a softmax layer.

    Args:
        side: Of the pictures, in pixels: 4 times a power of two.
        n_classes: Outputs.
        learning_rate: AdamW's step size at the start of its cosine.
        steps: After which it ends.

    References:
        Loshchilov and Hutter, 2019, "Decoupled Weight Decay Regularization", algorithm 2 (AdamW, cosine).
    """
    layers: list[keras.Layer] = [keras.Input((side, side, 3))]
    n_blocks = int(math.log2(side // SMALLEST_MAP))
    for width in WIDTHS[:n_blocks]:
        layers += [
            keras.layers.Conv2D(width, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),  # 0.99 lags behind where an epoch has few batches
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
        ]
    layers += [keras.layers.GlobalAveragePooling2D(), keras.layers.Dropout(DROPOUT)]
    network = keras.Sequential([*layers, keras.layers.Dense(n_classes, "softmax")], name="image_level")
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY)
    optimizer.exclude_from_weight_decay(var_list=[it for it in network.trainable_variables if len(it.shape) < 2])
    # Without jit_compile: XLA is an order of magnitude slower on CPUs.
    network.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", jit_compile=False)
    return network


def predict(network: keras.Model, rows: PictureRows) -> np.ndarray:
    """Returns the probabilities of rows, shape `(n_rows, n_classes)`, float32; pictures are scaled, not changed."""
    scored = []
    for start in range(0, len(rows), _SCORED_AT_ONCE):
        pictures = rows.pictures[rows.shown[start : start + _SCORED_AT_ONCE]]
        scored.append(network.predict_on_batch(pictures.astype(np.float32) * np.float32(RESCALE)))
    return np.concatenate(scored)


def _train_epoch(network: keras.Model, batches: Iterator[tuple[np.ndarray, np.ndarray]]) -> float:
    """Trains on every batch once; returns the mean loss over rows, NaN or infinite from the first that is."""
    total, n_rows = 0.0, 0
    for pictures, class_ids in batches:
        loss = float(network.train_on_batch(pictures, class_ids, return_dict=True)["loss"])
        if not math.isfinite(loss):
            return loss
        total, n_rows = total + loss * len(class_ids), n_rows + len(class_ids)
    return total / n_rows


def _log_epoch(epochs: int, losses: list[float], scores: list[float], seconds: float) -> None:
    logger.info(
        "image-level network epoch=%d/%d loss=%.4f validation_macro_recall=%.4f seconds=%.1f",
        len(losses),
        epochs,
        losses[-1],
        scores[-1],
        seconds,
    )
