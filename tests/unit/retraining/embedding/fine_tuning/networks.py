"""A backbone of two blocks, for tests that train for real and in a moment."""

from __future__ import annotations

import keras


def small_backbone(image_size: int = 16) -> keras.Model:
    """Two blocks of convolution and batch normalisation, the same weights every time, and a layer that draws."""
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    x = keras.layers.Rescaling(1 / 128, offset=-1, name="rescaling")(pixels)
    for block, filters in enumerate((4, 8)):
        start = keras.initializers.HeNormal(seed=block)
        x = keras.layers.Conv2D(
            filters, 3, strides=2, use_bias=False, kernel_initializer=start, name=f"block_{block}_conv"
        )(x)
        x = keras.layers.BatchNormalization(momentum=0.9, name=f"block_{block}_norm")(x)
        x = keras.layers.Activation("relu", name=f"block_{block}")(x)
        x = keras.layers.Dropout(0.1, seed=block, name=f"block_{block}_dropout")(x)
    return keras.Model(pixels, x, name="small")
