"""The embedding store: vectors by image id under their extractor's fingerprint, written once and never again.

A part is an artifact of its own: `ids.json`, `vectors.npy` and a manifest written last. Parts are named by what they
hold, so that a shard which is computed twice gives one part.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence

import numpy as np

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import get_many
from include.retraining.storage.publishing import (
    MANIFEST,
    content_digest,
    parse_manifest,
    publish,
    read_published,
    sha256,
)

IDS = "ids.json"
VECTORS = "vectors.npy"


def write_part(store: ObjectStore, fingerprint: str, image_ids: Sequence[str], vectors: np.ndarray) -> str:
    """Publishes the vectors of some images.

    Args:
        store: Where to.
        fingerprint: Of the extractor that made them.
        image_ids: Ids, distinct.
        vectors: Shape `(n_images, n_features)`, float32, finite.

    Returns:
        URI of the part.

    Raises:
        ValueError: If a vector is not finite, or ids and vectors do not pair.
    """
    if len(image_ids) != len(vectors):
        raise ValueError(f"Expected one vector an id; got {len(image_ids)} ids and {len(vectors)} vectors.")
    if not np.isfinite(vectors).all():
        raise ValueError("Expected finite vectors; got NaN or infinity. The extractor or its worker is broken.")
    files = {IDS: json.dumps(list(image_ids)).encode(), VECTORS: _to_npy(vectors)}
    name = content_digest({file: sha256(body) for file, body in files.items()})[:16]
    prefix = f"{layout.embeddings(fingerprint)}{name}/"
    publish(store, prefix, files)
    return uri_of(store, prefix)


def stored_ids(store: ObjectStore, fingerprint: str) -> set[str]:
    """Returns the ids of the images whose vectors are stored; no vector is read."""
    return {image_id for _, ids in _parts(store, fingerprint) for image_id in ids}


def read_vectors(store: ObjectStore, fingerprint: str, image_ids: Sequence[str]) -> np.ndarray:
    """Returns the vectors of images in the order asked for, verified against their parts' manifests.

    Args:
        store: Where from.
        fingerprint: Of the extractor.
        image_ids: Ids, distinct; each must be stored.

    Returns:
        Shape `(n_images, n_features)`, float32.

    Raises:
        ArtifactIntegrityError: If an id is not stored, or a part's bytes are not those that were published.
        ValueError: If an id is asked for twice.
    """
    wanted = {image_id: row for row, image_id in enumerate(image_ids)}
    if len(wanted) != len(image_ids):
        raise ValueError(f"Expected distinct ids; got {len(image_ids)} of which {len(wanted)} differ.")
    vectors: np.ndarray | None = None
    missing = set(wanted)
    for prefix, ids in _parts(store, fingerprint):
        here = [(source, wanted[image_id]) for source, image_id in enumerate(ids) if image_id in missing]
        if not here:
            continue
        part = np.load(io.BytesIO(read_published(store, prefix, VECTORS)), allow_pickle=False)
        if vectors is None:
            vectors = np.empty((len(image_ids), part.shape[1]), dtype=np.float32)
        sources, rows = zip(*here, strict=True)
        vectors[list(rows)] = part[list(sources)]
        missing.difference_update(ids)
    if missing or vectors is None:
        uri = uri_of(store, layout.embeddings(fingerprint))
        raise ArtifactIntegrityError(uri, f"vectors of {len(wanted)} images", f"none of {len(missing)} of them")
    return vectors


def _parts(store: ObjectStore, fingerprint: str) -> Iterator[tuple[str, list[str]]]:
    """Yields the prefix and the verified ids of every whole part, in the order of their names."""
    keys = [found.key for found in store.list(layout.embeddings(fingerprint)) if found.key.endswith(f"/{MANIFEST}")]
    prefixes = [key.removesuffix(MANIFEST) for key in keys]
    manifests, bodies = get_many(store, keys), get_many(store, [f"{prefix}{IDS}" for prefix in prefixes])
    for prefix, manifest, body in zip(prefixes, manifests, bodies, strict=True):
        listed = parse_manifest(manifest or b"", uri_of(store, f"{prefix}{MANIFEST}")).files.get(IDS)
        if body is None or sha256(body) != listed:
            got = "no object" if body is None else f"sha256 {sha256(body)}"
            raise ArtifactIntegrityError(uri_of(store, f"{prefix}{IDS}"), f"sha256 {listed}", got)
        yield prefix, json.loads(body)


def _to_npy(vectors: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, np.ascontiguousarray(vectors, dtype=np.float32), allow_pickle=False)
    return sink.getvalue()
