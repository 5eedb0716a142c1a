from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

from include.retraining.embedding.store.components import remember_components, why_missing
from include.retraining.embedding.store.vectors import write_part
from include.retraining.errors import StorageUnavailableError
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from tests.stores import DyingStore, holding

COMPONENTS = {"architecture": "efficientnet_lite0", "image_size": "64", "keras": "3.15.0", "weights": "imagenet"}


def store_vector(store: InMemoryStore, fingerprint: str) -> None:
    write_part(store, fingerprint, [hashlib.sha256(b"image").hexdigest()], np.ones((1, 2), np.float32))


def remember(store: InMemoryStore, fingerprint: str, **changes: str) -> None:
    remember_components(store, fingerprint, {**COMPONENTS, **changes})
    store_vector(store, fingerprint)


@pytest.fixture
def store() -> InMemoryStore:
    store = InMemoryStore()
    remember(store, "1a2b")
    return store


def test_the_first_extractor_of_all_says_so():
    assert why_missing(InMemoryStore(), "1a2b", COMPONENTS) == ("No vector of any extractor is stored yet.",)


def test_a_fingerprint_that_has_vectors_misses_for_no_reason(store: InMemoryStore):
    assert why_missing(store, "1a2b", COMPONENTS) == ()


def test_each_component_that_differs_is_a_sentence(store: InMemoryStore):
    reasons = why_missing(store, "3c4d", {**COMPONENTS, "image_size": "96", "keras": "3.16.0"})

    assert reasons == (
        "image_size is 96, the nearest stored fingerprint 1a2b has 64.",
        "keras is 3.16.0, the nearest stored fingerprint 1a2b has 3.15.0.",
    )


def test_the_nearest_fingerprint_is_the_one_that_differs_least(store: InMemoryStore):
    remember(store, "0000", image_size="128", keras="3.14.0")
    remember(store, "9999", image_size="96", keras="3.14.0")

    assert why_missing(store, "3c4d", {**COMPONENTS, "image_size": "96", "keras": "3.16.0"}) == (
        "keras is 3.16.0, the nearest stored fingerprint 9999 has 3.14.0.",
    )


def test_of_equally_near_fingerprints_the_first_by_name_is_taken(store: InMemoryStore):
    remember(store, "0fff", image_size="32")

    (reason,) = why_missing(store, "3c4d", {**COMPONENTS, "image_size": "96"})

    assert reason == "image_size is 96, the nearest stored fingerprint 0fff has 32."


def test_a_fingerprint_that_was_remembered_but_has_no_vectors_is_not_called_stored(store: InMemoryStore):
    remember_components(store, "3c4d", {**COMPONENTS, "image_size": "96"})
    remember_components(store, "0e6f", {**COMPONENTS, "image_size": "97"})

    (reason,) = why_missing(store, "3c4d", {**COMPONENTS, "image_size": "96"})

    assert reason == "image_size is 96, the nearest stored fingerprint 1a2b has 64."


def test_a_component_that_one_of_the_two_lacks_or_leaves_empty_is_said(store: InMemoryStore):
    remember(store, "1a2b", layers="")

    (view,) = why_missing(store, "3c4d", {**COMPONENTS, "layers": "", "view": "1"})
    (layers,) = why_missing(store, "3c4d", {**COMPONENTS, "layers": "top"})
    (gone,) = why_missing(
        store, "3c4d", {name: COMPONENTS[name] for name in COMPONENTS if name != "keras"} | {"layers": ""}
    )

    assert view == "view is 1, the nearest stored fingerprint 1a2b has none."
    assert layers == "layers is top, the nearest stored fingerprint 1a2b has empty."
    assert gone == "keras is none, the nearest stored fingerprint 1a2b has 3.15.0."


def test_digests_are_cut_short(store: InMemoryStore):
    (reason,) = why_missing(store, "3c4d", {**COMPONENTS, "weights": f"sha256 {'ab' * 32}"})

    assert reason == "weights is sha256 abababababab…, the nearest stored fingerprint 1a2b has imagenet."


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b"3", b"\xff"])
def test_components_that_cannot_be_read_are_passed_over(store: InMemoryStore, caplog, body: bytes):
    store.put(layout.fingerprint_components("0000"), body)
    store_vector(store, "0000")

    (reason,) = why_missing(store, "3c4d", {**COMPONENTS, "image_size": "96"})

    assert "1a2b" in reason
    assert "extractors/fingerprints/0000.json" in caplog.text


def test_components_are_written_once_as_sorted_json_and_again_where_they_were_harmed(store: InMemoryStore):
    key = layout.fingerprint_components("1a2b")
    written = store.objects[key]
    assert list(json.loads(written)) == sorted(COMPONENTS)
    idle = DyingStore(0, store.objects)

    remember_components(idle, "1a2b", dict(reversed(COMPONENTS.items())))
    with pytest.raises(StorageUnavailableError):
        remember_components(idle, "3c4d", COMPONENTS)

    harmed = holding({**store.objects, key: b"rubbish"})
    remember_components(harmed, "1a2b", COMPONENTS)
    assert harmed.objects[key] == written
