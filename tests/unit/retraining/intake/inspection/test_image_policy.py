from __future__ import annotations

from dataclasses import replace

import pytest

from include.retraining.config import ImagePolicy
from include.retraining.intake.inspection.headers import ImageHeader
from include.retraining.intake.inspection.image_policy import refusal_before_fetching, refusal_of_header
from include.retraining.intake.reasons import Reason

PHOTO = ImageHeader(format="JPEG", mode="RGB", bit_depth=8, n_frames=1, width=40, height=30, has_transparency=False)
POLICY = ImagePolicy(
    minimum_side_pixels=10, maximum_side_pixels=100, maximum_pixels=5000, maximum_aspect_ratio=4.0, maximum_bytes=300
)


@pytest.mark.parametrize(
    ("key", "size", "refusal"),
    [
        ("a.png", 1, None),
        ("a.png", 300, None),
        ("a.png", 301, Reason.TOO_MANY_BYTES),
        ("a.png", 0, Reason.EMPTY_OBJECT),
        ("a.png", -1, Reason.MISSING_OBJECT),
        ("", -1, Reason.OUTSIDE_BATCH),
    ],
)
def test_what_is_not_worth_fetching_is_refused_by_key_and_size(key, size, refusal):
    assert refusal_before_fetching(key, size, POLICY) is refusal


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({}, None),
        ({"format": "GIF"}, Reason.FORMAT_NOT_ALLOWED),
        ({"width": 10, "height": 10}, None),
        ({"width": 9}, Reason.SIDES_OUT_OF_BOUNDS),
        ({"height": 9}, Reason.SIDES_OUT_OF_BOUNDS),
        ({"width": 100}, None),
        ({"width": 101}, Reason.SIDES_OUT_OF_BOUNDS),
        ({"height": 101}, Reason.SIDES_OUT_OF_BOUNDS),
        ({"width": 100, "height": 50}, None),
        ({"width": 100, "height": 51}, Reason.SIDES_OUT_OF_BOUNDS),
        ({"width": 80, "height": 20}, None),
        ({"width": 81, "height": 20}, Reason.ASPECT_OUT_OF_BOUNDS),
        ({"width": 20, "height": 81}, Reason.ASPECT_OUT_OF_BOUNDS),
        ({"n_frames": 2}, Reason.ANIMATED),
        ({"n_frames": 0}, None),
        ({"mode": "F"}, Reason.UNSUPPORTED_PIXELS),
        ({"format": "GIF", "width": 1}, Reason.FORMAT_NOT_ALLOWED),
    ],
)
def test_each_bound_refuses_what_is_beyond_it_and_nothing_on_it(changes, refusal):
    assert refusal_of_header(replace(PHOTO, **changes), POLICY) is refusal


KINDS = {
    "grey": [{"mode": "L"}, {"mode": "1", "bit_depth": 1}, {"mode": "LA", "has_transparency": True}],
    "palette": [{"mode": "P"}, {"mode": "P", "has_transparency": True}],
    "alpha": [{"mode": "RGBA", "has_transparency": True}, {"mode": "P", "has_transparency": True}],
    "sixteen_bit": [
        {"mode": "I;16", "bit_depth": 16},
        {"mode": "RGB", "bit_depth": 16},
        {"mode": "I;16", "bit_depth": 12},
    ],
    "cmyk": [{"mode": "CMYK"}],
    "animated": [{"n_frames": 3}],
}


@pytest.mark.parametrize(("kind", "changes"), [(kind, case) for kind, cases in KINDS.items() for case in cases])
def test_each_kind_is_quarantined_where_its_own_policy_says_so(kind, changes):
    convert_all = dict.fromkeys(KINDS, "convert")
    header = replace(PHOTO, **changes)

    asked = refusal_of_header(header, ImagePolicy(**{**convert_all, kind: "quarantine"}))

    assert asked is (Reason.ANIMATED if kind == "animated" else Reason.COLOUR_NOT_ALLOWED)
    assert refusal_of_header(header, ImagePolicy(**convert_all)) is None


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_policy_on_one_kind_leaves_plain_photographs_alone(kind):
    assert refusal_of_header(PHOTO, ImagePolicy(**{kind: "quarantine"})) is None
