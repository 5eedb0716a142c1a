"""The embedding store: vectors by image id under their extractor's fingerprint, added part by part, verified on read.

How a part lies in the store is in `parts.py`; which part holds which image in `index.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import numpy as np

from include.retraining.config import StoredType
from include.retraining.embedding.store.index import Index, open_index
from include.retraining.embedding.store.parts import (
    IDS,
    Part,
    binary_ids,
    part_files,
    part_name,
    part_prefix,
    put_part,
    read_parts,
    vectors_file,
)
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import MANIFEST, problems_of, read_manifest

logger = logging.getLogger(__name__)


def write_part(
    store: ObjectStore,
    fingerprint: str,
    image_ids: Sequence[str],
    vectors: np.ndarray,
    *,
    stored_as: StoredType = "float32",
) -> str:
    """Publishes the vectors of some images as one part.

    Args:
        store: Where to.
        fingerprint: Of the extractor that made them.
        image_ids: Ids of 64 hexadecimal digits, distinct, at least one, in any order.
        vectors: Shape `(n_images, n_features)`, finite.
        stored_as: Type of the stored numbers. `float16` keeps 11 significant bits and nothing beyond ±65504.

    Returns:
        URI of the part.

    Side effects:
        Where a whole part of the same ids is published already nothing is written, and its vectors stay, were they
        others. One that is not whole is written anew. The manifest comes last.

    Raises:
        ConfigurationError: If a number is too large for float16.
        ValueError: If a vector is not finite, an id no id, or ids and vectors do not pair.
    """
    ids = _distinct(image_ids)
    if not len(ids) or vectors.ndim != 2 or len(ids) != len(vectors):
        raise ValueError(f"Expected one vector an id; got {len(ids)} ids and vectors of shape {vectors.shape}.")
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    prefix = part_prefix(fingerprint, part_name(ids))
    if not _is_whole(store, prefix):
        put_part(store, prefix, part_files(Part(ids, _to_stored(vectors, stored_as)[order])))
    return uri_of(store, prefix)


def stored_part(store: ObjectStore, fingerprint: str, image_ids: Sequence[str]) -> str | None:
    """Returns the URI of the part of exactly these images, or None where none is published or its bytes are not whole.

    Raises:
        ValueError: If an id is no id, or comes twice.
    """
    prefix = part_prefix(fingerprint, part_name(np.sort(_distinct(image_ids))))
    return uri_of(store, prefix) if _is_whole(store, prefix) else None


def read_vectors(store: ObjectStore, fingerprint: str, image_ids: Sequence[str]) -> np.ndarray:
    """Returns the vectors of images in the order asked for, verified against their parts' manifests.

    A part whose bytes are not those that were published is passed over, with a warning; another part may hold the
    same images. Beside the result and an index entry an image, memory holds a few parts at a time.

    Args:
        store: Where from.
        fingerprint: Of the extractor.
        image_ids: Ids, distinct, at least one; each must be stored.

    Returns:
        Shape `(n_images, n_features)`, float32.

    Raises:
        ArtifactIntegrityError: If no whole part holds one of the images, or vectors differ in length.
        ValueError: If an id is no id, or comes twice, or there is none.
    """
    ids = _distinct(image_ids)
    if not len(ids):
        raise ValueError("Expected at least one image id; got none.")
    vectors: np.ndarray | None = None
    n_read = 0
    for rows, found in _stored_vectors(store, fingerprint, open_index(store, fingerprint), ids):
        if vectors is None:
            vectors = np.empty((len(ids), found.shape[1]), np.float32)
        if found.shape[1] != vectors.shape[1]:
            uri = uri_of(store, layout.embedding_parts(fingerprint))
            raise ArtifactIntegrityError(uri, "vectors of one length", f"{vectors.shape[1]} and {found.shape[1]}")
        vectors[rows] = found
        n_read += len(rows)
    if vectors is None or n_read < len(ids):
        got = f"none of {len(ids) - n_read} of them; a new run computes them again"
        raise ArtifactIntegrityError(
            uri_of(store, layout.embeddings(fingerprint)), f"vectors of {len(ids)} images", got
        )
    return vectors


def damaged(store: ObjectStore, fingerprint: str, image_ids: Sequence[str]) -> set[str]:
    """Returns those images whose only stored vectors lie in parts whose bytes are not those that were published.

    Reads every part that holds one of the images, a few at a time. Images that are not stored at all are not in it.

    Raises:
        ValueError: If an id is no id, or comes twice.
    """
    ids = _distinct(image_ids)
    index = open_index(store, fingerprint)
    is_lost = ~index.missing(image_ids)
    for rows, _ in _stored_vectors(store, fingerprint, index, ids):
        is_lost[rows] = False
    return {image_ids[int(row)] for row in np.flatnonzero(is_lost)}


def _stored_vectors(
    store: ObjectStore, fingerprint: str, index: Index, ids: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields rows of `ids` with their vectors, part by part; every row at most once, and rows without any never.

    Of several parts that hold an image the first by name is read, and the next only where that one is not whole.
    """
    rows, holders = index.holders(ids)
    while len(rows):
        _, first = np.unique(rows, return_index=True)
        chosen = np.zeros(len(rows), bool)
        chosen[first] = True
        by_part = first[np.argsort(holders[first], kind="stable")]
        parts, starts = np.unique(holders[by_part], return_index=True)
        is_done = np.zeros(len(ids), bool)
        is_broken = np.zeros(len(index.parts), bool)
        wanted = np.split(rows[by_part], starts[1:])
        found = read_parts(store, fingerprint, [index.parts[part] for part in parts])
        for part, asked, (_, content) in zip(parts, wanted, found, strict=True):
            if content is None:
                is_broken[part] = True
                continue
            at = np.searchsorted(content.ids, ids[asked]).clip(max=len(content.ids) - 1)
            is_here = content.ids[at] == ids[asked]  # the index knows half of an id
            yield asked[is_here], content.vectors[at[is_here]]
            is_done[asked[is_here]] = True
        left = ~(chosen | is_done[rows] | is_broken[holders])
        rows, holders = rows[left], holders[left]


def _is_whole(store: ObjectStore, prefix: str) -> bool:
    if not store.exists(f"{prefix}{MANIFEST}"):
        return False
    problems = problems_of(store, prefix)
    if not problems:
        manifest = read_manifest(store, prefix)
        if set(manifest.files) != {IDS, vectors_file(manifest)}:
            problems = [f"its manifest lists {', '.join(manifest.files)}"]
    if problems:
        logger.warning("part is not whole uri=%s problems=%s", uri_of(store, prefix), "; ".join(problems))
    return not problems


def _to_stored(vectors: np.ndarray, stored_as: StoredType) -> np.ndarray:
    if not np.isfinite(vectors).all():
        raise ValueError("Expected finite vectors; got NaN or infinity. The extractor or its worker is broken.")
    with np.errstate(over="ignore"):
        stored = vectors.astype(stored_as)
    if not np.isfinite(stored).all():
        largest, most = float(np.abs(vectors).max()), float(np.finfo(stored_as).max)
        problem = f"a vector holds {largest:g}, and {stored_as} ends at {most:g}"
        raise ConfigurationError("embedding.stored_as", problem, "Use `stored_as: float32`")
    return stored


def _distinct(image_ids: Sequence[str]) -> np.ndarray:
    ids = binary_ids(image_ids)
    ordered = np.sort(ids)
    n_repeated = int((ordered[1:] == ordered[:-1]).sum())
    if n_repeated:
        n_distinct = len(ids) - n_repeated
        raise ValueError(f"Expected distinct ids; got {len(ids)} of which {n_distinct} differ.")
    return ids
