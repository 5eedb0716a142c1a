"""An object store in memory, for tests and trials. It honours conditions as S3 does."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime

from include.retraining.storage.base import StoredObject

START = datetime(2026, 1, 1, tzinfo=UTC)


class InMemoryStore:
    """A bucket in a dictionary.

    Args:
        bucket: Name that its URIs show.

    Attributes:
        objects: The bytes by key.
        now: What its clock shows. It stands still, so that same calls give the same listing; whoever needs time to
            pass sets it.
    """

    def __init__(self, bucket: str = "memory") -> None:
        self.bucket = bucket
        self.objects: dict[str, bytes] = {}
        self.now = START
        self._modified: dict[str, datetime] = {}
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes:
        """Returns the object's bytes."""
        return self.objects[key]

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """Returns the object's bytes and their tag."""
        body = self.objects[key]
        return body, _etag(body)

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Writes the object; the content type is not kept."""
        del content_type
        self.objects[key] = bytes(body)
        self._modified[key] = self.now

    def replace(self, key: str, body: bytes, *, etag: str | None, content_type: str = "application/json") -> bool:
        """Writes the object if its tag still is `etag`; the content type is not kept."""
        with self._lock:
            current = self.objects.get(key)
            if (None if current is None else _etag(current)) != etag:
                return False
            self.put(key, body, content_type=content_type)
            return True

    def copy(self, source: str, target: str) -> None:
        """Copies an object."""
        self.put(target, self.objects[source])

    def exists(self, key: str) -> bool:
        """Tells whether there is an object at the key."""
        return key in self.objects

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yields the objects under a prefix in key order, as they were when the listing began."""
        for key, body in sorted(self.objects.copy().items()):
            if key.startswith(prefix):
                modified_at = self._modified.get(key, START)
                yield StoredObject(key=key, size_bytes=len(body), modified_at=modified_at)

    def list_folders(self, prefix: str) -> tuple[str, ...]:
        """Returns the folder names directly under a prefix."""
        tails = (key.removeprefix(prefix) for key in self.objects.copy() if key.startswith(prefix))
        return tuple(sorted({tail.split("/")[0] for tail in tails if "/" in tail}))

    def delete(self, key: str) -> None:
        """Removes the object if it is there."""
        self.objects.pop(key, None)


def _etag(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
