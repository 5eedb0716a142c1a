"""Whether the deliveries of a window are complete, and what is missing if not. Waiting is the caller's.

A day is complete once its marker is there, or once nothing in it has changed for a while, as the recipe says. Images
that were released from quarantine need no marker: the command that releases them writes their manifest last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from include.retraining.intake.delivery.companions import (
    COMPANIONS,
    MANIFEST_NAMES,
    READY,
    RELEASED,
    RELEASED_MANIFEST,
    is_folder_marker,
)
from include.retraining.intake.delivery.days import parse_day
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import StoredObject, uri_of

MISSING_MARK = {
    READY: f"{READY} is missing, which the data owner writes when everything else is there",
    RELEASED_MANIFEST: f"{RELEASED_MANIFEST} is missing: the command `release` writes it last, and must be run again",
}


@dataclass(frozen=True)
class UnfinishedDelivery:
    """A day whose delivery has begun and is not complete.

    Attributes:
        day: The day.
        uri: Its folder.
        n_images: Objects in it that are neither manifest nor marker.
        manifests: Names of the manifests in it.
        changed_at: When the newest object in it was written.
        missing: What is missing, and who must do what.
    """

    day: date
    uri: str
    n_images: int
    manifests: tuple[str, ...]
    changed_at: datetime
    missing: str

    def __str__(self) -> str:
        images = "1 image" if self.n_images == 1 else f"{self.n_images} images"
        manifests = " and ".join(self.manifests) or "no manifest"
        return (
            f"the delivery of {self.day} is not complete: it holds {images} and {manifests}, the newest change was at "
            f"{self.changed_at.isoformat(timespec='seconds')}; {self.missing}"
        )


def is_complete(run: Run, now: datetime) -> bool:
    """Tells whether every delivery of the run's window that has begun is complete, and looks no further than it must.

    Args:
        run: The run.
        now: The present moment, aware.
    """
    return next(_unfinished_days(run, now), None) is None


def unfinished(run: Run, now: datetime) -> tuple[UnfinishedDelivery, ...]:
    """Returns the days of the run's window whose delivery has begun and is not complete, in order.

    A day without any object is not among them: nothing was delivered for it.

    Args:
        run: The run.
        now: The present moment, aware.
    """
    return tuple(_described(run, day, missing, now) for day, missing in _unfinished_days(run, now))


def missing_mark(names: Iterable[str]) -> str:
    """Returns the object that a folder without `_READY` lacks to be complete, empty if it lacks none.

    Args:
        names: Of the objects in the folder, relative to it; as few are looked at as suffice.
    """
    released = set()
    for name in names:
        if not name.startswith(RELEASED):
            return READY
        released.add(name)
    return RELEASED_MANIFEST if released and RELEASED_MANIFEST not in released else ""


def _unfinished_days(run: Run, now: datetime) -> Iterator[tuple[date, str]]:
    """Yields each unfinished day with what is missing."""
    names = run.store.list_folders(layout.deliveries(run.classifier))
    for day in sorted(day for name in names if (day := parse_day(name)) and run.window.holds(day)):
        if missing := _missing(run, layout.incoming(run.classifier, day), now):
            yield day, missing


def _missing(run: Run, prefix: str, now: datetime) -> str:
    """Returns what is missing and who must do what, empty if nothing is."""
    intake = run.config.intake
    if intake.complete_when == "untouched":
        changed_at = max((found.modified_at for found in _objects(run, prefix)), default=None)
        if changed_at is None or now - changed_at >= timedelta(minutes=intake.untouched_minutes):
            return ""
        return (
            f"it counts as complete once nothing has changed for {intake.untouched_minutes} minutes: the data owner "
            "must finish the upload"
        )
    if run.store.exists(f"{prefix}{READY}"):
        return ""
    return MISSING_MARK.get(missing_mark(found.key.removeprefix(prefix) for found in _objects(run, prefix)), "")


def _described(run: Run, day: date, missing: str, now: datetime) -> UnfinishedDelivery:
    prefix = layout.incoming(run.classifier, day)
    found = {it.key.removeprefix(prefix): it.modified_at for it in _objects(run, prefix)}
    return UnfinishedDelivery(
        day=day,
        uri=uri_of(run.store, prefix),
        n_images=sum(name not in COMPANIONS for name in found),
        manifests=tuple(name for name in (*MANIFEST_NAMES, RELEASED_MANIFEST) if name in found),
        changed_at=max(found.values(), default=now),
        missing=missing,
    )


def _objects(run: Run, prefix: str) -> Iterator[StoredObject]:
    return (found for found in run.store.list(prefix) if not is_folder_marker(found))
