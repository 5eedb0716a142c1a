"""Which images are refused before they are decoded, and why. What needs the picture is among the expectations."""

from __future__ import annotations

from collections.abc import Iterator

from include.retraining.config import Handling, ImagePolicy
from include.retraining.intake.inspection.headers import ImageHeader
from include.retraining.intake.reasons import Reason


def refusal_before_fetching(key: str, size_bytes: int, policy: ImagePolicy) -> Reason | None:
    """Returns why an object is not worth fetching, or None.

    Args:
        key: Its key; empty where the manifest's name leads out of the batch.
        size_bytes: As listed; -1 where there is no such object.
        policy: The recipe's.
    """
    if not key:
        return Reason.OUTSIDE_BATCH
    if size_bytes < 0:
        return Reason.MISSING_OBJECT
    return refusal_of_size(size_bytes, policy)


def refusal_of_size(size_bytes: int, policy: ImagePolicy) -> Reason | None:
    """Returns why an object of this size is refused, or None."""
    if size_bytes == 0:
        return Reason.EMPTY_OBJECT
    return Reason.TOO_MANY_BYTES if size_bytes > policy.maximum_bytes else None


def refusal_of_header(header: ImageHeader, policy: ImagePolicy) -> Reason | None:
    """Returns why an image is not decoded, or None. The cheapest dangers come first."""
    if header.format not in policy.formats:
        return Reason.FORMAT_NOT_ALLOWED
    shorter, longer = sorted((header.width, header.height))
    if shorter < policy.minimum_side_pixels or longer > policy.maximum_side_pixels:
        return Reason.SIDES_OUT_OF_BOUNDS
    if shorter * longer > policy.maximum_pixels:
        return Reason.SIDES_OUT_OF_BOUNDS
    if longer > policy.maximum_aspect_ratio * shorter:
        return Reason.ASPECT_OUT_OF_BOUNDS
    if header.n_frames > 1 and policy.animated == "quarantine":
        return Reason.ANIMATED
    if header.mode == "F":
        return Reason.UNSUPPORTED_PIXELS
    if "quarantine" in _handling(header, policy):
        return Reason.COLOUR_NOT_ALLOWED
    return None


def _handling(header: ImageHeader, policy: ImagePolicy) -> Iterator[Handling]:
    """Yields what the policy says of each kind of colour that an image has; a palette may be transparent too."""
    if header.mode in ("1", "L", "LA", "La"):
        yield policy.grey
    if header.mode in ("P", "PA"):
        yield policy.palette
    if header.has_transparency:
        yield policy.alpha
    if 8 < header.bit_depth <= 16:
        yield policy.sixteen_bit
    if header.mode == "CMYK":
        yield policy.cmyk
