"""Folders that are named after days."""

from __future__ import annotations

import logging
from datetime import date

from include.retraining.storage.base import ObjectStore, uri_of

logger = logging.getLogger(__name__)


def days_under(store: ObjectStore, prefix: str) -> list[date]:
    """Returns the days that have a folder directly under a prefix, in order; other folders are logged."""
    days = []
    for name in store.list_folders(prefix):
        day = parse_day(name)
        if day is None:
            logger.warning("ignored folder=%s expected=YYYY-MM-DD", uri_of(store, f"{prefix}{name}/"))
        else:
            days.append(day)
    return sorted(days)


def parse_day(name: str) -> date | None:
    """Returns the day that a folder is named after, None if it is named otherwise."""
    try:
        day = date.fromisoformat(name)
    except ValueError:
        return None
    return day if day.isoformat() == name else None  # Python also reads 20260101 and 2026-W01-4
