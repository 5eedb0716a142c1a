"""Pointers: the only objects that ever change, and only by compare-and-swap."""

from __future__ import annotations

from typing import TypeVar

from include.retraining.errors import PointerMovedError
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.records import from_json, to_json

Target = TypeVar("Target")


def read_pointer(store: ObjectStore, key: str, kind: type[Target]) -> tuple[Target | None, str | None]:
    """Returns what a pointer names, and the tag to move it with; both None where there is no pointer yet."""
    try:
        body, etag = store.get_tagged(key)
    except KeyError:
        return None, None
    return from_json(kind, body, uri_of(store, key)), etag


def move_pointer(store: ObjectStore, key: str, target: object, *, etag: str | None) -> None:
    """Points the pointer at a new target, if nobody moved it since it was read.

    Raises:
        PointerMovedError: If somebody did; nothing is overwritten.
    """
    if not store.replace(key, to_json(target), etag=etag):
        raise PointerMovedError(uri_of(store, key))
