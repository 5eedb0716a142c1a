"""The Keras model of a head and its compiled training step, which the folds of a candidate use one after another.

Compiling takes about as long as training a linear head on some ten thousand rows does, so it is done once a shape.
"""

from __future__ import annotations

from functools import lru_cache

import keras
import numpy as np
import tensorflow as tf

from include.retraining.training.batches import Batches
from include.retraining.training.head import Layer
from include.retraining.training.strategies import TrainRows

KEPT = 4  # compiled networks


class Network:
    """A head in training.

    Args:
        n_features: Length of a vector.
        n_classes: Length of the logits.
        hidden_units: Units of the hidden layers.
        dropout: Share of hidden units that a step drops.
        weight_decay: Decoupled; of kernels alone.
    """

    def __init__(
        self, n_features: int, n_classes: int, *, hidden_units: tuple[int, ...], dropout: float, weight_decay: float
    ) -> None:
        tf.config.experimental.enable_op_determinism()
        layers: list[keras.Layer] = [keras.Input((n_features,))]
        for units in hidden_units:
            layers.append(keras.layers.Dense(units, activation="relu", kernel_initializer="zeros"))
            layers += [keras.layers.Dropout(dropout, seed=0)] if dropout else []
        layers.append(keras.layers.Dense(n_classes, kernel_initializer="zeros"))  # `reset` draws the weights
        self._dense = [layer for layer in layers if isinstance(layer, keras.layers.Dense)]
        self._dropout = [layer for layer in layers if isinstance(layer, keras.layers.Dropout)]
        self.model = keras.Sequential(layers)
        self.optimizer = keras.optimizers.AdamW(weight_decay=weight_decay)
        self.optimizer.exclude_from_weight_decay(var_names=["bias"])
        self.optimizer.build(self.model.trainable_variables)
        # Not by XLA, which on a CPU takes six times as long for a hidden layer of 256 units.
        self._step = tf.function(self._descend, input_signature=_signature(n_features, n_classes), jit_compile=False)

    def reset(self, seed: int) -> None:
        """Starts anew: weights by Glorot, no momentum, dropout from its first draw; equal seeds start alike."""
        for index, dense in enumerate(self._dense):
            kernel = keras.initializers.GlorotUniform(seed=seed + index)(dense.kernel.shape)
            dense.set_weights([kernel, np.zeros(dense.bias.shape, np.float32)])
        for index, dropout in enumerate(self._dropout):
            dropout.seed_generator.state.assign([seed + index, 0])
        for variable in self.optimizer.variables:
            variable.assign(np.zeros(variable.shape, variable.dtype))

    def train(self, batches: Batches, epoch: int, rows: TrainRows, rates: np.ndarray) -> float:
        """Trains for an epoch; returns the mean loss of its rows, each before the step that it was in.

        Args:
            batches: Of the rows.
            epoch: From 1.
            rows: Weights of the classes, and what is added to the logits.
            rates: Step size of every step, shape `(n_steps,)`.
        """
        weight = tf.constant(rows.class_weight)
        offset = tf.zeros_like(weight) if rows.loss_offset is None else tf.constant(rows.loss_offset)
        total = 0.0
        for batch, rate in zip(batches.epoch(epoch), rates, strict=True):
            loss = self._step(tf.constant(batch.X), tf.constant(batch.y), weight, offset, tf.constant(rate, tf.float32))
            total += float(loss) * len(batch.y)
        return total / batches.n_rows

    def layers(self) -> tuple[Layer, ...]:
        """Returns the present weights."""
        return tuple(Layer(np.array(dense.kernel), np.array(dense.bias)) for dense in self._dense)

    def _descend(self, X: tf.Tensor, y: tf.Tensor, weight: tf.Tensor, offset: tf.Tensor, rate: tf.Tensor) -> tf.Tensor:
        """Takes one step; returns the loss before it: the sum of weighted losses divided by the number of rows."""
        self.optimizer.learning_rate.assign(rate)
        with tf.GradientTape() as tape:
            logits = self.model(X, training=True) + offset
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=y, logits=logits)
            loss = tf.reduce_mean(losses * tf.gather(weight, y))
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss


@lru_cache(maxsize=KEPT)
def network_for(
    n_features: int, n_classes: int, *, hidden_units: tuple[int, ...], dropout: float, weight_decay: float
) -> Network:
    """Returns the network of a shape, compiled at most once; what trained on it before must be reset."""
    return Network(n_features, n_classes, hidden_units=hidden_units, dropout=dropout, weight_decay=weight_decay)


def _signature(n_features: int, n_classes: int) -> list[tf.TensorSpec]:
    by_class = tf.TensorSpec((n_classes,), tf.float32)
    rows = [tf.TensorSpec((None, n_features), tf.float32), tf.TensorSpec((None,), tf.int64)]
    return [*rows, by_class, by_class, tf.TensorSpec((), tf.float32)]
