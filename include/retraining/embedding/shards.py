"""Which images still need a vector, cut into shards of bounded work."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from include.retraining.artifacts import EmbeddingRecord
from include.retraining.dataset.snapshot import read_snapshot
from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components
from include.retraining.embedding.images import read_images
from include.retraining.embedding.vectors import stored_ids, write_part
from include.retraining.run import Run

logger = logging.getLogger(__name__)

MOST_SHARDS = 64  # more map indexes make Airflow's grid slow


@dataclass(frozen=True)
class ShardImage:
    """An image that needs a vector.

    Attributes:
        image_id: Its id.
        key: Object key.
        bytes_sha256: What intake saw there.
    """

    image_id: str
    key: str
    bytes_sha256: str


@dataclass(frozen=True)
class Shard:
    """The images of one mapped task.

    Attributes:
        label: For people: `shard 3/12 · 500 images`.
        images: In image id order.
    """

    label: str
    images: tuple[ShardImage, ...]


def plan(run: Run, snapshot_uri: str) -> tuple[EmbeddingRecord, list[Shard]]:
    """Returns what the snapshot's vectors cost, and the shards of the missing ones; no shard where none is missing."""
    components = fingerprint_components(run.config.embedding)
    snapshot = read_snapshot(run.store, snapshot_uri).sort_values("image_id")
    stored = stored_ids(run.store, fingerprint(components))
    missing = snapshot[~snapshot["image_id"].isin(stored)]
    images = [
        ShardImage(row.image_id, row.key, row.bytes_sha256)
        for row in missing[["image_id", "key", "bytes_sha256"]].itertuples(index=False)
    ]
    record = EmbeddingRecord(
        fingerprint=fingerprint(components),
        n_images=len(snapshot),
        n_stored=len(snapshot) - len(images),
        n_missing=len(images),
        components=components,
    )
    return record, _cut(images, run.config.embedding.shard_images)


def extract(run: Run, shard: Shard) -> str:
    """Computes and stores the vectors of a shard.

    Side effects:
        Publishes one part of the embedding store; a repeat of the same shard gives the same part.

    Returns:
        URI of the part.

    Raises:
        ArtifactIntegrityError: If an image is not the one that intake accepted.
    """
    from include.retraining.embedding.extractor import build_extractor  # loads TensorFlow: seconds

    started = time.monotonic()
    extractor = build_extractor(run.config.embedding)
    keys, digests = [image.key for image in shard.images], [image.bytes_sha256 for image in shard.images]
    images = list(read_images(run.store, keys, digests))
    vectors = extractor.embed(images)
    seconds = time.monotonic() - started
    logger.info("embedded images=%d seconds=%.1f dimensions=%d", len(images), seconds, vectors.shape[1])
    ids = [image.image_id for image in shard.images]
    return write_part(run.store, fingerprint(fingerprint_components(run.config.embedding)), ids, vectors)


def keep_shard(run: Run, index: int, shard: Shard) -> str:
    """Stores a shard's list of images among the run's records; returns its URI."""
    return run.record(f"embedding/shard-{index:04d}.json", shard)


def _cut(images: Sequence[ShardImage], size: int) -> list[Shard]:
    """Cuts images into equal shards of about `size`, more where that would be over `MOST_SHARDS` shards."""
    number = min(MOST_SHARDS, -(-len(images) // size))
    bounds = [len(images) * index // number for index in range(number + 1)] if number else [0]
    pieces = [tuple(images[start:end]) for start, end in zip(bounds, bounds[1:], strict=False)]
    return [
        Shard(label=f"shard {index}/{number} · {len(piece)} images", images=piece)
        for index, piece in enumerate(pieces, start=1)
    ]
