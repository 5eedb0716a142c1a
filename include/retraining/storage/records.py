"""Small values as JSON objects: frozen dataclasses in, the same dataclasses out."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage.base import ObjectStore, uri_of

Record = TypeVar("Record")

# Building an adapter takes some hundred times as long as using it, and a journal has many entries.
_adapter: Callable[[Any], TypeAdapter[Any]] = functools.cache(TypeAdapter)


def to_json(record: object) -> bytes:
    """Returns a dataclass as indented JSON, equal for equal values."""
    return _adapter(type(record)).dump_json(record, indent=2)


def from_json(kind: type[Record], body: bytes, uri: str) -> Record:
    """Returns the dataclass that JSON holds.

    Raises:
        ArtifactIntegrityError: If the JSON is not that of the dataclass.
    """
    try:
        record: Record = _adapter(kind).validate_json(body)
    except ValidationError as error:
        raise ArtifactIntegrityError(
            uri, f"a {kind.__name__} record", f"{error.error_count()} invalid fields"
        ) from error
    return record


def write_record(store: ObjectStore, key: str, record: object) -> str:
    """Writes a dataclass as JSON; returns its URI."""
    store.put(key, to_json(record), content_type="application/json")
    return uri_of(store, key)


def read_record(store: ObjectStore, key: str, kind: type[Record]) -> Record:
    """Returns the dataclass stored at a key; `KeyError` if there is none."""
    return from_json(kind, store.get(key), uri_of(store, key))
