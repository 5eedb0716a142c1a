"""Accepted batches, read back. They are written in `acceptance.py`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pandas as pd

from include.retraining.artifacts import BatchPointer, Window
from include.retraining.intake.days import days_under
from include.retraining.schemas import BATCH
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import get_many
from include.retraining.storage.publishing import read_published
from include.retraining.storage.records import from_json
from include.retraining.storage.tables import from_parquet

TABLE = "manifest.parquet"


def current_batches(store: ObjectStore, classifier: str, window: Window) -> dict[date, str]:
    """Returns the prefix of the current revision of each day's batch that a window sees, in the order of the days."""
    return _batches(store, classifier, window.sees)


def earlier_images(store: ObjectStore, classifier: str, before: date) -> pd.DataFrame:
    """Returns the images of the current batches of all days before a day.

    Returns:
        Columns `label` and `split` (as pinned, or empty), by image id; of an image in several batches, the earliest.
    """
    prefixes = _batches(store, classifier, lambda day: day < before)
    frames = [read_batch(store, prefix)[["image_id", "label", "split"]] for prefix in prefixes.values()]
    if not frames:
        return pd.DataFrame({"label": [], "split": []}, index=pd.Index([], name="image_id"), dtype=str)
    return pd.concat(frames).drop_duplicates("image_id").set_index("image_id")


def read_batch(store: ObjectStore, prefix: str) -> pd.DataFrame:
    """Returns the rows of an accepted batch (schema `BATCH`).

    Raises:
        ArtifactIntegrityError: If nothing is published there, or not what its manifest names.
    """
    return from_parquet(read_published(store, prefix, TABLE), BATCH, uri_of(store, f"{prefix}{TABLE}"))


def _batches(store: ObjectStore, classifier: str, is_wanted: Callable[[date], bool]) -> dict[date, str]:
    days = [day for day in days_under(store, layout.batches(classifier)) if is_wanted(day)]
    keys = [layout.current_batch(classifier, day) for day in days]
    prefixes = {}
    for day, key, body in zip(days, keys, get_many(store, keys), strict=True):
        if body is not None:  # a batch without its pointer was not accepted to the end
            pointer = from_json(BatchPointer, body, uri_of(store, key))
            prefixes[day] = layout.batch(classifier, day, pointer.digest)
    return prefixes
