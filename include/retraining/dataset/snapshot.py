"""The frozen dataset: every accepted batch up to the end of the window, one row an image."""

from __future__ import annotations

import logging
from datetime import date

import pandas as pd

from include.retraining.artifacts import SnapshotRecord
from include.retraining.dataset.splits import assign_splits, split_counts
from include.retraining.errors import ArtifactIntegrityError, InsufficientDataError
from include.retraining.intake.batches import current_batches, read_batch
from include.retraining.run import Run
from include.retraining.schemas import SNAPSHOT
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, key_of, uri_of
from include.retraining.storage.publishing import publish, read_published, sha256
from include.retraining.storage.tables import from_parquet, to_parquet

logger = logging.getLogger(__name__)

IMAGES = "images.parquet"
MINIMUM_TRAIN_IMAGES = 2  # one to train on and one to interpolate with
MINIMUM_VALIDATION_IMAGES = 1


def freeze(run: Run) -> SnapshotRecord:
    """Freezes the batches that the run's window sees into an immutable dataset.

    Side effects:
        Publishes `images.parquet` (schema `SNAPSHOT`) under the digest of its content; a repeat writes nothing.

    Raises:
        InsufficientDataError: If a class has too few train or validation images.
    """
    batches = current_batches(run.store, run.classifier, run.window)
    everything = _union(run.store, batches)
    rows, conflicts = _one_row_an_image(everything)
    rows["split"] = assign_splits(everything, run.config.dataset).loc[rows.index]
    rows = rows[rows["label"].isin(run.config.labels)]  # older batches may hold labels that the recipe gave up
    counts = split_counts(rows, run.config.labels)
    _require(counts["train"], "The train split", MINIMUM_TRAIN_IMAGES)
    _require(counts["validation"], "The validation split", MINIMUM_VALIDATION_IMAGES)
    body = to_parquet(rows.sort_values("image_id"), SNAPSHOT)
    digest = sha256(body)[:16]
    prefix = layout.snapshot(run.classifier, digest)
    publish(run.store, prefix, {IMAGES: body})
    logger.info("snapshot digest=%s batches=%d images=%d conflicts=%d", digest, len(batches), len(rows), conflicts)
    return SnapshotRecord(
        uri=uri_of(run.store, prefix),
        digest=digest,
        window_end=run.window.end,
        counts=counts,
        batch_uris={day: uri_of(run.store, batch) for day, batch in batches.items()},
        conflicts=conflicts,
    )


def read_snapshot(store: ObjectStore, uri: str) -> pd.DataFrame:
    """Returns the rows of a frozen dataset (schema `SNAPSHOT`), verified against its manifest."""
    prefix = key_of(store, uri)
    rows = from_parquet(read_published(store, prefix, IMAGES), SNAPSHOT, uri)
    if rows["image_id"].duplicated().any():
        raise ArtifactIntegrityError(uri, "one row an image", "an image id that occurs twice")
    return rows


def rows_of(snapshot: pd.DataFrame, split: str) -> pd.DataFrame:
    """Returns one split's rows, in image id order."""
    rows: pd.DataFrame = snapshot[snapshot["split"] == split].sort_values("image_id").reset_index(drop=True)
    return rows


def _union(store: ObjectStore, batches: dict[date, str]) -> pd.DataFrame:
    frames = [read_batch(store, prefix).assign(date=day) for day, prefix in sorted(batches.items())]
    if not frames:
        return pd.DataFrame(columns=SNAPSHOT.names)
    return pd.concat(frames, ignore_index=True)


def _one_row_an_image(rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Keeps the earliest row of each image; counts later ones that disagree about its label.

    Intake already refuses those. They appear where an earlier day was delivered again after a later one.
    """
    ordered = rows.sort_values(["date", "key"])
    kept = ordered.drop_duplicates("image_id")
    label_kept = ordered["image_id"].map(kept.set_index("image_id")["label"])
    return kept.copy(), int((ordered["label"] != label_kept).sum())


def _require(counts: dict[str, int], what: str, minimum: int) -> None:
    short = {label: count for label, count in counts.items() if count < minimum}
    if short:
        raise InsufficientDataError(what, short, minimum)
