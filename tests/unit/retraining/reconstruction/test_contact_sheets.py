from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from include.retraining.reconstruction.contact_sheets import HEADINGS, Tile, draw_contact_sheet

COLOURS = ((200, 0, 0), (0, 200, 0), (0, 0, 200), (120, 0, 120))


def tiles(side: int = 32) -> list[Tile]:
    return [Tile(np.full((side, side, 3), colour, np.uint8), "ab12cd34") for colour in COLOURS]


def pixels_of(body: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))


def count(pixels: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((pixels == colour).all(axis=2).sum())


@pytest.mark.parametrize("side", [32, 64])
def test_every_picture_of_every_row_is_shown_whole_and_from_left_to_right(side):
    sheet = pixels_of(draw_contact_sheet("daisy", "2 of 9", [tiles(side), tiles(side)]))

    assert [count(sheet, colour) for colour in COLOURS] == [2 * 128 * 128] * len(HEADINGS)
    first_columns = [int(np.flatnonzero((sheet == colour).all(axis=2).any(axis=0))[0]) for colour in COLOURS]
    assert first_columns == sorted(first_columns)


def test_the_ground_is_white_and_a_row_more_makes_it_longer_not_wider():
    one, two = (pixels_of(draw_contact_sheet("daisy", "", [tiles()] * n)) for n in (1, 2))

    assert one[0, 0].tolist() == one[-1, -1].tolist() == [255, 255, 255]
    assert two.shape[0] > one.shape[0]
    assert two.shape[1] == one.shape[1]


def test_equal_arguments_give_equal_bytes_and_a_caption_can_be_seen():
    first, again = (draw_contact_sheet("daisy", "", [tiles()]) for _ in range(2))
    other = [Tile(tile.pixels, "another") for tile in tiles()]

    assert first == again
    assert not np.array_equal(pixels_of(first), pixels_of(draw_contact_sheet("daisy", "", [other])))
