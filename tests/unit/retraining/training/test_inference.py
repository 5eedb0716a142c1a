from __future__ import annotations

import numpy as np
import pytest

from include.retraining.training import inference
from include.retraining.training.inference import predict_proba
from tests.unit.retraining.evaluation.grey import grey_model


def images(number: int) -> list[np.ndarray]:
    """Noise of three sizes in turn, each image of its own brightness."""
    rng = np.random.default_rng(0)
    sizes = [(6, 6), (9, 4), (4, 9)]
    return [
        np.clip(rng.normal(index * 255 / number, 10, (*sizes[index % 3], 3)), 0, 255).astype(np.uint8)
        for index in range(number)
    ]


@pytest.mark.parametrize("number", [1, 2, 20])
def test_every_image_has_its_own_probabilities_in_the_order_given_whatever_its_size(
    monkeypatch: pytest.MonkeyPatch, number: int
):
    monkeypatch.setattr(inference, "BATCH", 3)
    model = grey_model()
    alone = np.concatenate([np.asarray(model(image[np.newaxis], training=False)) for image in images(number)])
    together = predict_proba(model, images(number))
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert (together.shape, together.dtype) == ((number, 3), np.float32)


def test_the_order_of_the_images_decides_nothing():
    forwards, backwards = predict_proba(grey_model(), images(20)), predict_proba(grey_model(), images(20)[::-1])
    np.testing.assert_allclose(backwards[::-1], forwards, atol=1e-6)
    assert forwards[0].argmax() == 0
    assert forwards[-1].argmax() == 2
