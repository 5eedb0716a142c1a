"""Object stores for tests: one whose writer is killed, and one that remembers every state it was in."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from include.retraining.errors import StorageUnavailableError
from include.retraining.storage.memory import InMemoryStore


class DyingStore(InMemoryStore):
    """Fails at one write and at every verb after it, as for a task that is killed there.

    Args:
        writes: Writes that succeed before that.
        objects: What is there from the beginning.
    """

    def __init__(self, writes: int, objects: Mapping[str, bytes] | None = None) -> None:
        super().__init__()
        self.objects.update(objects or {})
        self._writes_left = writes
        self._counting = threading.Lock()

    def get(self, key):
        self._require_alive()
        return super().get(key)

    def get_tagged(self, key):
        self._require_alive()
        return super().get_tagged(key)

    def put(self, key, body, *, content_type="application/octet-stream"):
        with self._counting:
            self._require_alive()
            self._writes_left -= 1
            self._require_alive()
        super().put(key, body, content_type=content_type)

    def list(self, prefix):
        self._require_alive()
        return super().list(prefix)

    def delete(self, key):
        with self._counting:
            self._require_alive()
            self._writes_left -= 1
            self._require_alive()
        super().delete(key)

    def _require_alive(self) -> None:
        if self._writes_left < 0:
            raise StorageUnavailableError("a verb of a test", "killed")


class RememberingStore(InMemoryStore):
    """Keeps what it held before each write: every state in which a killed writer could have left it.

    Attributes:
        states: The objects before each write, oldest first.
    """

    def __init__(self, objects: Mapping[str, bytes] | None = None) -> None:
        super().__init__()
        self.objects.update(objects or {})
        self.states: list[dict[str, bytes]] = []
        self._remembering = threading.Lock()

    def put(self, key, body, *, content_type="application/octet-stream"):
        with self._remembering:
            self.states.append(dict(self.objects))
            super().put(key, body, content_type=content_type)

    def delete(self, key):
        with self._remembering:
            self.states.append(dict(self.objects))
            super().delete(key)


def holding(objects: Mapping[str, bytes]) -> InMemoryStore:
    """A store that holds these objects."""
    store = InMemoryStore()
    store.objects.update(objects)
    return store
