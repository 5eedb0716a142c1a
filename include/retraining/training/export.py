"""The challenger as one artifact: raw pixels in, label probabilities out, described by the files beside it."""

from __future__ import annotations

import json
import logging

import keras
import numpy as np

from include.retraining.artifacts import (
    CandidateRecord,
    EmbeddingRecord,
    Lineage,
    ResamplingRecord,
    SnapshotRecord,
    VersionRecord,
)
from include.retraining.dataset.images import image_refs, read_images
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.extractors.extractor import build_extractor
from include.retraining.embedding.features import read_features
from include.retraining.embedding.projection import Projection, read_projection
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.lineage import code_digest, config_digest, library_versions
from include.retraining.registry import CANDIDATE, LABELS, LINEAGE, MODEL, RECIPE, publish_version, version_name
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import manifest_of
from include.retraining.storage.records import to_json
from include.retraining.training import keras_file
from include.retraining.training.candidates import read_head
from include.retraining.training.head import Head
from include.retraining.training.inference import predict_proba

logger = logging.getLogger(__name__)

GOLDEN_IMAGES = 64
# Of a probability. The stored vectors and the export run the same graph with other batch shapes; numbers of 16 bits,
# inside the network or in the store, are coarser.
TOLERANCE = 1e-3
TOLERANCE_OF_16_BITS = 3e-2


def export(
    run: Run,
    challenger: CandidateRecord,
    snapshot: SnapshotRecord,
    embeddings: EmbeddingRecord,
    resampling: ResamplingRecord,
) -> VersionRecord:
    """Publishes the challenger as a model version after comparing the exported bytes with the candidate.

    Side effects:
        Writes the version's files, its manifest last; same inputs give the same version, and a repeat writes nothing.

    Raises:
        ArtifactIntegrityError: If the model that is loaded back from its bytes predicts something else than the
            candidate does on stored vectors.
    """
    keras.utils.clear_session()  # where candidates were trained in this process, their graphs are no longer needed
    head = read_head(run.store, challenger.uri)
    model_bytes = keras_file.to_bytes(compose(run, embeddings, head))
    difference = _largest_difference(run, model_bytes, head, snapshot, embeddings)
    tolerance = _tolerance(run)
    if not difference <= tolerance:
        raise ArtifactIntegrityError(
            f"export of {challenger.name!r}",
            f"probabilities within {tolerance} of the candidate's",
            f"a difference of {difference}",
        )
    lineage = _lineage(run, challenger, snapshot, embeddings, resampling)
    files = {
        MODEL: model_bytes,
        LABELS: json.dumps(run.config.labels).encode(),
        RECIPE: run.config.model_dump_json(indent=2).encode(),
        LINEAGE: to_json(lineage),
        CANDIDATE: to_json(challenger),
    }
    name = version_name(lineage, manifest_of(files).files)
    manifest = publish_version(run.store, run.classifier, name, files)
    logger.info("version %s published; largest_difference=%.2e", name, difference)
    uri = uri_of(run.store, layout.version(run.classifier, name))
    return VersionRecord(name=name, uri=uri, digest=manifest.digest, largest_difference=difference)


def compose(run: Run, embeddings: EmbeddingRecord, head: Head) -> keras.Model:
    """Returns extractor, projection and head as one model.

    Its input is `(n_images, height, width, 3)` pixels in [0, 255], of any size; its output `(n_images, n_classes)`
    probabilities in the order of the recipe's labels.
    """
    extractor = build_extractor(run.store, run.config.embedding, embeddings.extractor.weights)
    pixels = keras.Input((None, None, 3), name="pixels", dtype="uint8")
    values = extractor.model(pixels)
    if embeddings.projection_uri:
        values = _project(values, read_projection(run.store, embeddings.projection_uri))
    scaler = keras.layers.Normalization(
        mean=head.scaler.mean, variance=np.square(head.scaler.deviation, dtype=np.float64), name="standard_scores"
    )
    values = scaler(values)
    dense = []
    for index, layer in enumerate(head.layers):
        last = index == len(head.layers) - 1
        name = "probabilities" if last else f"hidden_{index}"
        dense.append(keras.layers.Dense(len(layer.bias), activation="softmax" if last else "relu", name=name))
        values = dense[-1](values)
    model = keras.Model(pixels, values, name=run.classifier)
    for built, layer in zip(dense, head.layers, strict=True):
        built.set_weights([layer.kernel, layer.bias])
    return model


def _project(values: keras.KerasTensor, projection: Projection) -> keras.KerasTensor:
    layer = keras.layers.Dense(len(projection.components), name="projection")
    values = layer(values)
    layer.set_weights([projection.components.T, -(projection.components @ projection.mean)])
    return values


def _tolerance(run: Run) -> float:
    embedding = run.config.embedding
    has_16_bits = embedding.precision == "mixed" or embedding.stored_as == "float16"
    return TOLERANCE_OF_16_BITS if has_16_bits else TOLERANCE


def _largest_difference(
    run: Run, model_bytes: bytes, head: Head, snapshot: SnapshotRecord, embeddings: EmbeddingRecord
) -> float:
    """Compares the model loaded back from its bytes with the head on stored vectors, over some validation images."""
    golden = rows_of(read_snapshot(run.store, snapshot.uri), "validation").head(GOLDEN_IMAGES)
    expected = head.predict_proba(read_features(run.store, embeddings, list(golden["image_id"])))
    images = list(read_images(run.store, image_refs(run.store, run.classifier, golden)))
    got = predict_proba(keras_file.from_bytes(model_bytes), images)
    return float(np.abs(got - expected).max())


def _lineage(
    run: Run,
    challenger: CandidateRecord,
    snapshot: SnapshotRecord,
    embeddings: EmbeddingRecord,
    resampling: ResamplingRecord,
) -> Lineage:
    return Lineage(
        classifier=run.classifier,
        window_end=run.window.end,
        snapshot_digest=snapshot.digest,
        resampling_digest=resampling.digest if challenger.strategy == "smote" else "",
        extractor_fingerprint=embeddings.extractor.fingerprint,
        candidate=challenger.name,
        code_digest=code_digest(),
        config_digest=config_digest(run.config),
        versions=library_versions(),
    )
