"""Which manifests a delivery has, and what they say. Which of their images exist is in `listing.py`."""

from __future__ import annotations

from collections.abc import Collection

from include.retraining.errors import DataContractError
from include.retraining.intake.delivery.companions import MANIFEST_NAMES, RELEASED_MANIFEST
from include.retraining.intake.delivery.manifest_csv import read_csv
from include.retraining.intake.delivery.manifest_jsonl import read_jsonl
from include.retraining.intake.delivery.manifest_parquet import read_parquet
from include.retraining.intake.delivery.manifest_rows import Manifest, ManifestFile
from include.retraining.storage.base import ObjectStore, uri_of

READERS = {"csv": read_csv, "parquet": read_parquet, "jsonl": read_jsonl}


def read_manifest(store: ObjectStore, prefix: str, found: Collection[str]) -> Manifest | None:
    """Returns what the data owner's manifest says, None where there is none.

    Args:
        store: The bucket.
        prefix: Of the day's folder.
        found: Keys of the objects in it.

    Raises:
        DataContractError: If there are two manifests, or the one cannot be read.
    """
    names = [name for name in MANIFEST_NAMES if f"{prefix}{name}" in found]
    if len(names) > 1:
        raise DataContractError(uri_of(store, prefix), [f"it holds {' and '.join(names)}: leave one manifest there"])
    return parse_manifest(_fetched(store, prefix, names[0])) if names else None


def read_released(store: ObjectStore, prefix: str, found: Collection[str]) -> Manifest | None:
    """Returns what the manifest of the released images says, None where there is none; its names are relative."""
    if f"{prefix}{RELEASED_MANIFEST}" not in found:
        return None
    return parse_manifest(_fetched(store, prefix, RELEASED_MANIFEST))


def parse_manifest(file: ManifestFile) -> Manifest:
    """Returns what a manifest says, by the format that its name tells.

    Raises:
        DataContractError: If the file as a whole cannot be read.
    """
    return READERS[file.name.rpartition(".")[2]](file)


def _fetched(store: ObjectStore, prefix: str, name: str) -> ManifestFile:
    return ManifestFile(batch=uri_of(store, prefix), name=name, body=store.get(f"{prefix}{name}"))
