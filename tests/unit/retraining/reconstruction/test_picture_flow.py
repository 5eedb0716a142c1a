from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from include.retraining.reconstruction.picture_flow import PictureFlow, PictureRows

SIDE = 8
CHANGES: dict[str, Any] = {"rotation_range": 30, "width_shift_range": 0.2, "horizontal_flip": True}


def picture_rows(n_pictures: int = 5, shown: tuple[int, ...] = (0, 1, 2, 3, 4, 4, 4)) -> PictureRows:
    """Rows of which some show the same picture; a row's class id is its number."""
    pictures = np.random.default_rng(0).integers(0, 256, (n_pictures, SIDE, SIDE, 3)).astype(np.uint8)
    return PictureRows(pictures, np.array(shown, np.int32), np.arange(len(shown)))


def flow(rows: PictureRows, augmentation: dict[str, Any] | None = None, *, seed: int = 7) -> PictureFlow:
    return PictureFlow(rows, CHANGES if augmentation is None else augmentation, batch_size=3, seed=seed)


def whole(flowed: PictureFlow, epoch: int = 1) -> tuple[np.ndarray, np.ndarray]:
    batches = list(flowed.batches(epoch))
    return np.concatenate([pictures for pictures, _ in batches]), np.concatenate([labels for _, labels in batches])


def test_every_row_is_flowed_once_an_epoch_the_last_batch_included():
    flowed = flow(picture_rows())

    sizes = [len(labels) for _, labels in flowed.batches(1)]
    _, labels = whole(flowed)

    assert sizes == [3, 3, 1]
    assert len(sizes) == flowed.batches_per_epoch
    assert sorted(labels) == list(range(7))


def test_without_changes_a_row_is_its_own_picture_scaled_to_one():
    rows = picture_rows()

    pictures, labels = whole(flow(rows, {}))

    assert pictures.dtype == np.float32
    np.testing.assert_allclose(pictures, rows.pictures[rows.shown[labels]] / 255, atol=1e-6)


def test_rows_that_show_one_picture_are_changed_each_in_its_own_way():
    pictures, labels = whole(flow(picture_rows()))

    first, second = pictures[labels == 4], pictures[labels == 5]

    assert not np.array_equal(first, second)


def test_equal_arguments_give_equal_batches_and_another_seed_or_epoch_others():
    rows = picture_rows()

    pictures, labels = whole(flow(rows))

    again, labels_again = whole(flow(rows))
    np.testing.assert_array_equal(pictures, again)
    np.testing.assert_array_equal(labels, labels_again)
    for other in (whole(flow(rows, seed=8)), whole(flow(rows), epoch=2)):
        assert not np.array_equal(pictures, other[0])
        assert not np.array_equal(labels, other[1])


def test_what_was_drawn_before_changes_nothing():
    rows = picture_rows()
    used = flow(rows)
    whole(used, epoch=1)
    np.random.random(5)  # noqa: NPY002

    pictures, _ = whole(used, epoch=2)

    np.testing.assert_array_equal(pictures, whole(flow(rows), epoch=2)[0])


def test_the_global_state_of_numpy_is_left_as_it_was():
    before = np.random.get_state()  # noqa: NPY002

    whole(flow(picture_rows()))

    after = np.random.get_state()  # noqa: NPY002
    np.testing.assert_array_equal(before[1], after[1])
    assert before[2] == after[2]


def test_the_pictures_themselves_stay_as_they_were():
    rows = picture_rows()
    before = rows.pictures.copy()

    whole(flow(rows, {**CHANGES, "brightness_range": [0.5, 1.5], "channel_shift_range": 40}))

    np.testing.assert_array_equal(rows.pictures, before)


@pytest.mark.parametrize("argument", ["rescale", "data_format", "dtype"])
def test_what_the_flow_decides_itself_cannot_be_given(argument: str):
    with pytest.raises(TypeError, match=argument):
        flow(picture_rows(), {argument: None})


def test_a_picture_is_changed_in_another_way_in_every_epoch():
    flowed = flow(picture_rows(n_pictures=1, shown=(0,)))

    first, second = (whole(flowed, epoch)[0] for epoch in (1, 2))

    assert not np.array_equal(first, second)
