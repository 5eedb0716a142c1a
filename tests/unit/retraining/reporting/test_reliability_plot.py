from __future__ import annotations

import pytest

from include.retraining.artifacts import ReliabilityBin
from include.retraining.reporting.reliability_plot import COUNTS, COUNTS_TOP, reliability_plot

EMPTY = ReliabilityBin(0.0, 0.5, 0, None, None)
SURE = ReliabilityBin(0.5, 1.0, 100, 0.75, 0.5)


def test_a_dot_lies_at_its_confidence_and_accuracy_and_empty_bins_have_none() -> None:
    plot = reliability_plot([EMPTY, SURE])

    assert plot is not None
    (model,) = plot.models
    x0, y0, x1, y1 = plot.diagonal
    (dot,) = model.dots
    assert dot.x == pytest.approx(x0 + 0.75 * (x1 - x0))
    assert dot.y == pytest.approx(y0 + 0.5 * (y1 - y0))
    assert dot.told == "100 images, confidence 0.750, accuracy 0.500"
    assert model.line == f"{dot.x},{dot.y}"
    assert y1 < y0


def test_the_fullest_bin_has_the_highest_bar_and_two_models_stand_side_by_side() -> None:
    few = ReliabilityBin(0.0, 0.5, 25, 0.4, 0.4)

    plot = reliability_plot([few, SURE], [EMPTY, SURE])

    assert plot is not None
    assert plot.most_rows == 100
    heights = [bar.height for bar in plot.models[0].bars]
    assert heights == [pytest.approx(COUNTS / 4), pytest.approx(COUNTS)]
    assert all(bar.y + bar.height == pytest.approx(COUNTS_TOP + COUNTS) for bar in plot.models[0].bars)
    new, old = plot.models[0].bars[1], plot.models[1].bars[0]
    assert new.x + new.width <= old.x + 0.11


def test_a_dot_of_more_rows_is_larger() -> None:
    few = ReliabilityBin(0.0, 0.5, 1, 0.4, 0.4)

    plot = reliability_plot([few, SURE])

    assert plot is not None
    small, large = (dot.radius for dot in plot.models[0].dots)
    assert 0 < small < large


def test_without_rows_there_is_no_plot() -> None:
    assert reliability_plot([EMPTY]) is None
    assert reliability_plot([]) is None
