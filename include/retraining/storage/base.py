"""The verbs that the pipeline needs from an object store. Implementations are elsewhere: `memory.py`, `s3.py`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True)
class StoredObject:
    """What a listing tells of an object.

    Attributes:
        key: Its key inside the bucket.
        size_bytes: Its size.
        modified_at: When it was last written, by the store's clock; aware, in UTC. Some stores know it to the second.
    """

    key: str
    size_bytes: int
    modified_at: datetime


class ObjectStore(Protocol):
    """A bucket, seen through the few verbs that the pipeline uses.

    Every verb raises `StorageUnavailableError` where a retry may help. A missing key raises `KeyError`.
    """

    @property
    def bucket(self) -> str:
        """Name of the bucket."""
        ...

    def get(self, key: str) -> bytes:
        """Returns the object's bytes; `KeyError` if there is none."""
        ...

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """Returns the object's bytes and the entity tag that `replace` compares."""
        ...

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Writes the object, whatever was there."""
        ...

    def replace(self, key: str, body: bytes, *, etag: str | None, content_type: str = "application/json") -> bool:
        """Writes the object only if its tag still is `etag`, or if there is none yet where `etag` is None.

        Returns:
            False where another writer was first; nothing is written then. That other writer may be oneself: a client
            that repeats a write whose answer was lost is told that it came too late. Who cares compares the bytes.
        """
        ...

    def copy(self, source: str, target: str) -> None:
        """Copies an object inside the bucket; `KeyError` if there is no `source`."""
        ...

    def exists(self, key: str) -> bool:
        """Tells whether there is an object at the key."""
        ...

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yields the objects whose keys start with the prefix, in key order."""
        ...

    def list_folders(self, prefix: str) -> tuple[str, ...]:
        """Returns the names directly under a prefix that ends in a slash, in order, without slashes; folders only."""
        ...

    def delete(self, key: str) -> None:
        """Removes the object; no error if there is none."""
        ...


def uri_of(store: ObjectStore, key: str) -> str:
    """Returns the URI of a key of the store."""
    return f"s3://{store.bucket}/{key}"


def key_of(store: ObjectStore, uri: str) -> str:
    """Returns the key that a URI names in this store.

    Raises:
        ValueError: If the URI names another bucket.
    """
    prefix = f"s3://{store.bucket}/"
    if not uri.startswith(prefix):
        raise ValueError(f"Expected a URI that starts with {prefix}; got {uri}.")
    return uri.removeprefix(prefix)
