"""Fits one head: a Keras model, trained by AdamW along a cosine; the epoch that is best on validation is kept.

Not here: which rows are trained on (`strategies.py`), how they become batches (`batches.py`), a step (`network.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from include.retraining.config import HeadSettings, TrainingConfig
from include.retraining.embedding.scaling import Scaler
from include.retraining.errors import TrainingDivergedError
from include.retraining.metrics import macro_recall
from include.retraining.training.batches import Batches
from include.retraining.training.head import Head, Layer, logits_of
from include.retraining.training.network import network_for
from include.retraining.training.strategies import TrainRows


@dataclass(frozen=True)
class Fit:
    """A fitted head and how it got there.

    Attributes:
        head: With the weights of the best epoch; without validation, of the last one.
        best_epoch: That epoch, from 1.
        loss: Mean training loss by epoch.
        validation_macro_recall: By epoch; empty without validation.
    """

    head: Head
    best_epoch: int
    loss: tuple[float, ...]
    validation_macro_recall: tuple[float, ...]


def fit_head(
    name: str,
    rows: TrainRows,
    validation: tuple[np.ndarray, np.ndarray] | None,
    *,
    scaler: Scaler,
    head: HeadSettings,
    training: TrainingConfig,
) -> Fit:
    """Fits a head; equal arguments give equal weights on one machine.

    Args:
        name: Of the candidate, for the error.
        rows: What to fit on.
        validation: Standard scores of the validation rows, shape `(n_samples, n_features)`, and their class ids, every
            class present. None: all epochs are trained and the last weights are kept, so that rows which the head is
            scored on have no part in its training.
        scaler: Made the standard scores; becomes part of the head.
        head: Shape and settings of the head.
        training: Epochs, patience, batch size, seed.

    Raises:
        TrainingDivergedError: If the loss, a weight or a prediction is not finite at some epoch.

    References:
        Loshchilov and Hutter, 2019, "Decoupled Weight Decay Regularization", algorithm 2 (AdamW, cosine).
    """
    batches = Batches(rows, training.batch_size, training.seed)
    network = network_for(
        rows.X.shape[1],
        rows.n_classes,
        hidden_units=head.hidden_units,
        dropout=head.dropout,
        weight_decay=head.weight_decay,
    )
    network.reset(training.seed)
    epochs = _Epochs(rows, validation, scaler)
    rates = _cosine(head.learning_rate, training.epochs * batches.n_steps).reshape(training.epochs, -1)
    for epoch, rates_of_epoch in enumerate(rates, start=1):
        loss = network.train(batches, epoch, rows, rates_of_epoch)
        if not epochs.take(loss, network.layers()):
            raise TrainingDivergedError(name, epoch, training.seed)
        if training.patience is not None and epochs.since_best >= training.patience:
            break
    return epochs.fit


@dataclass(eq=False)
class _Epochs:
    """What the epochs gave so far; the earliest of equally good ones is the best."""

    rows: TrainRows
    validation: tuple[np.ndarray, np.ndarray] | None
    scaler: Scaler
    losses: list[float] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    best: tuple[int, tuple[Layer, ...]] = (0, ())

    def take(self, loss: float, layers: tuple[Layer, ...]) -> bool:
        """Takes in an epoch; returns whether all of its numbers are finite."""
        layers = _shifted(layers, self.rows.score_offset)
        self.losses.append(loss)
        # The loss is older than the weights: it misses what the epoch's last step did.
        numbers = [np.array(loss), *(values for layer in layers for values in (layer.kernel, layer.bias))]
        if self.validation is not None:
            X, y = self.validation
            with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told below
                logits = logits_of(X, layers)
            numbers.append(logits)
            self.scores.append(macro_recall(y, logits.argmax(axis=1), self.rows.n_classes))
        if not self.scores or self.scores.index(max(self.scores)) == len(self.scores) - 1:
            self.best = len(self.losses), layers
        return all(np.isfinite(values).all() for values in numbers)

    @property
    def since_best(self) -> int:
        """Epochs since the best one."""
        return len(self.losses) - self.best[0]

    @property
    def fit(self) -> Fit:
        """The best epoch as a head."""
        epoch, layers = self.best
        return Fit(Head(self.scaler, layers), epoch, tuple(self.losses), tuple(self.scores))


def _shifted(layers: tuple[Layer, ...], score_offset: np.ndarray | None) -> tuple[Layer, ...]:
    """Returns layers whose logits are raised by an offset: it becomes a part of the last bias."""
    if score_offset is None:
        return layers
    return (*layers[:-1], Layer(layers[-1].kernel, layers[-1].bias + score_offset))


def _cosine(learning_rate: float, n_steps: int) -> np.ndarray:
    """Returns the step size of every step: from the learning rate, along half a cosine, towards 0."""
    rates: np.ndarray = learning_rate * 0.5 * (1 + np.cos(np.pi * np.arange(n_steps) / n_steps))
    return rates
