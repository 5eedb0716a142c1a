from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from include.retraining.artifacts import ImageRef
from include.retraining.embedding.extraction import feeding
from include.retraining.embedding.extraction.feeding import AHEAD, Batch, feed
from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256


class Corner:
    """Stands in for an extractor: an image becomes its upper left pixel. It remembers how much it was given at once.

    Args:
        batch_size: Images in a batch.
    """

    image_size = 1

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self.largest_call = 0

    def resize(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.largest_call = max(self.largest_call, sum(image.shape[0] * image.shape[1] for image in images))
        return np.stack([image[:1, :1] for image in images]).astype(np.float32)


class CountingStore(InMemoryStore):
    """Counts what was read."""

    n_read = 0

    def get(self, key):
        self.n_read += 1
        return super().get(key)


def put_images(store: InMemoryStore, number: int, side: int = 2) -> list[ImageRef]:
    """Puts images whose upper left pixel is their number; returns where they are."""
    return [put_image(store, index, side) for index in range(number)]


def put_image(store: InMemoryStore, index: int, side: int = 2) -> ImageRef:
    pixels = np.full((side, side, 3), (index % 256, index // 256, 7), np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG", compress_level=1)
    store.put(f"{index}.png", sink.getvalue())
    return ImageRef(f"{index:064x}", f"{index}.png", sha256(sink.getvalue()))


def numbers_in(batches: Sequence[Batch]) -> list[int]:
    pixels = [batch.pixels[: batch.n_images, 0, 0] for batch in batches]
    return [int(red + 256 * green) for red, green, _ in np.concatenate(pixels)] if pixels else []


def feeding_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("embedding-")]


@pytest.fixture(scope="module")
def many():
    """A store of 90 images, and where they are."""
    store = InMemoryStore()
    return store, put_images(store, 90)


@given(
    number=st.integers(0, 90),
    batch_size=st.integers(1, 12),
    threads=st.integers(1, 4),
    piece_bytes=st.sampled_from([1, 200, 2**20]),
    piece_pixels=st.sampled_from([1, 10, 2**20]),
)
def test_every_image_comes_once_in_order_in_full_batches_with_black_behind_the_last(
    many, number, batch_size, threads, piece_bytes, piece_pixels
):
    store, images = many
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(feeding, "PIECE_BYTES", piece_bytes)
        patch.setattr(feeding, "PIECE_PIXELS", piece_pixels)

        batches = list(feed(store, images[:number], Corner(batch_size), threads=threads))

    assert numbers_in(batches) == list(range(number))
    assert [batch.n_images for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert all(batch.pixels.shape == (batch_size, 1, 1, 3) for batch in batches)
    assert all(batch.pixels.dtype == np.float32 for batch in batches)
    assert all(not batch.pixels[batch.n_images :].any() for batch in batches)


def test_a_batch_of_large_images_is_decoded_and_resized_in_small_pieces(monkeypatch):
    store, extractor = InMemoryStore(), Corner(8)
    images = put_images(store, 16, side=10)
    monkeypatch.setattr(feeding, "PIECE_PIXELS", 250)

    batches = list(feed(store, images, extractor))

    assert numbers_in(batches) == list(range(16))
    assert extractor.largest_call == 300


@pytest.mark.parametrize("threads", [1, 3])
def test_only_a_bounded_number_of_images_is_read_ahead_of_the_network(threads):
    store = CountingStore()
    images = put_images(store, 3000)

    with closing(feed(store, images, Corner(4), threads=threads)) as batches:
        next(batches)
        settle()

        in_pieces = 4 * (1 + threads + AHEAD)
        assert store.n_read <= in_pieces + 200  # what `read_bodies` itself reads ahead, of 3000


def test_an_error_in_a_thread_reaches_whoever_waits_for_the_batch_and_the_batches_before_it_come_first():
    store = InMemoryStore()
    images = put_images(store, 40)
    store.put(images[21].key, store.get(images[3].key))
    batches = feed(store, images, Corner(4), threads=2)

    for _ in range(5):
        next(batches)
    with pytest.raises(ArtifactIntegrityError, match=r"21\.png: .*as when it was accepted"):
        next(batches)

    assert feeding_threads() == []


def test_a_store_that_fails_is_told_as_such():
    class Failing(InMemoryStore):
        def get(self, key):
            raise StorageUnavailableError("get", "killed")

    store = Failing()

    with pytest.raises(StorageUnavailableError):
        next(feed(store, put_images(store, 3), Corner(2)))

    assert feeding_threads() == []


def test_bytes_that_are_accepted_and_no_image_any_more_are_told_with_their_key():
    store = InMemoryStore()
    store.put("a.png", b"no image")

    with pytest.raises(ArtifactIntegrityError, match=r"a\.png: expected an image that is decoded as it was"):
        next(feed(store, [ImageRef("a" * 64, "a.png", sha256(b"no image"))], Corner(2)))


def test_a_consumer_that_stops_early_leaves_no_thread_behind():
    store = InMemoryStore()
    images = put_images(store, 200)
    before = threading.active_count()
    batches = feed(store, images, Corner(2), threads=3)
    next(batches)
    assert len(feeding_threads()) > 1

    batches.close()

    assert feeding_threads() == []
    assert threading.active_count() == before


def test_an_image_is_changed_once_it_is_resized_and_by_its_own_id():
    store = InMemoryStore()
    images = put_images(store, 9)
    seen = []

    def change(image: np.ndarray, image_id: str) -> np.ndarray:
        seen.append((image_id, image.shape, image.dtype))
        return image + np.uint8(int(image_id, 16))

    batches = list(feed(store, images, Corner(4), change=change, threads=1))

    size = Corner(4).image_size
    assert seen == [(image.image_id, (size, size, 3), np.uint8) for image in images]
    assert numbers_in(batches) == [2 * number + 256 * number for number in range(9)]


def settle() -> None:
    """Waits until the threads have read as far ahead as they may."""
    done = threading.Event()
    done.wait(0.3)
