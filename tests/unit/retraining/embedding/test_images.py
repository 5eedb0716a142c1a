from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from include.retraining.embedding.images import read_images
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256


def png(grey: int) -> bytes:
    sink = io.BytesIO()
    Image.new("L", (4, 3), grey).save(sink, "PNG")
    return sink.getvalue()


@pytest.fixture
def store() -> InMemoryStore:
    store = InMemoryStore()
    for grey in (10, 20, 30):
        store.put(f"{grey}.png", png(grey))
    return store


def test_images_come_decoded_in_the_order_asked_for(store: InMemoryStore):
    greys = [30, 10, 20, 10]
    images = list(read_images(store, [f"{grey}.png" for grey in greys], [sha256(png(grey)) for grey in greys]))
    assert [image[0, 0, 0] for image in images] == greys
    assert {(image.shape, image.dtype) for image in images} == {((3, 4, 3), np.dtype(np.uint8))}


def test_an_image_that_was_replaced_since_it_was_accepted_is_refused(store: InMemoryStore):
    store.put("10.png", png(11))
    with pytest.raises(ArtifactIntegrityError, match=r"s3://memory/10\.png: .* as when it was accepted") as caught:
        list(read_images(store, ["20.png", "10.png"], [sha256(png(20)), sha256(png(10))]))
    assert caught.value.got == f"sha256 {sha256(png(11))}"


def test_an_image_that_was_deleted_since_is_refused(store: InMemoryStore):
    store.delete("10.png")
    with pytest.raises(ArtifactIntegrityError, match="got no object"):
        list(read_images(store, ["10.png"], [sha256(png(10))]))


def test_no_image_is_no_error(store: InMemoryStore):
    assert list(read_images(store, [], [])) == []


def test_as_many_digests_as_keys_are_expected(store: InMemoryStore):
    with pytest.raises(ValueError, match="shorter"):
        list(read_images(store, ["10.png", "20.png"], [sha256(png(10))]))
