"""Why a delivered image is not accepted: the whole vocabulary. The rules that give the reasons are elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

SEPARATOR = "; "


class Reason(StrEnum):
    """A machine-readable code, and what it means to whoever delivered the image. The most specific come first."""

    OUTSIDE_BATCH = "outside_batch", "The manifest's name is empty, absolute, or leads out of the batch's folder."
    MISSING_OBJECT = "missing_object", "The manifest names an image that was not delivered."
    NOT_LISTED = "not_listed", "No line of the manifest names the object, and it lies in no label folder."
    EMPTY_OBJECT = "empty_object", "The object has no bytes."
    TOO_MANY_BYTES = "too_many_bytes", "The object is larger than intake.images.maximum_bytes; it was not fetched."
    NOT_AN_IMAGE = "not_an_image", "The content begins like no image format that is known."
    FORMAT_NOT_ALLOWED = "format_not_allowed", "The format is not one of intake.images.formats; it was not decoded."
    SIDES_OUT_OF_BOUNDS = (
        "sides_out_of_bounds",
        "Width, height or their product is outside the bounds in intake.images; too large ones were not decoded.",
    )
    ASPECT_OUT_OF_BOUNDS = "aspect_out_of_bounds", "The longer side over the shorter is above maximum_aspect_ratio."
    ANIMATED = "animated", "The image has several frames, and intake.images.animated says to quarantine it."
    COLOUR_NOT_ALLOWED = "colour_not_allowed", "intake.images says to quarantine the image's kind of colour."
    UNSUPPORTED_PIXELS = "unsupported_pixels", "The pixels are floats or 32-bit integers, which have no fixed range."
    TRUNCATED_OR_CORRUPT = "truncated_or_corrupt", "The content begins like an image, but does not decode to its end."
    NO_LABEL = "no_label", "The manifest gives no label, or the line has more fields than the header."
    UNKNOWN_LABEL = "unknown_label", "The label is not one of the classifier's, letter for letter."
    INVALID_SPLIT = "invalid_split", "The split is none of train, validation and test, nor empty."
    NEAR_CONSTANT = "near_constant", "The image is of nearly one colour, and expectations.not_constant refuses that."
    BRIGHTNESS_OUT_OF_RANGE = "brightness_out_of_range", "The mean brightness is outside expectations.brightness."
    CONTRAST_OUT_OF_RANGE = "contrast_out_of_range", "The deviation of brightness is outside expectations.contrast."
    SHARPNESS_OUT_OF_RANGE = "sharpness_out_of_range", "The sharpness is outside expectations.sharpness."
    LABEL_CONFLICT = "label_conflict", "The same pixels are known under another label."
    GROUP_CONFLICT = "group_conflict", "The same pixels are delivered in different groups."
    SPLIT_CONFLICT = "split_conflict", "The pinned split is not the one that the same pixels or the group have."
    NEAR_DUPLICATE_ACROSS_SPLITS = (
        "near_duplicate_across_splits",
        "The image nearly equals one of another split, and cannot be moved into that split.",
    )
    DUPLICATE_OF_TEST_IMAGE = "duplicate_of_test_image", "An earlier batch holds the same pixels as a test image."
    DUPLICATE_OF_EARLIER_BATCH = "duplicate_of_earlier_batch", "An earlier batch holds the same pixels and label."
    DUPLICATE = "duplicate", "Another image of the batch has the same pixels and label, and stays."

    meaning: str

    def __new__(cls, code: str, meaning: str = "") -> Reason:
        """Makes a member that is its code, and carries its meaning."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        return member


SKIPPING = frozenset({Reason.DUPLICATE, Reason.DUPLICATE_OF_EARLIER_BATCH, Reason.DUPLICATE_OF_TEST_IMAGE})
"""Reasons that skip an image, since nothing is lost without it; all others quarantine."""


def ordered(reasons: Iterable[Reason]) -> tuple[Reason, ...]:
    """Returns distinct reasons, the most specific first."""
    found = set(reasons)
    return tuple(reason for reason in Reason if reason in found)


def joined(reasons: Iterable[Reason]) -> str:
    """Returns reasons as the `reason` column of the verdicts holds them."""
    return SEPARATOR.join(ordered(reasons))


def parted(column_value: str) -> tuple[Reason, ...]:
    """Returns the reasons that a value of the `reason` column holds."""
    return tuple(Reason(code) for code in column_value.split(SEPARATOR)) if column_value else ()
