"""What an object's bytes turn out to be: digests, format, size, numbers, or why they were not decoded."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace

from PIL import Image

from include.retraining.config import ImagePolicy
from include.retraining.intake.inspection.completeness import is_complete
from include.retraining.intake.inspection.headers import (
    ImageHeader,
    format_by_signature,
    header_of,
    open_image,
    readers_of,
)
from include.retraining.intake.inspection.image_policy import refusal_of_header, refusal_of_size
from include.retraining.intake.inspection.measurements import measure
from include.retraining.intake.reasons import Reason
from include.retraining.pictures import UndecodableError, UnsupportedPixelsError, decode_picture
from include.retraining.storage.publishing import sha256


@dataclass(frozen=True)
class ImageFacts:
    """The columns that inspection adds to a row, as schema `FACTS` explains them.

    What could not be found out is empty, 0 or NaN. `problem` is the code of the `Reason` why there is no
    `pixel_sha256`, and empty where there is one.
    """

    bytes_sha256: str = ""
    pixel_sha256: str = ""
    perceptual_hash: str = ""
    format: str = ""
    mode: str = ""
    bit_depth: int = 0
    n_frames: int = 0
    width: int = 0
    height: int = 0
    exif_orientation: int = 0
    brightness: float = math.nan
    contrast: float = math.nan
    sharpness: float = math.nan
    near_constant: bool = False
    problem: str = ""


def look_at(body: bytes | None, policy: ImagePolicy) -> ImageFacts:
    """Returns what an object's bytes turn out to be; None stands for an object that was deleted since it was listed.

    Whatever a decoder raises on hostile bytes is a finding about the image. Only a `MemoryError` in decoding passes:
    that is the worker's trouble, and no reason to refuse a good image.
    """
    if body is None:
        return ImageFacts(problem=Reason.MISSING_OBJECT)
    facts = ImageFacts(bytes_sha256=sha256(body))
    refusal = refusal_of_size(len(body), policy)
    if refusal is not None:
        return replace(facts, problem=refusal)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's: about large images, broken EXIF and the like
        return _look_at_image(body, policy, facts)


def _look_at_image(body: bytes, policy: ImagePolicy, facts: ImageFacts) -> ImageFacts:
    try:
        with open_image(body, policy.formats) as image:
            header = header_of(image)
            facts = _with_header(facts, header)
            refusal = refusal_of_header(header, policy)
            if refusal is not None:
                return replace(facts, problem=refusal)
            image.verify()  # compares checksums, where the format has any; the image cannot be used after it
    except Image.DecompressionBombError:  # the header promises more pixels than Pillow ever decodes
        found = format_by_signature(body, policy.formats)
        return replace(facts, format=found, problem=Reason.SIDES_OUT_OF_BOUNDS)
    except Exception:
        if facts.format:
            return replace(facts, problem=Reason.TRUNCATED_OR_CORRUPT)
        return _look_at_stranger(body, policy, facts)
    if not is_complete(header.format, body):
        return replace(facts, problem=Reason.TRUNCATED_OR_CORRUPT)
    return _look_at_picture(body, facts)


def _look_at_stranger(body: bytes, policy: ImagePolicy, facts: ImageFacts) -> ImageFacts:
    """Looks at bytes that no reader of an allowed format could open."""
    found = format_by_signature(body, policy.formats)
    if found:
        return replace(facts, format=found, problem=Reason.TRUNCATED_OR_CORRUPT)
    try:
        with open_image(body) as image:
            return replace(_with_header(facts, header_of(image)), problem=Reason.FORMAT_NOT_ALLOWED)
    except Image.DecompressionBombError:
        return replace(facts, problem=Reason.SIDES_OUT_OF_BOUNDS)
    except Exception:
        return replace(facts, problem=Reason.NOT_AN_IMAGE)


def _look_at_picture(body: bytes, facts: ImageFacts) -> ImageFacts:
    try:
        picture = decode_picture(body, readers_of((facts.format,)))
    except UnsupportedPixelsError:
        return replace(facts, problem=Reason.UNSUPPORTED_PIXELS)
    except UndecodableError:
        return replace(facts, problem=Reason.TRUNCATED_OR_CORRUPT)
    return replace(
        facts,
        pixel_sha256=picture.digest,
        width=picture.image.width,
        height=picture.image.height,
        exif_orientation=picture.exif_orientation,
        **vars(measure(picture.image)),
    )


def _with_header(facts: ImageFacts, header: ImageHeader) -> ImageFacts:
    return replace(
        facts,
        format=header.format,
        mode=header.mode,
        bit_depth=header.bit_depth,
        n_frames=header.n_frames,
        width=header.width,
        height=header.height,
    )
