"""The end of the embedding stage: every vector is there, the index is merged, the projection is fitted."""

from __future__ import annotations

import logging

from include.retraining.artifacts import EmbeddingRecord, ExtractorRecord
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.fingerprint import fingerprint, view_components
from include.retraining.embedding.projection import fit_projection, publish_projection
from include.retraining.embedding.store.index import merge_index, open_index
from include.retraining.embedding.store.vectors import read_vectors
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import sha256

logger = logging.getLogger(__name__)


def gather(run: Run, snapshot_uri: str, extractor: ExtractorRecord) -> EmbeddingRecord:
    """Makes sure that every vector of a snapshot is stored, and fits the projection where the recipe asks for one.

    Side effects:
        Merges the indexes of the parts, where there are many; publishes the projection. A repeat writes nothing.

    Raises:
        ArtifactIntegrityError: If a vector is missing.
    """
    rows = read_snapshot(run.store, snapshot_uri)
    train_ids = list(rows_of(rows, "train")["image_id"])
    views = view_fingerprints(run, extractor)
    for vectors_of, image_ids in ((extractor.fingerprint, list(rows["image_id"])), *((it, train_ids) for it in views)):
        _require_all(run, vectors_of, image_ids)
        merge_index(run.store, vectors_of)
    projection_uri = _fit(run, extractor, train_ids)
    return EmbeddingRecord(
        extractor=extractor,
        view_fingerprints=views,
        projection_uri=projection_uri,
        digest=sha256("\n".join((extractor.fingerprint, *views, projection_uri)).encode())[:16],
    )


def view_fingerprints(run: Run, extractor: ExtractorRecord) -> tuple[str, ...]:
    """Returns the fingerprints of the augmented views that the recipe asks for, view by view."""
    embedding = run.config.embedding
    return tuple(
        fingerprint(view_components(extractor.components, embedding, view)) for view in range(1, embedding.views + 1)
    )


def _require_all(run: Run, vectors_of: str, image_ids: list[str]) -> None:
    missing = int(open_index(run.store, vectors_of).missing(image_ids).sum())
    if missing:
        raise ArtifactIntegrityError(
            uri_of(run.store, layout.embeddings(vectors_of)),
            f"vectors of {len(image_ids)} images",
            f"none of {missing} of them",
        )


def _fit(run: Run, extractor: ExtractorRecord, train_ids: list[str]) -> str:
    n_components = run.config.embedding.pca
    if n_components is None:
        return ""
    projection = fit_projection(read_vectors(run.store, extractor.fingerprint, train_ids), n_components)
    logger.info("projection components=%d explained=%.4f", n_components, float(projection.explained.sum()))
    return publish_projection(run.store, extractor.fingerprint, projection)
