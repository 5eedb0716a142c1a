"""The challenger as one Keras model: pixels in, probabilities out. What is published of it is in `export.py`."""

from __future__ import annotations

import keras
import numpy as np

from include.retraining.artifacts import EmbeddingRecord
from include.retraining.embedding.extractors.extractor import build_extractor
from include.retraining.embedding.projection import Projection, read_projection
from include.retraining.run import Run
from include.retraining.training.head import Head


def compose(run: Run, embeddings: EmbeddingRecord, head: Head) -> keras.Model:
    """Returns extractor, projection, scaler, head and temperature as one model: a chain of built-in layers.

    Its input is `(n_images, height, width, 3)` pixels in [0, 255], of any size; its output `(n_images, n_classes)`
    probabilities in the order of the recipe's labels. Thresholds decide between these, and are no part of it.
    """
    extractor = build_extractor(run.store, run.config.embedding, embeddings.extractor.weights)
    pixels = keras.Input((None, None, 3), name="pixels", dtype="uint8")
    values = extractor.model(pixels)
    if embeddings.projection_uri:
        values = _project(values, read_projection(run.store, embeddings.projection_uri))
    scaler = keras.layers.Normalization(
        mean=head.scaler.mean, variance=np.square(head.scaler.deviation, dtype=np.float64), name="standard_scores"
    )
    probabilities = _judge(scaler(values), head)
    return keras.Model(pixels, probabilities, name=run.classifier)


def _project(values: keras.KerasTensor, projection: Projection) -> keras.KerasTensor:
    layer = keras.layers.Dense(len(projection.components), name="projection")
    values = layer(values)
    layer.set_weights([projection.components.T, -(projection.components @ projection.mean)])
    return values


def _judge(values: keras.KerasTensor, head: Head) -> keras.KerasTensor:
    for index, layer in enumerate(head.layers):
        is_last = index == len(head.layers) - 1
        name = "logits" if is_last else f"hidden_{index}"
        dense = keras.layers.Dense(len(layer.bias), activation="linear" if is_last else "relu", name=name)
        values = dense(values)
        dense.set_weights([layer.kernel, layer.bias])
    values = keras.layers.Rescaling(1 / head.temperature, name="temperature")(values)
    return keras.layers.Softmax(name="probabilities")(values)
