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
from include.retraining.artifacts import SnapshotRecord, VersionRecord
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import manifest_of, sha256
from include.retraining.storage.records import to_json
from include.retraining.training import keras_file, saved_model
from include.retraining.training.golden import Golden
from tests.builders import LABELS, make_candidate, make_lineage
from tests.datasets import row
from tests.promotions import PROVENANCE

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


@cache
def served_files(sharpness: float) -> Mapping[str, bytes]:
    """Such a model as a SavedModel, with the golden file of two pictures."""
    model = grey_model(sharpness)
    served = saved_model.to_files(model, LABELS, None, image_size=8)
    pixels = np.stack([np.full((8, 8, 3), grey, np.uint8) for grey in (DARK, BRIGHT)])
    golden = Golden((grey_png(DARK), grey_png(BRIGHT)), np.asarray(model(pixels, training=False)))
    return {
        **{f"{registry.SAVED_MODEL}{name}": body for name, body in served.items()},
        registry.GOLDEN: golden.to_npz(),
    }


def publish_grey_version(
    run: Run,
    *,
    sharpness: float = 20.0,
    labels: Sequence[str] = LABELS,
    thresholds: Mapping[str, object] | None = None,
    snapshot: SnapshotRecord | None = None,
    files: Mapping[str, bytes | None] | None = None,
) -> VersionRecord:
    """Publishes a version with such a model, trained from a snapshot; some files may be other ones, or None: left out.

    Its SavedModel is the model without thresholds.
    """
    lineage = make_lineage() if snapshot is None else make_lineage(snapshot_digest=snapshot.digest)
    everything: dict[str, bytes | None] = {
        registry.MODEL: grey_bytes(sharpness),
        registry.LABELS: json.dumps(list(labels)).encode(),
        registry.LINEAGE: to_json(lineage),
        registry.CANDIDATE: to_json(make_candidate()),
        **served_files(sharpness),
        **({} if thresholds is None else {registry.THRESHOLDS: json.dumps(thresholds).encode()}),
        **(files or {}),
    }
    whole = {name: body for name, body in everything.items() if body is not None}
    name = registry.version_name(lineage, manifest_of(whole).files)
    manifest = registry.publish_version(run.store, run.classifier, name, whole, PROVENANCE)
    uri = uri_of(run.store, layout.version(run.classifier, name))
    return VersionRecord(name=name, uri=uri, digest=manifest.digest, largest_difference=0.0)


def grey_png(grey: int, size: tuple[int, int] = (8, 8)) -> bytes:
    """A picture of one grey."""
    sink = io.BytesIO()
    Image.new("L", size, grey).save(sink, "PNG")
    return sink.getvalue()


def grey_row(
    run: Run, image_id: str, label: str, grey: int, size: tuple[int, int] = (8, 8), split: str = "test", **changes: str
):
    """Puts a picture of one grey into the store; returns its row."""
    body = grey_png(grey, size)
    one = row(image_id, label, split=split, bytes_sha256=sha256(body), **changes)
    run.store.put(one["key"], body)
    return one
