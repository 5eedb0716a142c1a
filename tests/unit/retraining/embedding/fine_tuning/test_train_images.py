from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from include.retraining.artifacts import ImageRef
from include.retraining.dataset.images import image_refs
from include.retraining.embedding.extractors.resizing import Resizer, resizing_layer
from include.retraining.embedding.fine_tuning.train_images import TrainImages
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.pictures import decode_image
from include.retraining.storage.memory import InMemoryStore
from tests.builders import CLASSIFIER
from tests.datasets import DAY, pictured, row

SIDE = 32


class CountingStore(InMemoryStore):
    """Counts how often each object is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads: Counter[str] = Counter()

    def get(self, key):
        self.reads[key] += 1
        return super().get(key)


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


def refs_of(store: InMemoryStore, n_images: int) -> list[ImageRef]:
    """Pictures of two sizes, whose keys sort in another order than their ids."""
    rows = [
        row(f"{number:03d}", key=f"incoming/{CLASSIFIER}/{97 * number % 100:02d}.png") for number in range(n_images)
    ]
    delivered = [*pictured(store, rows[::2], side=40), *pictured(store, rows[1::2], side=SIDE)]
    frame = pd.DataFrame(delivered).assign(date=DAY).sort_values("image_id").reset_index(drop=True)
    return image_refs(store, CLASSIFIER, frame)


def expected_of(store: InMemoryStore, refs: list[ImageRef]) -> np.ndarray:
    """What each image must look like, in the order of the references."""
    resized = Resizer(resizing_layer(SIDE))([decode_image(store.objects[ref.key]) for ref in refs])
    return np.rint(resized).astype(np.uint8)


def images_of(store: InMemoryStore, refs: list[ImageRef], batch_size: int = 4, most_bytes: int = 2**20) -> TrainImages:
    return TrainImages(store, refs, image_size=SIDE, batch_size=batch_size, most_bytes=most_bytes)


@pytest.mark.parametrize("most_bytes", [0, 2**20], ids=["read anew", "kept in memory"])
def test_batches_hold_the_images_of_their_positions_in_the_order_asked_for(store, most_bytes):
    refs = refs_of(store, 12)
    order = np.random.default_rng(0).permutation(12)

    batches = list(images_of(store, refs, most_bytes=most_bytes).batches(order))

    assert [positions.tolist() for positions, _ in batches] == order.reshape(3, 4).tolist()
    found = np.concatenate([images for _, images in batches])
    assert found.dtype == np.uint8
    assert np.array_equal(found, expected_of(store, refs)[order])


def test_what_does_not_fill_a_batch_is_left_out(store):
    images = images_of(store, refs_of(store, 11))

    assert (images.batches_per_epoch, images.images_per_epoch) == (2, 8)
    assert [len(positions) for positions, _ in images.batches(np.arange(11))] == [4, 4]


def test_fewer_images_than_a_batch_are_one_batch(store):
    images = images_of(store, refs_of(store, 3), batch_size=64)

    [(positions, pixels)] = images.batches(np.arange(3))

    assert positions.tolist() == [0, 1, 2]
    assert pixels.shape == (3, SIDE, SIDE, 3)


def test_images_that_fit_are_read_once_and_others_in_every_epoch(store):
    refs = refs_of(store, 8)
    kept = images_of(store, refs, most_bytes=8 * SIDE * SIDE * 3)
    for _ in range(3):
        list(kept.batches(np.arange(8)))
    assert {store.reads[ref.key] for ref in refs} == {1}

    read_anew = images_of(store, refs, most_bytes=8 * SIDE * SIDE * 3 - 1)
    for _ in range(3):
        list(read_anew.batches(np.arange(8)))
    assert {store.reads[ref.key] for ref in refs} == {4}


@pytest.mark.parametrize("most_bytes", [0, 2**20], ids=["read anew", "kept in memory"])
def test_an_image_that_is_not_the_accepted_one_is_an_error_that_names_it(store, most_bytes):
    refs = refs_of(store, 8)
    store.put(refs[5].key, b"another")

    with pytest.raises(ArtifactIntegrityError, match=refs[5].key):
        list(images_of(store, refs, most_bytes=most_bytes).batches(np.arange(8)))
