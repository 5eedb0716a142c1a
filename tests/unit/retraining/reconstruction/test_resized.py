from __future__ import annotations

import numpy as np
import pytest

from include.retraining.artifacts import ImageRef
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.reconstruction.resized import fitting_side, read_resized
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256
from tests.datasets import picture


def stored(store: InMemoryStore, number: int, side: int) -> ImageRef:
    body = picture("daisy", number, side)
    store.put(f"incoming/{number}.png", body)
    return ImageRef(f"{number}", f"incoming/{number}.png", sha256(body))


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        pytest.param([28, 28, 28], 32, id="smaller than the smaller side"),
        pytest.param([32, 32], 32, id="exactly the smaller side"),
        pytest.param([33, 33, 28], 64, id="larger than the smaller side"),
        pytest.param([300], 64, id="larger than both"),
        pytest.param([28, 28, 300], 32, id="one that is larger than most"),
    ],
)
def test_the_side_is_the_smallest_that_holds_the_median_image(sides, expected):
    store = InMemoryStore()
    refs = [stored(store, number, side) for number, side in enumerate(sides)]

    assert fitting_side(store, refs) == expected


def test_images_come_resized_in_the_order_asked_for_and_as_often():
    store = InMemoryStore()
    refs = [stored(store, number, side) for number, side in ((7, 32), (3, 40), (5, 32))]
    asked = [refs[2], refs[0], refs[2], refs[1]]

    images = read_resized(store, asked, 32)

    assert (images.shape, images.dtype) == ((4, 32, 32, 3), np.uint8)
    assert np.array_equal(images[0], images[2])
    assert np.array_equal(images[1], read_resized(store, [refs[0]], 32)[0])
    assert not np.array_equal(images[0], images[1])


def test_an_image_that_is_another_one_by_now_is_refused():
    store = InMemoryStore()
    ref = stored(store, 1, 32)
    store.put(ref.key, picture("daisy", 2))

    with pytest.raises(ArtifactIntegrityError):
        read_resized(store, [ref], 32)
