"""Which arguments of Keras's deprecated `ImageDataGenerator` a recipe may give, and why the others are refused.

Light on purpose: a wrong recipe is found when it is read, without Keras.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

FILL_MODES = ("constant", "nearest", "reflect", "wrap")


@dataclass(frozen=True)
class Argument:
    """An argument that is handed on to `ImageDataGenerator`.

    Attributes:
        expected: What it may be, for people.
        holds: Tells whether a value is that.
    """

    expected: str
    holds: Callable[[Any], bool]


def find_mistake(arguments: Mapping[str, Any]) -> str:
    """Returns what is wrong with the first wrong argument and what to do, or nothing where all can be used."""
    for name, value in arguments.items():
        if name in REFUSED:
            return f"{name} is refused: {REFUSED[name]}"
        if name not in ACCEPTED:
            return f"{name} is no argument of ImageDataGenerator; {_suggestion(name)}"
        if not ACCEPTED[name].holds(value):
            return f"{name}: expected {ACCEPTED[name].expected}, got {value!r}"
    return ""


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, ACCEPTED, n=3)
    return f"did you mean {' or '.join(near)}?" if near else f"known here: {', '.join(ACCEPTED)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_not_negative(value: Any) -> bool:
    return _is_number(value) and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_order(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 5


def _is_range(value: Any) -> bool:
    """Tells whether a value is a pair of numbers, none negative, the smaller first."""
    is_pair = isinstance(value, list | tuple) and len(value) == 2 and all(_is_not_negative(end) for end in value)
    return is_pair and value[0] <= value[1]


def _is_zoom(value: Any) -> bool:
    """Tells whether no zoom that may be drawn is 0, which would show one pixel alone."""
    return value[0] > 0 if _is_range(value) else _is_not_negative(value) and value < 1


def _is_shift(value: Any) -> bool:
    """Tells whether a value is a largest shift, or a list of those to choose among."""
    is_list = isinstance(value, list | tuple) and bool(value) and all(_is_number(shift) for shift in value)
    return is_list or _is_not_negative(value)


_ANGLE = Argument("degrees, 0 or more", _is_not_negative)
_SHIFT = Argument("a share below 1, pixels from 1, or a list of either", _is_shift)
_FLAG = Argument("true or false", _is_flag)

ACCEPTED: Mapping[str, Argument] = {
    "rotation_range": _ANGLE,
    "width_shift_range": _SHIFT,
    "height_shift_range": _SHIFT,
    "shear_range": _ANGLE,
    "zoom_range": Argument("a share below 1, or [lowest, highest] above 0", _is_zoom),
    "brightness_range": Argument("[lowest, highest], 1 being no change", _is_range),
    "channel_shift_range": Argument("a number, 0 or more, of 255", _is_not_negative),
    "horizontal_flip": _FLAG,
    "vertical_flip": _FLAG,
    "fill_mode": Argument(f"one of {', '.join(FILL_MODES)}", lambda value: value in FILL_MODES),
    "cval": Argument("a number from 0 to 255", lambda value: _is_not_negative(value) and value <= 255),
    "interpolation_order": Argument("a whole number from 0 to 5", _is_order),
}

_SCALING = "the network's own preprocessing scales pixels, and expects them from 0 to 255; leave it out"
_STATISTICS = (
    "the pre-trained network expects the pixels that it was trained on; standard scores come later; leave it out"
)

REFUSED: Mapping[str, str] = {
    "rescale": _SCALING,
    "featurewise_center": _STATISTICS,
    "featurewise_std_normalization": _STATISTICS,
    "samplewise_center": _STATISTICS,
    "samplewise_std_normalization": _STATISTICS,
    "zca_whitening": _STATISTICS,
    "zca_epsilon": _STATISTICS,
    "validation_split": "images are split when they are accepted, before any is resampled; see the section dataset",
    "preprocessing_function": "a function cannot be in a recipe, and the network has its own; leave it out",
    "data_format": "images are always height × width × channels here; leave it out",
    "dtype": "views are 8-bit images, as the image itself is; leave it out",
}
