"""The frozen dataset: every accepted batch up to the end of the window, one row an image."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import date, timedelta

import pandas as pd

from include.retraining.artifacts import SnapshotRecord, Split
from include.retraining.dataset.leaks import require_near_duplicates_together, require_one_split_each
from include.retraining.dataset.splits import split_counts
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
COUNTS = "counts.json"
MINIMUM_TRAIN_IMAGES = 2  # one to train on and one to interpolate with
MINIMUM_VALIDATION_IMAGES = 1


def freeze(run: Run) -> SnapshotRecord:
    """Freezes the batches that the run's window sees into an immutable dataset.

    Splits are those that intake assigned: none is computed here.

    Side effects:
        Publishes `images.parquet` (schema `SNAPSHOT`) under the digest of its content, with `counts.json` (images by
        split and label); a repeat writes nothing.

    Raises:
        DataContractError: If an image or a group lies in two splits.
        ConfigurationError: If a cluster of near-duplicates does.
        InsufficientDataError: If a class has too few train or validation images.
    """
    batches = _batches(run)
    everything = _union(run.store, batches)
    require_one_split_each(everything, uri_of(run.store, layout.batches(run.classifier)))
    rows, conflicts = _one_row_an_image(everything)
    rows = rows[rows["label"].isin(run.config.labels)]  # older batches may hold labels that the recipe gave up
    bits = run.config.dataset.near_duplicate_bits
    clusters = require_near_duplicates_together(rows, bits, f"{run.classifier}.yaml")
    counts = split_counts(rows, run.config.labels)
    _require(counts["train"], "The train split", MINIMUM_TRAIN_IMAGES)
    _require(counts["validation"], "The validation split", MINIMUM_VALIDATION_IMAGES)
    digest = _publish(run, rows, counts)
    logger.info("snapshot digest=%s batches=%d images=%d conflicts=%d", digest, len(batches), len(rows), conflicts)
    return SnapshotRecord(
        uri=uri_of(run.store, layout.snapshot(run.classifier, digest)),
        digest=digest,
        window_end=run.window.end,
        counts=counts,
        batch_uris={day: uri_of(run.store, batch) for day, batch in batches.items()},
        conflicts=conflicts,
        near_duplicate_clusters=clusters,
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


def _batches(run: Run) -> dict[date, str]:
    batches = current_batches(run.store, run.classifier, run.window)
    if run.config.dataset.rolling_days is None:
        return batches
    first = (run.window.end - timedelta(days=run.config.dataset.rolling_days)).date()
    return {day: prefix for day, prefix in batches.items() if day >= first}


def _publish(run: Run, rows: pd.DataFrame, counts: Mapping[Split, Mapping[str, int]]) -> str:
    body = to_parquet(rows.sort_values("image_id"), SNAPSHOT)
    digest = sha256(body)[:16]
    tally = json.dumps(counts, indent=2, sort_keys=True).encode()
    publish(run.store, layout.snapshot(run.classifier, digest), {IMAGES: body, COUNTS: tally})
    return digest


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
