"""What was delivered: the manifest's rows beside the objects that are there. No image is fetched here."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import PurePosixPath

import pandas as pd

from include.retraining.errors import DataContractError
from include.retraining.intake.days import days_under
from include.retraining.intake.manifests import MANIFEST, ManifestRow, parse_manifest
from include.retraining.run import Run
from include.retraining.schemas import LISTING
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, StoredObject, uri_of

logger = logging.getLogger(__name__)

READY = "_READY"
COMPANIONS = frozenset({MANIFEST, READY})  # what lies beside the images, and is none

Row = tuple[date, str, str, int, str, str, str]  # as LISTING


def list_delivery(run: Run) -> pd.DataFrame:
    """Lists the images that were delivered for the days of the run's window.

    Returns:
        Schema `LISTING`; every row of every manifest, and every object that no manifest names: `image` and `label` are
        empty there. Without a manifest, an object's folder is its label. No row where nothing was delivered.

    Raises:
        DataContractError: If a day's manifest cannot be read, or a day has a manifest or marker but no image at all.
    """
    days = [day for day in days_under(run.store, layout.deliveries(run.classifier)) if run.window.holds(day)]
    rows = [row for day in days for row in _rows_of(run.store, day, layout.incoming(run.classifier, day))]
    logger.info("listed classifier=%s days=%d rows=%d", run.classifier, len(days), len(rows))
    return pd.DataFrame(rows, columns=LISTING.names)


def _rows_of(store: ObjectStore, day: date, prefix: str) -> list[Row]:
    sizes = {found.key: found.size_bytes for found in store.list(prefix) if not _is_folder_marker(found)}
    if f"{prefix}{MANIFEST}" in sizes:
        manifest = parse_manifest(store.get(f"{prefix}{MANIFEST}"), uri_of(store, prefix))
        rows = [*_listed(manifest, day, prefix, sizes)]
    else:
        rows = [*_foldered(day, prefix, sizes)]
    rows += _unlisted({row[2] for row in rows}, day, prefix, sizes)
    if sizes and not rows:
        companions = " and ".join(key.removeprefix(prefix) for key in sizes)
        raise DataContractError(uri_of(store, prefix), [f"it holds {companions} but no image: deliver the images"])
    return rows


def _listed(manifest: list[ManifestRow], day: date, prefix: str, sizes: Mapping[str, int]) -> Iterator[Row]:
    for row in manifest:
        key = _key(row.image, prefix)
        yield day, row.image, key, sizes.get(key, -1), row.label, row.group, row.split


def _foldered(day: date, prefix: str, sizes: Mapping[str, int]) -> Iterator[Row]:
    for key, size in sizes.items():
        name = key.removeprefix(prefix)
        label, slash, _ = name.partition("/")
        if slash:
            yield day, name, key, size, label, "", ""


def _unlisted(named: set[str], day: date, prefix: str, sizes: Mapping[str, int]) -> Iterator[Row]:
    for key, size in sizes.items():
        if key not in named and key.removeprefix(prefix) not in COMPANIONS:
            yield day, "", key, size, "", "", ""


def _key(name: str, prefix: str) -> str:
    """Returns the key that a manifest's name means; empty where it would lead out of the batch."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        return ""
    return f"{prefix}{path}"


def _is_folder_marker(found: StoredObject) -> bool:
    """Tells whether an object is what consoles and file browsers write for an empty folder."""
    return found.key.endswith("/") and found.size_bytes == 0
