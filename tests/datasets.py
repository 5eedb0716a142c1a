"""Accepted batches, snapshots and vectors for tests, as earlier stages would have left them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from include.retraining.artifacts import SPLITS, BatchPointer, EmbeddingRecord, SnapshotRecord
from include.retraining.dataset.splits import split_counts
from include.retraining.embedding.fine_tuning.choice import choose_extractor
from include.retraining.embedding.gathering import view_fingerprints
from include.retraining.embedding.store.vectors import write_part
from include.retraining.intake.batches import TABLE
from include.retraining.run import Run
from include.retraining.schemas import BATCH, SNAPSHOT
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.pointers import move_pointer, read_pointer
from include.retraining.storage.publishing import publish, sha256
from include.retraining.storage.tables import to_parquet
from tests.builders import CLASSIFIER

DAY = date(2026, 1, 2)


def row(image_id: str, label: str = "daisy", **changes: Any) -> dict[str, Any]:
    """A row of an accepted batch, in the train split and without group, pin or hash unless told otherwise."""
    defaults = {
        "image_id": image_id,
        "key": f"incoming/{CLASSIFIER}/{image_id}.png",
        "bytes_sha256": f"bytes of {image_id}",
        "perceptual_hash": "",
        "label": label,
        "group": "",
        "split": "train",
        "pinned": False,
        "width": 32,
        "height": 32,
        "brightness": 0.5,
        "contrast": 0.25,
        "sharpness": 900.0,
        "attributes": "",
    }
    return {**defaults, **changes}


def accept(store: ObjectStore, day: date, rows: Sequence[Mapping[str, Any]], classifier: str = CLASSIFIER) -> None:
    """Publishes rows as a day's batch, in the order given, and makes it the current one."""
    body = to_parquet(pd.DataFrame(rows, columns=BATCH.names), BATCH)
    digest = sha256(body)[:16]
    publish(store, layout.batch(classifier, day, digest), {TABLE: body})
    key = layout.current_batch(classifier, day)
    current, etag = read_pointer(store, key, BatchPointer)
    pointer = BatchPointer(digest=digest, revision=current.revision + 1 if current else 1)
    move_pointer(store, key, pointer, etag=etag)


def publish_snapshot(run: Run, rows: Sequence[Mapping[str, Any]]) -> SnapshotRecord:
    """Publishes rows, each with its split, as a frozen dataset."""
    frame = pd.DataFrame(rows).assign(date=DAY).sort_values("image_id")
    body = to_parquet(frame, SNAPSHOT)
    digest = sha256(body)[:16]
    prefix = layout.snapshot(run.classifier, digest)
    publish(run.store, prefix, {"images.parquet": body})
    return SnapshotRecord(
        uri=uri_of(run.store, prefix),
        digest=digest,
        window_end=run.window.end,
        counts=split_counts(frame, run.config.labels),
        batch_uris={},
        conflicts=0,
        near_duplicate_clusters=0,
    )


def split_rows(counts: Mapping[str, Mapping[str, int]]) -> list[dict[str, Any]]:
    """Rows with as many images by split and label as asked for; their ids sort by neither."""
    named = [
        (sha256(f"{split} {label} {number}".encode()), split, label)
        for split in SPLITS
        for label, count in counts.get(split, {}).items()
        for number in range(count)
    ]
    return [row(image_id, label, split=split) for image_id, split, label in sorted(named)]


def blob_vectors(rows: Sequence[Mapping[str, Any]], labels: Sequence[str], n_features: int = 6) -> np.ndarray:
    """Vectors that lie around another corner for each label, far enough apart to be told from each other."""
    rng = np.random.default_rng(0)
    corners = np.eye(len(labels), n_features, dtype=np.float32) * 6
    noise = rng.normal(size=(len(rows), n_features)).astype(np.float32)
    return corners[[list(labels).index(one["label"]) for one in rows]] + noise


def embedding_of(run: Run) -> EmbeddingRecord:
    """What the embedding stage would leave where every vector is stored; without a projection."""
    extractor = choose_extractor(run)
    views = view_fingerprints(run, extractor)
    return EmbeddingRecord(extractor, views, projection_uri="", digest=extractor.fingerprint)


def store_vectors(run: Run, rows: Sequence[Mapping[str, Any]], vectors: np.ndarray) -> EmbeddingRecord:
    """Stores the vectors of rows as one part, under the fingerprint of the run's extractor."""
    embedding = embedding_of(run)
    write_part(run.store, embedding.extractor.fingerprint, [one["image_id"] for one in rows], vectors)
    return embedding


def pictured(store: ObjectStore, rows: Sequence[Mapping[str, Any]], side: int = 32) -> list[dict[str, Any]]:
    """Puts a picture where each row says that one is, of a colour for its label; returns the rows with its digest."""
    return [{**one, "bytes_sha256": _put_picture(store, one, side)} for one in rows]


def picture(label: str, number: int, side: int = 32) -> bytes:
    """A PNG file: noise around a colour that the label decides, another noise for each number."""
    colour = np.frombuffer(bytes.fromhex(sha256(label.encode())[:6]), np.uint8) // 2 + 64
    noise = np.random.default_rng(number).normal(0, 25, (side, side, 3))
    sink = io.BytesIO()
    Image.fromarray(np.clip(colour + noise, 0, 255).astype(np.uint8)).save(sink, "PNG")
    return sink.getvalue()


def _put_picture(store: ObjectStore, one: Mapping[str, Any], side: int) -> str:
    body = picture(one["label"], int(sha256(one["image_id"].encode())[:8], 16), side)
    store.put(one["key"], body)
    return sha256(body)
