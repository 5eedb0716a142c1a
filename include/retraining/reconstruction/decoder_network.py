"""The decoder's network: standard scores, one dense layer, and transposed convolutions that double the side."""

from __future__ import annotations

import keras
import numpy as np

from include.retraining.embedding.scaling import Scaler

_FIRST_SIDE = 4
_FIRST_CHANNELS = 96
_CHANNELS = {8: 64, 16: 32, 32: 16, 64: 8}
_LEARNING_RATE = 2e-3


def build_decoder(scaler: Scaler, side: int, steps: int) -> keras.Model:
    """Returns the compiled network, from raw vectors to pixels in [0, 1], shape `(n, side, side, 3)`.

    Kernels of transposed convolutions are twice their stride wide, so that every pixel is covered by as many of them:
    else a pattern of squares shows (Odena et al., 2016, "Deconvolution and Checkerboard Artifacts"). The loss is the
    mean absolute error: a pixel that could be black or white becomes one of them rather than grey.

    Args:
        scaler: Makes standard scores.
        side: 32 or 64.
        steps: Of the whole training, for the cosine schedule.
    """
    vectors = keras.Input(scaler.mean.shape, name="vectors")
    variance = np.square(scaler.deviation, dtype=np.float64)
    values = keras.layers.Normalization(mean=scaler.mean, variance=variance, name="standard_scores")(vectors)
    values = keras.layers.Dense(_FIRST_SIDE**2 * _FIRST_CHANNELS, activation="relu")(values)
    values = keras.layers.Reshape((_FIRST_SIDE, _FIRST_SIDE, _FIRST_CHANNELS))(values)
    for wider, channels in _CHANNELS.items():
        if wider <= side:
            values = keras.layers.Conv2DTranspose(channels, 4, strides=2, padding="same", activation="relu")(values)
    pixels = keras.layers.Conv2D(3, 3, padding="same", activation="sigmoid", name="pixels")(values)
    network = keras.Model(vectors, pixels, name="decoder")
    schedule = keras.optimizers.schedules.CosineDecay(_LEARNING_RATE, steps)
    # Without jit_compile: XLA is an order of magnitude slower on CPUs.
    network.compile(keras.optimizers.Adam(schedule), "mean_absolute_error", jit_compile=False)
    return network
