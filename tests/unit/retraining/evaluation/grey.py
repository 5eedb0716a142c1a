"""Versions whose models judge a picture by how bright it is, small enough to be made for every test."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from functools import cache

import keras
import numpy as np
from PIL import Image

from include.retraining import registry
from include.retraining.artifacts import VersionRecord
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import manifest_of, sha256
from include.retraining.storage.records import to_json
from include.retraining.training import keras_file
from tests.builders import LABELS, make_candidate, make_lineage
from tests.datasets import row

DARK, MIDDLE, BRIGHT = 30, 128, 220  # what the models call the first, the second and the third label


def grey_model(sharpness: float = 20.0) -> keras.Model:
    """Probabilities that lean to the label whose brightness is nearest, the more the sharper."""
    keras.utils.clear_session()
    pixels = keras.Input((None, None, 3), dtype="uint8", name="pixels")
    values = keras.layers.Rescaling(1 / 255, name="scaled")(pixels)
    values = keras.layers.GlobalAveragePooling2D(name="brightness")(values)
    dense = keras.layers.Dense(3, "softmax", name="probabilities")
    model = keras.Model(pixels, dense(values), name="grey")
    centres = np.array([DARK, MIDDLE, BRIGHT]) / 255
    # Of -(b - c)², the part without c² falls out of the softmax.
    kernel = np.tile(2 * centres / 3, (3, 1)) * sharpness
    dense.set_weights([kernel.astype(np.float32), (-(centres**2) * sharpness).astype(np.float32)])
    return model


@cache
def grey_bytes(sharpness: float) -> bytes:
    """Such a model as a file."""
    return keras_file.to_bytes(grey_model(sharpness))


def publish_grey_version(
    run: Run,
    *,
    sharpness: float = 20.0,
    labels: Sequence[str] = LABELS,
    thresholds: Mapping[str, object] | None = None,
) -> VersionRecord:
    """Publishes a version with such a model."""
    files = {
        registry.MODEL: grey_bytes(sharpness),
        registry.LABELS: json.dumps(list(labels)).encode(),
        registry.LINEAGE: to_json(make_lineage()),
        registry.CANDIDATE: to_json(make_candidate()),
    }
    if thresholds is not None:
        files[registry.THRESHOLDS] = json.dumps(thresholds).encode()
    name = registry.version_name(make_lineage(), manifest_of(files).files)
    manifest = registry.publish_version(run.store, run.classifier, name, files)
    uri = uri_of(run.store, layout.version(run.classifier, name))
    return VersionRecord(name=name, uri=uri, digest=manifest.digest, largest_difference=0.0)


def grey_row(run: Run, image_id: str, label: str, grey: int, size: tuple[int, int] = (8, 8), split: str = "test"):
    """Puts a picture of one grey into the store; returns its row."""
    sink = io.BytesIO()
    Image.new("L", size, grey).save(sink, "PNG")
    one = row(image_id, label, split=split, bytes_sha256=sha256(sink.getvalue()))
    run.store.put(one["key"], sink.getvalue())
    return one
