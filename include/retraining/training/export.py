"""The challenger as one artifact, from image to label: a Keras file, a SavedModel, and the files that describe them.

How the model is put together is in `composition.py`.
"""

from __future__ import annotations

import json
import logging

import keras
import numpy as np

from include.retraining.artifacts import (
    CandidateRecord,
    EmbeddingRecord,
    Lineage,
    Provenance,
    ResamplingRecord,
    SnapshotRecord,
    VersionRecord,
)
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.lineage import code_digest, config_digest, environment_digest, library_versions, seeds
from include.retraining.pictures import decode_image
from include.retraining.registry import (
    CANDIDATE,
    GOLDEN,
    LABELS,
    LINEAGE,
    MODEL,
    RECIPE,
    SAVED_MODEL,
    THRESHOLDS,
    publish_version,
    version_name,
)
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import manifest_of
from include.retraining.storage.records import to_json
from include.retraining.training import keras_file, saved_model
from include.retraining.training.candidates import read_head
from include.retraining.training.composition import compose
from include.retraining.training.golden import Golden, check_golden, golden_of
from include.retraining.training.head import Head
from include.retraining.training.inference import predict_proba

logger = logging.getLogger(__name__)

COMPARED_IMAGES = 64
GOLDEN_IMAGES = 16
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
        Writes the version's files, its manifest last; same inputs give the same version, and a repeat, be it by
        another run, writes nothing.

    Raises:
        ArtifactIntegrityError: If the model that is loaded back from its bytes predicts something else than the
            candidate does on stored vectors.
    """
    keras.utils.clear_session()  # where candidates were trained in this process, their graphs are no longer needed
    head = read_head(run.store, challenger.uri)
    rows = rows_of(read_snapshot(run.store, snapshot.uri), "validation")
    compared = golden_of(run, rows, embeddings, head, n_images=COMPARED_IMAGES)
    golden = compared.first(GOLDEN_IMAGES)
    files = _model_files(run, embeddings, head) | {GOLDEN: golden.to_npz()}
    difference, tolerance = _largest_difference(files, compared, golden), _tolerance(run)
    if not difference <= tolerance:
        raise ArtifactIntegrityError(
            f"export of {challenger.name!r}",
            f"probabilities within {tolerance} of the candidate's",
            f"a difference of {difference}",
        )
    lineage = _lineage(run, challenger, snapshot, embeddings, resampling)
    files |= {
        RECIPE: run.config.model_dump_json(indent=2).encode(),
        LINEAGE: to_json(lineage),
        CANDIDATE: to_json(challenger),
    }
    name = version_name(lineage, manifest_of(files).files)
    provenance = Provenance(run_id=run.run_id, started_at=run.started_at, by=run.started_by)
    manifest = publish_version(run.store, run.classifier, name, files, provenance)
    logger.info("version %s published; largest_difference=%.2e", name, difference)
    uri = uri_of(run.store, layout.version(run.classifier, name))
    return VersionRecord(name=name, uri=uri, digest=manifest.digest, largest_difference=difference)


def _model_files(run: Run, embeddings: EmbeddingRecord, head: Head) -> dict[str, bytes]:
    """Returns the files that say how an image becomes a label."""
    labels, size = run.config.labels, run.config.embedding.image_size
    model = compose(run, embeddings, head)
    served = saved_model.to_files(model, labels, head.thresholds, image_size=size)
    files = {MODEL: keras_file.to_bytes(model), LABELS: json.dumps(labels).encode()}
    if head.thresholds is not None:
        files[THRESHOLDS] = json.dumps(dict(zip(labels, head.thresholds.tolist(), strict=True))).encode()
    return files | {f"{SAVED_MODEL}{name}": body for name, body in served.items()}


def _tolerance(run: Run) -> float:
    embedding = run.config.embedding
    has_16_bits = embedding.precision == "mixed" or embedding.stored_as == "float16"
    return TOLERANCE_OF_16_BITS if has_16_bits else TOLERANCE


def _largest_difference(files: dict[str, bytes], compared: Golden, golden: Golden) -> float:
    """Compares what is loaded back from the bytes with the head on stored vectors, over validation images."""
    model = keras_file.from_bytes(files[MODEL])
    served = {name.removeprefix(SAVED_MODEL): body for name, body in files.items() if name.startswith(SAVED_MODEL)}
    differences = [
        check_golden(lambda images: predict_proba(model, [decode_image(image) for image in images]), compared),
        check_golden(lambda images: saved_model.predict(served, images).probabilities, golden),
    ]
    return float(np.max(differences))  # of NaN and a number it is NaN


def _lineage(
    run: Run,
    challenger: CandidateRecord,
    snapshot: SnapshotRecord,
    embeddings: EmbeddingRecord,
    resampling: ResamplingRecord,
) -> Lineage:
    plan = resampling.plans.get(challenger.strategy)
    return Lineage(
        classifier=run.classifier,
        window_end=run.window.end,
        snapshot_digest=snapshot.digest,
        resampling_digest=plan.digest if plan else "",
        extractor_fingerprint=embeddings.extractor.fingerprint,
        candidate=challenger.name,
        code_digest=code_digest(),
        config_digest=config_digest(run.config),
        versions=library_versions(),
        environment_digest=environment_digest(),
        seeds=seeds(run.config),
    )
