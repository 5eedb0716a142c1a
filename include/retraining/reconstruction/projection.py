"""Draws real and synthetic rows in two dimensions, a panel a class.

The axes are the first two principal components of the real train rows: synthetic rows have no say in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from include.retraining.reconstruction.drawing import INK, LINE, QUIET_INK, WHITE, fitted, font, to_png

REAL = (0, 90, 160)  # blue and orange: told apart by every kind of colour-blindness
SYNTHETIC = (230, 125, 0)
OTHERS = (214, 214, 218)

_COLUMNS, _WIDTH, _GAP, _MARGIN = 4, 260, 20, 24
_HEADER, _CAPTION = 96, 40
_TITLE_SIZE, _LABEL_SIZE, _TEXT_SIZE = 22, 15, 13
_FINER = 3  # drawn so many times larger, then averaged: smooth dots
_FLATTEST, _TALLEST = 0.5, 1.0
_REAL_RADIUS, _CROWDED_RADIUS, _SYNTHETIC_RADIUS, _OTHER_RADIUS = 2.0, 1.1, 1.5, 1.2
_CROWD = 300  # so many real dots would hide the synthetic ones below them
_OPACITY = {REAL: 0.9, SYNTHETIC: 0.75, OTHERS: 1.0}

Dots = tuple[np.ndarray, tuple[int, int, int], float]


@dataclass(frozen=True, eq=False)
class Panel:
    """A class's rows in two dimensions.

    Attributes:
        label: The class.
        real: Those that are drawn, shape `(n_real, 2)`.
        synthetic: Likewise, shape `(n_synthetic, 2)`.
        caption: How many there are.
    """

    label: str
    real: np.ndarray
    synthetic: np.ndarray
    caption: str


@dataclass(frozen=True)
class _Frame:
    """The stretch of the plane that every panel shows; one unit is as long in both directions.

    Attributes:
        low: Of each axis.
        scale: Pixels a unit.
        height: Of a panel in pixels.
    """

    low: np.ndarray
    scale: float
    height: int

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Returns where points lie in a panel, from its upper left corner."""
        across, up = ((points - self.low) * self.scale).T
        placed: np.ndarray = np.stack([across, self.height - up], axis=1)
        return placed


def draw_projection(title: str, subtitle: str, panels: Sequence[Panel]) -> bytes:
    """Returns a PNG file; equal arguments give equal bytes.

    Real rows of the panel's class lie on top, synthetic ones below them, real rows of other classes behind.

    Args:
        title: Above all.
        subtitle: Below it.
        panels: At least one, with at least one row.
    """
    frame = _frame_of(panels)
    columns, lines = min(_COLUMNS, len(panels)), -(-len(panels) // _COLUMNS)
    width = 2 * _MARGIN + max(columns, 3) * (_WIDTH + _GAP) - _GAP
    page = Image.new("RGB", (width, _HEADER + lines * (frame.height + _CAPTION + _GAP)), WHITE)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, 16), fitted(title, _TITLE_SIZE, width - 2 * _MARGIN), INK, font(_TITLE_SIZE))
    draw.text((_MARGIN, 44), fitted(subtitle, _TEXT_SIZE, width - 2 * _MARGIN), QUIET_INK, font(_TEXT_SIZE))
    _draw_legend(page, (_MARGIN, 66))
    for index, panel in enumerate(panels):
        line, column = divmod(index, _COLUMNS)
        corner = _MARGIN + column * (_WIDTH + _GAP), _HEADER + line * (frame.height + _CAPTION + _GAP)
        others = [other.real for other in panels if other is not panel]
        _draw_panel(page, panel, np.concatenate([np.empty((0, 2)), *others]), frame, corner)
    return to_png(page)


def _frame_of(panels: Sequence[Panel]) -> _Frame:
    points = np.concatenate([rows for panel in panels for rows in (panel.real, panel.synthetic)])
    low, high = points.min(axis=0), points.max(axis=0)
    middle, span = (low + high) / 2, np.maximum(high - low, 1e-6) * 1.06
    ratio = float(np.clip(span[1] / span[0], _FLATTEST, _TALLEST))
    scale = _WIDTH * min(1 / span[0], ratio / span[1])
    height = round(_WIDTH * ratio)
    return _Frame(middle - np.array([_WIDTH, height]) / (2 * scale), float(scale), height)


def _draw_panel(page: Image.Image, panel: Panel, others: np.ndarray, frame: _Frame, corner: tuple[int, int]) -> None:
    left, top = corner
    draw = ImageDraw.Draw(page)
    draw.text(corner, fitted(panel.label, _LABEL_SIZE, _WIDTH), INK, font(_LABEL_SIZE))
    draw.text((left, top + 19), fitted(panel.caption, _TEXT_SIZE, _WIDTH), QUIET_INK, font(_TEXT_SIZE))
    real_radius = _REAL_RADIUS if len(panel.real) < _CROWD else _CROWDED_RADIUS
    layers: list[Dots] = [
        (frame.pixels(others), OTHERS, _OTHER_RADIUS),
        (frame.pixels(panel.synthetic), SYNTHETIC, _SYNTHETIC_RADIUS),
        (frame.pixels(panel.real), REAL, real_radius),
    ]
    page.paste(_dotted((_WIDTH, frame.height), layers), (left, top + _CAPTION))
    draw.rectangle((left, top + _CAPTION, left + _WIDTH - 1, top + _CAPTION + frame.height - 1), outline=LINE)


def _draw_legend(page: Image.Image, corner: tuple[int, int]) -> None:
    left, top = corner
    entries = (
        (REAL, _REAL_RADIUS, "real rows of the class"),
        (SYNTHETIC, _SYNTHETIC_RADIUS, "synthetic rows of the class"),
        (OTHERS, _OTHER_RADIUS, "real rows of other classes"),
    )
    for colour, radius, text in entries:
        dot = np.array([[6.0, 8.0]])
        page.paste(_dotted((12, 16), [(dot, colour, 2 * radius)]), (left, top))
        ImageDraw.Draw(page).text((left + 17, top), text, INK, font(_TEXT_SIZE))
        left += round(17 + font(_TEXT_SIZE).getlength(text) + 28)


def _dotted(size: tuple[int, int], layers: Sequence[Dots]) -> Image.Image:
    """Returns dots on white, layer upon layer."""
    finer = (size[0] * _FINER, size[1] * _FINER)
    image = Image.new("RGB", finer, WHITE)
    for points, colour, radius in layers:
        mask = Image.new("L", finer)
        draw = ImageDraw.Draw(mask)
        opacity = round(255 * _OPACITY[colour])
        for x, y in (points * _FINER).tolist():
            draw.ellipse((x - radius * _FINER, y - radius * _FINER, x + radius * _FINER, y + radius * _FINER), opacity)
        image.paste(colour, mask=mask)
    return image.reduce(_FINER)
