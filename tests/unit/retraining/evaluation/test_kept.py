from __future__ import annotations

from collections.abc import Callable

import pytest

from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.evaluation.kept import kept_once
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST, Manifest
from tests.stores import DyingStore, holding

PREFIX = "evaluations/flowers/v1/d1/"


def never() -> bytes:
    raise AssertionError("computed again")


def saying(body: bytes) -> Callable[[], bytes]:
    return lambda: body


def test_a_result_is_computed_once_and_kept():
    store = InMemoryStore()

    assert kept_once(store, PREFIX, "cost.json", saying(b"1")) == b"1"
    assert kept_once(store, PREFIX, "cost.json", never) == b"1"


def test_of_two_who_compute_at_once_both_get_the_result_of_whoever_kept_it_first():
    store = InMemoryStore()
    got = []

    def while_another_keeps_its_own() -> bytes:
        got.append(kept_once(store, PREFIX, "cost.json", saying(b"first")))
        return b"second"

    got.append(kept_once(store, PREFIX, "cost.json", while_another_keeps_its_own))

    assert got == [b"first", b"first"]
    assert kept_once(store, PREFIX, "cost.json", never) == b"first"


@pytest.mark.parametrize("writes", [0, 1])
def test_whoever_is_killed_while_it_keeps_a_result_leaves_none(writes: int):
    dying = DyingStore(writes)
    with pytest.raises(StorageUnavailableError):
        kept_once(dying, PREFIX, "cost.json", saying(b"1"))

    left = holding(dying.objects)

    assert kept_once(left, PREFIX, "cost.json", saying(b"2")) == b"2"


def test_a_result_that_was_changed_or_removed_is_refused():
    store = InMemoryStore()
    kept_once(store, PREFIX, "cost.json", saying(b"1"))
    (key,) = (key for key in store.objects if not key.endswith(MANIFEST))

    store.put(key, b"2")
    with pytest.raises(ArtifactIntegrityError, match=r"cost\.json: expected sha256 \w+, got sha256"):
        kept_once(store, PREFIX, "cost.json", never)
    store.delete(key)
    with pytest.raises(ArtifactIntegrityError, match=r"cost\.json: expected sha256 \w+, got no object"):
        kept_once(store, PREFIX, "cost.json", never)


@pytest.mark.parametrize("files", [{}, {"a.json": "0" * 64, "b.json": "1" * 64}])
def test_a_manifest_of_none_or_many_files_is_no_kept_result(files: dict[str, str]):
    store = InMemoryStore()
    store.put(f"{PREFIX}{MANIFEST}", Manifest(files).to_json())

    with pytest.raises(ArtifactIntegrityError, match=f"expected one file, got {len(files)} files"):
        kept_once(store, PREFIX, "cost.json", never)
