"""Names of what lies in a delivery beside its images. What a manifest says is in `manifests.py`."""

from __future__ import annotations

from include.retraining.storage.base import StoredObject

READY = "_READY"
MANIFEST_NAMES = ("labels.csv", "labels.parquet", "labels.jsonl")

RELEASED = "released/"
RELEASED_MANIFEST = f"{RELEASED}labels.csv"
"""Manifest of the images that were released from quarantine into this day; its names are relative to `released/`."""

COMPANIONS = frozenset({READY, *MANIFEST_NAMES, RELEASED_MANIFEST})
"""Names, relative to the day's folder, of objects that are no delivered images."""


def is_folder_marker(found: StoredObject) -> bool:
    """Tells whether an object is what consoles and file browsers write for an empty folder."""
    return found.key.endswith("/") and found.size_bytes == 0
