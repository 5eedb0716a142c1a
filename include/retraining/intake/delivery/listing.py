"""What was delivered: the manifests' rows beside the objects that are there. No image is fetched here."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePosixPath

import pandas as pd

from include.retraining.errors import DataContractError
from include.retraining.intake.delivery.companions import (
    COMPANIONS,
    MANIFEST_NAMES,
    READY,
    RELEASED,
    is_folder_marker,
)
from include.retraining.intake.delivery.days import days_under
from include.retraining.intake.delivery.manifest_rows import LIKENESS, Manifest
from include.retraining.intake.delivery.manifests import read_manifest, read_released
from include.retraining.intake.delivery.readiness import MISSING_MARK, missing_mark
from include.retraining.intake.names import shown_name
from include.retraining.run import Run
from include.retraining.schemas import LISTING
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of

logger = logging.getLogger(__name__)

Row = tuple[date, str, str, int, str, str, str, str]  # as LISTING


@dataclass(frozen=True)
class DeliveryListing:
    """What was delivered for the days of a window.

    Attributes:
        rows: Schema `LISTING`, by day and key.
        warnings: By day, one sentence each; a day without warnings is not there.
    """

    rows: pd.DataFrame
    warnings: Mapping[date, tuple[str, ...]]


@dataclass(frozen=True)
class _DayFolder:
    """A day's folder: where it is, and the size of each object in it by key, in key order."""

    day: date
    prefix: str
    sizes: Mapping[str, int]


def list_delivery(run: Run) -> DeliveryListing:
    """Lists the images that were delivered for the days of the run's window.

    Returns:
        Every row of every manifest, and every object that no manifest names: `image` and `label` are empty there.
        Without a manifest, an object's folder is its label. No row where nothing was delivered.

    Raises:
        DataContractError: If a day's manifests cannot be read, or a day has a manifest or marker but no image at all.
    """
    days = [day for day in days_under(run.store, layout.deliveries(run.classifier)) if run.window.holds(day)]
    frames: list[pd.DataFrame] = []
    warnings: dict[date, tuple[str, ...]] = {}
    for day in days:
        rows, told = _list_day(run, day)
        if rows:
            frames.append(pd.DataFrame(rows, columns=LISTING.names))
        if told:
            warnings[day] = told
    listing = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame([], columns=LISTING.names)
    logger.info("listed classifier=%s days=%d rows=%d", run.classifier, len(days), len(listing))
    return DeliveryListing(listing, warnings)


def _list_day(run: Run, day: date) -> tuple[list[Row], tuple[str, ...]]:
    """Returns the rows of a day in their order, and the warnings."""
    prefix = layout.incoming(run.classifier, day)
    sizes = {found.key: found.size_bytes for found in run.store.list(prefix) if not is_folder_marker(found)}
    if not sizes:
        return [], ()
    folder = _DayFolder(day, prefix, sizes)
    manifest = read_manifest(run.store, prefix, sizes)
    released = read_released(run.store, prefix, sizes)
    rows = [*(_foldered(folder, released is not None) if manifest is None else _listed(manifest, folder, ""))]
    rows += _listed(released, folder, RELEASED) if released else ()
    rows += _unlisted({row[2] for row in rows}, folder)
    names = [key.removeprefix(prefix) for key in sizes]
    if not rows:
        problem = f"it holds {' and '.join(names)} but no image: deliver the images"
        raise DataContractError(uri_of(run.store, prefix), [problem])
    warnings = [*_marker_warnings(run, names), *(_name_warnings(names) if manifest is None else ())]
    warnings += [warning for read in (manifest, released) if read for warning in read.warnings]
    return sorted(rows, key=_order), tuple(warnings)


def _order(row: Row) -> tuple[str, ...]:
    _, image, key, _, label, group, split, attributes = row
    return key, image, label, split, group, attributes


def _listed(manifest: Manifest, folder: _DayFolder, base: str) -> Iterator[Row]:
    """Yields the rows of a manifest whose names are relative to `base`."""
    for row in manifest.rows:
        key = _key(row.image, f"{folder.prefix}{base}")
        size = folder.sizes.get(key, -1)
        yield folder.day, row.image, key, size, row.label, row.group, row.split, row.attributes


def _foldered(folder: _DayFolder, has_released: bool) -> Iterator[Row]:
    for key, size in folder.sizes.items():
        name = key.removeprefix(folder.prefix)
        label, slash, _ = name.partition("/")
        if slash and not (has_released and name.startswith(RELEASED)):
            yield folder.day, name, key, size, label, "", "", ""


def _unlisted(named: set[str], folder: _DayFolder) -> Iterator[Row]:
    for key, size in folder.sizes.items():
        if key not in named and key.removeprefix(folder.prefix) not in COMPANIONS:
            yield folder.day, "", key, size, "", "", "", ""


def _key(name: str, prefix: str) -> str:
    """Returns the key that a manifest's name means; empty where it would lead out of the prefix."""
    path = PurePosixPath(name)
    if not path.parts or path.is_absolute() or ".." in path.parts:
        return ""
    return f"{prefix}{path}"


def _marker_warnings(run: Run, names: Sequence[str]) -> tuple[str, ...]:
    if run.config.intake.complete_when != "marker" or READY in names or not (mark := missing_mark(names)):
        return ()
    return (f"the delivery may not be complete: {MISSING_MARK[mark]}",)


def _name_warnings(names: Sequence[str]) -> Iterator[str]:
    """Warns of an object beside the label folders whose name is nearly that of a manifest."""
    for name in names:
        if "/" not in name and difflib.get_close_matches(name.casefold(), MANIFEST_NAMES, n=1, cutoff=LIKENESS):
            yield f"{shown_name(name)} is no manifest: one is named {', '.join(MANIFEST_NAMES)}, letter for letter"
