"""Accepted batches, read back. They are written in `acceptance.py`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import pandas as pd

from include.retraining.artifacts import BatchPointer, Window
from include.retraining.intake.delivery.days import days_under
from include.retraining.schemas import BATCH
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import get_many
from include.retraining.storage.publishing import MANIFEST, read_published
from include.retraining.storage.records import from_json
from include.retraining.storage.tables import from_parquet

TABLE = "manifest.parquet"


@dataclass(frozen=True)
class Revisions:
    """Everything that was ever published as a day's batch.

    Attributes:
        current: Prefix of the revision that counts; None where the first one was not accepted to its end.
        others: Prefixes of all other revisions, in the order of their digests.
    """

    current: str | None
    others: tuple[str, ...]


def current_batches(store: ObjectStore, classifier: str, window: Window) -> dict[date, str]:
    """Returns the prefix of the current revision of each day's batch that a window sees, in the order of the days."""
    days = [day for day in days_under(store, layout.batches(classifier)) if window.sees(day)]
    return _current(store, classifier, days)


def all_revisions(store: ObjectStore, classifier: str) -> dict[date, Revisions]:
    """Returns every revision of each day's batch, in the order of the days; also those that no pointer names."""
    days = days_under(store, layout.batches(classifier))
    current = _current(store, classifier, days)
    return {day: Revisions(current.get(day), _others(store, classifier, day, current.get(day))) for day in days}


def read_batch(store: ObjectStore, prefix: str) -> pd.DataFrame:
    """Returns the rows of an accepted batch (schema `BATCH`).

    Raises:
        ArtifactIntegrityError: If nothing is published there, or not what its manifest names.
    """
    return from_parquet(read_published(store, prefix, TABLE), BATCH, uri_of(store, f"{prefix}{TABLE}"))


def _current(store: ObjectStore, classifier: str, days: list[date]) -> dict[date, str]:
    keys = [layout.current_batch(classifier, day) for day in days]
    prefixes = {}
    for day, key, body in zip(days, keys, get_many(store, keys), strict=True):
        if body is not None:  # a batch without its pointer was not accepted to the end
            pointer = from_json(BatchPointer, body, uri_of(store, key))
            prefixes[day] = layout.batch(classifier, day, pointer.digest)
    return prefixes


def _others(store: ObjectStore, classifier: str, day: date, current: str | None) -> tuple[str, ...]:
    folder = f"{layout.batches(classifier)}{day.isoformat()}/"
    prefixes = [layout.batch(classifier, day, digest) for digest in store.list_folders(folder)]
    return tuple(it for it in prefixes if it != current and store.exists(f"{it}{MANIFEST}"))
