"""Which vectors are missing, and why, cut into shards of bounded work. What computes a shard is in `extraction.py`."""

from __future__ import annotations

import logging
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from include.retraining.artifacts import EmbeddingPlan, ExtractorRecord, ImageRef
from include.retraining.dataset.images import image_refs, locality_order
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.fingerprint import fingerprint, view_components
from include.retraining.embedding.store.components import remember_components, why_missing
from include.retraining.embedding.store.index import open_index
from include.retraining.embedding.store.vectors import damaged
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.run import Run
from include.retraining.schemas import SHARD
from include.retraining.storage.base import key_of, uri_of
from include.retraining.storage.tables import from_parquet, to_parquet

logger = logging.getLogger(__name__)

MOST_SHARDS = 64  # more map indexes make Airflow's grid slow


@dataclass(frozen=True)
class Shard:
    """The images of one mapped task.

    Attributes:
        label: For people: `shard 3/12 · 500 images`, with ` · view 2` where it is one.
        view: Which augmented view of them is embedded, from 1; 0 for the images themselves.
        images: As they lie together in the store. At least one.
    """

    label: str
    view: int
    images: tuple[ImageRef, ...]


@dataclass(frozen=True)
class _Vectors:
    """The vectors that a snapshot needs under one fingerprint.

    Attributes:
        view: As in `Shard`.
        fingerprint: Under which they are stored.
        components: What it is made of.
        image_ids: Whose vectors.
        is_missing: Whether each has to be computed, shape `(n_images,)`, bool.
        n_damaged: How many of those are stored in bytes that are not those that were published.
    """

    view: int
    fingerprint: str
    components: Mapping[str, str]
    image_ids: np.ndarray
    is_missing: np.ndarray
    n_damaged: int


def plan(run: Run, snapshot_uri: str, extractor: ExtractorRecord) -> tuple[EmbeddingPlan, list[Shard]]:
    """Returns what a snapshot's vectors cost, and the shards of the missing ones; no shard where none is missing.

    Every vector that is there already is read and compared with its manifest.

    Side effects:
        Remembers what the fingerprints are made of, so that a later one can be told apart.
    """
    rows = read_snapshot(run.store, snapshot_uri).sort_values("image_id", ignore_index=True)
    needed = _needed(run, rows, extractor)
    reasons = _why_missing(run, needed)
    for vectors in needed:
        remember_components(run.store, vectors.fingerprint, vectors.components)
    n_vectors = sum(len(vectors.image_ids) for vectors in needed)
    n_missing = sum(int(vectors.is_missing.sum()) for vectors in needed)
    record = EmbeddingPlan(
        fingerprint=extractor.fingerprint,
        n_images=len(rows),
        n_vectors=n_vectors,
        n_stored=n_vectors - n_missing,
        n_missing=n_missing,
        n_damaged=sum(vectors.n_damaged for vectors in needed),
        why_missing=reasons,
        components=extractor.components,
    )
    shards = cut(_missing_images(run, rows, needed), run.config.embedding.shard_images)
    logger.info(
        "planned vectors=%d stored=%d missing=%d damaged=%d shards=%d why=%s",
        n_vectors,
        record.n_stored,
        n_missing,
        record.n_damaged,
        len(shards),
        reasons,
    )
    return record, shards


def cut(images_of_views: Mapping[int, Sequence[ImageRef]], size: int) -> list[Shard]:
    """Cuts each view's images into even shards of at most `size`, larger ones where that gave over `MOST_SHARDS`.

    Args:
        images_of_views: The images that need a vector, by view, in the order in which they are best read.
        size: Images that one task should embed.
    """
    lengths = [len(images) for images in images_of_views.values()]

    def number_at(size: int) -> int:
        return sum(-(-length // size) for length in lengths)

    sizes = range(size, max(size, *lengths, 1) + 1)
    size = sizes[bisect_left(sizes, -MOST_SHARDS, key=lambda size: -number_at(size))]
    number, shards = number_at(size), list[Shard]()
    for view, images in images_of_views.items():
        pieces = -(-len(images) // size)
        bounds = [len(images) * piece // pieces for piece in range(pieces + 1)] if pieces else []
        for start, end in zip(bounds, bounds[1:], strict=False):
            label = f"shard {len(shards) + 1}/{number} · {end - start} images{f' · view {view}' if view else ''}"
            shards.append(Shard(label, view, tuple(images[start:end])))
    return shards


def keep_shard(run: Run, index: int, shard: Shard) -> str:
    """Stores a shard among the run's records, a row an image; returns its URI."""
    columns = {field.name: [getattr(image, field.name) for image in shard.images] for field in fields(ImageRef)}
    frame = pd.DataFrame({**columns, "label": shard.label, "view": shard.view})
    key = f"{run.prefix}embedding/shard-{index:04d}.parquet"
    run.store.put(key, to_parquet(frame, SHARD))
    return uri_of(run.store, key)


def recall_shard(run: Run, uri: str) -> Shard:
    """Returns a shard that was kept.

    Raises:
        KeyError: If none was kept there.
        ArtifactIntegrityError: If the object there is no shard.
    """
    frame = from_parquet(run.store.get(key_of(run.store, uri)), SHARD, uri)
    if frame.empty:
        raise ArtifactIntegrityError(uri, "the images of a shard", "no row")
    images = frame[[field.name for field in fields(ImageRef)]].itertuples(index=False, name=None)
    return Shard(str(frame["label"][0]), int(frame["view"][0]), tuple(ImageRef(*image) for image in images))


def _needed(run: Run, rows: pd.DataFrame, extractor: ExtractorRecord) -> list[_Vectors]:
    """Returns the vectors of all images, then those of each view of the train images."""
    config = run.config.embedding
    train_ids = rows_of(rows, "train")["image_id"].to_numpy()
    needed = [_find(run, 0, extractor.components, rows["image_id"].to_numpy())]
    for view in range(1, config.views + 1):
        needed.append(_find(run, view, view_components(extractor.components, config, view), train_ids))
    return needed


def _find(run: Run, view: int, components: Mapping[str, str], image_ids: np.ndarray) -> _Vectors:
    name = fingerprint(components)
    is_missing = open_index(run.store, name).missing(list(image_ids))
    broken = damaged(run.store, name, list(image_ids[~is_missing]))
    is_broken = np.isin(image_ids, list(broken))
    return _Vectors(view, name, components, image_ids, is_missing | is_broken, len(broken))


def _why_missing(run: Run, needed: Sequence[_Vectors]) -> tuple[str, ...]:
    """Returns why the first fingerprint without vectors has none: what it differs in, its views differ in as well."""
    reasons = (why_missing(run.store, vectors.fingerprint, vectors.components) for vectors in needed)
    return next(filter(None, reasons), ())


def _missing_images(run: Run, rows: pd.DataFrame, needed: Sequence[_Vectors]) -> dict[int, list[ImageRef]]:
    wanted = {image_id for vectors in needed for image_id in vectors.image_ids[vectors.is_missing]}
    found = locality_order(image_refs(run.store, run.classifier, rows[rows["image_id"].isin(wanted)]))
    missing = {vectors.view: set(vectors.image_ids[vectors.is_missing]) for vectors in needed}
    return {view: [image for image in found if image.image_id in ids] for view, ids in missing.items()}
