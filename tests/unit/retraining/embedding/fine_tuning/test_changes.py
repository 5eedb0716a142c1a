from __future__ import annotations

import numpy as np
import pytest

from include.retraining.config import FineTuneConfig
from include.retraining.embedding.fine_tuning.changes import change_images, plan_epoch

SIDE = 20


def config(**changes: float | bool) -> FineTuneConfig:
    """Changes nothing, unless told otherwise."""
    nothing = {"horizontal_flip": False, "crop_share": 0.0, "erasing_share": 0.0}
    return FineTuneConfig.model_validate({"occasion": {"when": "every_runs"}, **nothing, **changes})


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (64, SIDE, SIDE, 3), dtype=np.uint8)


def changed(images: np.ndarray, *, epoch: int = 1, **changes: float | bool) -> np.ndarray:
    return change_images(images, plan_epoch(3, epoch, len(images)).draws, config(**changes))


def test_an_epoch_takes_every_image_once_in_an_order_of_its_own():
    first, second = plan_epoch(0, 1, 50), plan_epoch(0, 2, 50)

    assert sorted(first.order) == sorted(second.order) == list(range(50))
    assert first.order.tolist() != second.order.tolist()
    assert not np.array_equal(first.draws, second.draws)


def test_a_plan_follows_from_its_arguments_alone():
    np.random.default_rng(0).random(7)

    again = plan_epoch(4, 7, 50)

    assert np.array_equal(again.order, plan_epoch(4, 7, 50).order)
    assert np.array_equal(again.draws, plan_epoch(4, 7, 50).draws)
    assert not np.array_equal(again.draws, plan_epoch(5, 7, 50).draws)


def test_what_happens_to_an_image_does_not_depend_on_its_batch(images):
    draws = plan_epoch(3, 1, len(images)).draws
    everything = config(horizontal_flip=True, crop_share=0.1, erasing_share=0.05)

    together = change_images(images, draws, everything)
    alone = np.concatenate([change_images(images[i : i + 1], draws[i : i + 1], everything) for i in range(len(images))])

    assert np.array_equal(together, alone)


def test_without_changes_the_pixels_stay_and_the_originals_always_do(images):
    before = images.copy()

    assert np.array_equal(changed(images), before.astype(np.float32))
    changed(images, horizontal_flip=True, crop_share=0.2, erasing_share=0.1)
    assert np.array_equal(images, before)


def test_about_half_of_the_images_are_mirrored_and_the_others_are_not(images):
    mirrored = changed(images, horizontal_flip=True)

    is_mirrored = [np.array_equal(new, old[:, ::-1]) for new, old in zip(mirrored, images, strict=True)]
    is_kept = [np.array_equal(new, old) for new, old in zip(mirrored, images, strict=True)]
    assert np.array_equal(is_mirrored, np.logical_not(is_kept))
    assert 20 < sum(is_mirrored) < 44


def test_a_crop_is_a_window_into_the_image_with_its_reflection_around_it(images):
    border = 2
    padded = np.pad(images, ((0, 0), (border, border), (border, border), (0, 0)), mode="reflect")

    cropped = changed(images, crop_share=border / SIDE)

    def shift_of(index: int) -> tuple[int, int]:
        [found] = [
            (top - border, left - border)
            for top in range(2 * border + 1)
            for left in range(2 * border + 1)
            if np.array_equal(cropped[index], padded[index, top : top + SIDE, left : left + SIDE])
        ]
        return found

    shifts = {shift_of(index) for index in range(len(images))}
    assert {min(axis) for axis in zip(*shifts, strict=True)} == {-border}
    assert {max(axis) for axis in zip(*shifts, strict=True)} == {border}


@pytest.mark.parametrize("share", [0.05, 0.1, 0.25])
def test_one_rectangle_of_the_asked_size_is_erased_to_the_image_s_mean(images, share):
    erased = changed(images, erasing_share=share)

    for new, old in zip(erased, images, strict=True):
        rows, columns = np.nonzero((new != old).any(axis=2))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        inside = new[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        assert np.ptp(inside, axis=(0, 1)).max() == 0
        assert np.allclose(inside[0, 0], old.mean(axis=(0, 1)), atol=1e-3)
        assert 0.5 * share * SIDE**2 - 3 <= height * width <= 1.5 * share * SIDE**2 + 3
        assert max(height, width) <= 2.6 * min(height, width)


def test_pixels_stay_in_their_range_even_at_the_largest_shares(images):
    extreme = changed(images, horizontal_flip=True, crop_share=0.99, erasing_share=0.99)

    assert extreme.dtype == np.float32
    assert extreme.shape == images.shape
    assert 0 <= extreme.min() <= extreme.max() <= 255
