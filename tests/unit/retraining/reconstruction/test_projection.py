from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from include.retraining.reconstruction.projection import REAL, Panel, draw_projection

NONE = np.empty((0, 2))


def panel(real: np.ndarray = NONE, synthetic: np.ndarray = NONE, label: str = "daisy") -> Panel:
    return Panel(label, np.asarray(real, float), np.asarray(synthetic, float), f"{len(real)} real")


def picture(*panels: Panel) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(draw_projection("Rows", "", panels))).convert("RGB")).astype(int)


def is_blue(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 2] > pixels[..., 0] + 60


def is_orange(pixels: np.ndarray) -> np.ndarray:
    return pixels[..., 0] > pixels[..., 2] + 60


def below_legend(pixels: np.ndarray) -> np.ndarray:
    return pixels[96:]


def test_real_and_synthetic_rows_have_their_colours():
    corners = [[0, 0], [10, 10]]

    drawn = below_legend(picture(panel(real=corners, synthetic=[[5, 5]])))
    only_real = below_legend(picture(panel(real=corners)))

    assert is_blue(drawn).any()
    assert is_orange(drawn).any()
    assert not is_orange(only_real).any()


def test_a_point_further_up_is_drawn_higher_and_one_further_right_more_to_the_right():
    frame = [[0, 0], [10, 10]]

    def place(point: list[float]) -> np.ndarray:
        rows, columns = np.nonzero(is_orange(below_legend(picture(panel(real=frame, synthetic=[point])))))
        return np.array([columns.mean(), rows.mean()])

    left_low, right_low, left_high = place([3, 3]), place([7, 3]), place([3, 7])
    assert right_low[0] - left_low[0] == pytest.approx(left_low[1] - left_high[1], abs=1.5)
    assert right_low[0] > left_low[0] + 50
    assert left_high[1] < left_low[1] - 50


def test_every_panel_shows_the_same_stretch_so_that_a_point_lies_alike_in_each():
    far = panel(real=[[0, 0], [10, 10]], label="poppy")
    near = panel(synthetic=[[3, 3]])
    alone = panel(synthetic=[[3, 3]], label="orchid")

    drawn = below_legend(picture(far, near, alone))

    columns = np.flatnonzero(is_orange(drawn).any(axis=0))
    second, third = columns[columns < columns.mean()], columns[columns > columns.mean()]
    assert third.mean() - second.mean() == pytest.approx(280)


def test_rows_of_other_classes_lie_behind_in_grey_and_not_in_the_classs_colour():
    own, other = panel(real=[[0, 0], [10, 10]]), panel(real=[[5, 5]], label="poppy")

    with_other = below_legend(picture(own, other))[:, :284]
    alone = below_legend(picture(own, panel(label="poppy")))[:, :284]

    assert is_blue(with_other).sum() == is_blue(alone).sum()
    assert (with_other < 240).any(axis=2).sum() > (alone < 240).any(axis=2).sum()


@pytest.mark.parametrize(
    "panels",
    [
        pytest.param([panel(real=[[1, 1]])], id="one point"),
        pytest.param([panel(real=[[0, 2], [5, 2]])], id="a line"),
        pytest.param([panel(real=[[0, 0]]), *[panel(label=f"{n}") for n in range(8)]], id="classes without rows"),
    ],
)
def test_what_has_little_to_draw_is_drawn_all_the_same(panels):
    drawn = below_legend(picture(*panels))

    assert is_blue(drawn).any()


def test_equal_arguments_give_equal_bytes_without_a_date():
    first, again = (draw_projection("Rows", "x", [panel(real=[[0, 0], [1, 2]])]) for _ in range(2))

    assert first == again
    assert Image.open(io.BytesIO(first)).info == {}


def test_the_legend_shows_the_colour_of_real_rows():
    legend = picture(panel(real=[[0, 0]]))[60:90, :60]

    assert np.abs(legend - np.array(REAL)).sum(axis=2).min() < 60
