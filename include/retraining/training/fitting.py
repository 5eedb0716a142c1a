"""Fits one head with Keras: AdamW, cosine schedule, the epoch that is best on validation is kept."""

from __future__ import annotations

import math
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from include.retraining.config import HeadConfig, TrainingConfig
from include.retraining.embedding.scaling import Scaler
from include.retraining.errors import TrainingDivergedError
from include.retraining.metrics import macro_recall
from include.retraining.training.head import Head, Layer
from include.retraining.training.strategies import TrainRows


@dataclass(frozen=True)
class Fit:
    """A fitted head and how it got there.

    Attributes:
        head: With the weights of the best epoch.
        best_epoch: That epoch, from 1.
        loss: Mean training loss by epoch.
        validation_macro_recall: By epoch.
    """

    head: Head
    best_epoch: int
    loss: tuple[float, ...]
    validation_macro_recall: tuple[float, ...]


class _KeepBest(keras.callbacks.Callback):  # type: ignore[misc]  # Keras has no types
    """Scores each epoch on validation and remembers the best weights; the earliest of equals."""

    def __init__(self, X: np.ndarray, y: np.ndarray, n_classes: int) -> None:
        super().__init__()
        self._X, self._y, self._n_classes = X, y, n_classes
        self.scores: list[float] = []
        self.losses: list[float] = []
        self.weights: list[np.ndarray] = []
        self.has_diverged = False

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Keeps the loss, the score and, if it is the best so far, the weights."""
        del epoch
        self.losses.append(float((logs or {})["loss"]))
        y_score = np.asarray(self.model(self._X, training=False))
        self.scores.append(macro_recall(self._y, y_score.argmax(axis=1), self._n_classes))
        if self.scores[-1] == max(self.scores) and self.scores.count(self.scores[-1]) == 1:
            self.weights = self.model.get_weights()
        # The loss is older than the weights: it misses what the epoch's last step did.
        if not (math.isfinite(self.losses[-1]) and np.isfinite(y_score).all()):
            self.has_diverged = self.model.stop_training = True


def fit_head(
    name: str,
    rows: TrainRows,
    X_validation: np.ndarray,
    y_validation: np.ndarray,
    *,
    scaler: Scaler,
    head: HeadConfig,
    training: TrainingConfig,
) -> Fit:
    """Fits a head; equal arguments give equal weights on one machine.

    Args:
        name: Of the candidate, for the error.
        rows: What to fit on.
        X_validation: Standard scores of the validation images, shape `(n_samples, n_features)`.
        y_validation: Their class ids; every class present.
        scaler: Made the standard scores; becomes part of the head.
        head: Shape and weight decay of the head.
        training: Epochs, batch size, learning rate, seed.

    Raises:
        TrainingDivergedError: If the loss or a prediction is not finite at some epoch.

    References:
        Loshchilov and Hutter, 2019, "Decoupled Weight Decay Regularization", algorithm 2 (AdamW, cosine).
    """
    keras.utils.clear_session()
    keras.utils.set_random_seed(training.seed)
    tf.config.experimental.enable_op_determinism()
    n_classes = int(y_validation.max()) + 1
    model = _build(rows.X.shape[1], n_classes, head)
    model.compile(
        optimizer=_optimizer(len(rows.y), head, training), loss="sparse_categorical_crossentropy", jit_compile=False
    )
    keep = _KeepBest(X_validation, y_validation, n_classes)
    model.fit(
        rows.X,
        rows.y,
        sample_weight=rows.sample_weight,
        epochs=training.epochs,
        batch_size=training.batch_size,
        callbacks=[keep],
        verbose=0,
    )
    if keep.has_diverged:
        raise TrainingDivergedError(name, len(keep.losses), training.seed)
    layers = tuple(Layer(*pair) for pair in zip(keep.weights[::2], keep.weights[1::2], strict=True))
    best_epoch = keep.scores.index(max(keep.scores)) + 1
    return Fit(Head(scaler, layers), best_epoch, tuple(keep.losses), tuple(keep.scores))


def _build(n_features: int, n_classes: int, head: HeadConfig) -> keras.Model:
    layers: list[keras.Layer] = [keras.Input((n_features,))]
    for units in head.hidden_units:
        layers += [keras.layers.Dense(units, activation="relu"), keras.layers.Dropout(head.dropout)]
    return keras.Sequential([*layers, keras.layers.Dense(n_classes, activation="softmax")])


def _optimizer(n_rows: int, head: HeadConfig, training: TrainingConfig) -> keras.Optimizer:
    steps = training.epochs * -(-n_rows // training.batch_size)
    schedule = keras.optimizers.schedules.CosineDecay(training.learning_rate, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=head.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer
