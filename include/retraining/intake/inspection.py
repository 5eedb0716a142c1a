"""What each delivered image is: digests, format, size, or why it cannot be decoded. Nothing is refused here."""

from __future__ import annotations

import hashlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields, replace

import pandas as pd
from PIL import Image, ImageOps

from include.retraining.config import IntakeConfig
from include.retraining.intake.reasons import Reason
from include.retraining.run import Run
from include.retraining.storage.parallel import get_many
from include.retraining.storage.publishing import sha256

logger = logging.getLogger(__name__)

WITHIN_RGB = frozenset({"1", "L", "P", "RGB"})  # modes that become RGB without loss


@dataclass(frozen=True)
class ImageFacts:
    """The columns that inspection adds to a row; what could not be found out is empty or 0.

    Attributes:
        bytes_sha256: Digest of the object.
        pixel_sha256: Digest of the picture, see `pixel_digest`.
        format: As Pillow names it.
        mode: As Pillow names it.
        width: In pixels, as displayed.
        height: In pixels, as displayed.
        problem: Code of the `Reason` why there is no `pixel_sha256`; empty where there is one.
    """

    bytes_sha256: str = ""
    pixel_sha256: str = ""
    format: str = ""
    mode: str = ""
    width: int = 0
    height: int = 0
    problem: str = ""


def inspect(run: Run, listing: pd.DataFrame) -> pd.DataFrame:
    """Fetches and decodes the images of a listing, or of any part of it.

    Objects over `intake.maximum_image_bytes` are not fetched; images over `intake.maximum_side_pixels`, or in a format
    that is not allowed, are not decoded. Few images are in memory at a time.

    Returns:
        Schema `FACTS`, the rows of the listing in their order.
    """
    policy = run.config.intake
    problems = [
        _problem_before_fetching(*row, policy) for row in zip(listing["key"], listing["size_bytes"], strict=True)
    ]
    wanted = [key for key, problem in zip(listing["key"], problems, strict=True) if problem is None]
    bodies = get_many(run.store, wanted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's: about large images, broken EXIF and the like, once a file
        facts = [_facts_of(problem, bodies, policy) for problem in problems]
    columns = pd.DataFrame([asdict(row) for row in facts], columns=[field.name for field in fields(ImageFacts)])
    logger.info(
        "inspected rows=%d fetched=%d decoded=%d", len(facts), len(wanted), sum(not row.problem for row in facts)
    )
    return pd.concat([listing.reset_index(drop=True), columns], axis="columns")


def look_at(body: bytes, policy: IntakeConfig) -> ImageFacts:
    """Returns what an object's bytes turn out to be.

    Whatever a decoder raises on hostile bytes is a finding about the image. Only a `MemoryError` in decoding passes:
    that is the worker's trouble, and no reason to refuse a good image.
    """
    facts = ImageFacts(bytes_sha256=sha256(body))
    try:
        with Image.open(io.BytesIO(body)) as image:
            facts = replace(facts, format=image.format or "", mode=image.mode, width=image.width, height=image.height)
    except Image.DecompressionBombError:  # the header promises more pixels than Pillow ever decodes
        return replace(facts, problem=Reason.SIDES_OUT_OF_BOUNDS)
    except Exception:
        return replace(facts, problem=Reason.NOT_AN_IMAGE)
    if facts.format not in policy.formats:
        return replace(facts, problem=Reason.FORMAT_NOT_ALLOWED)
    if max(facts.width, facts.height) > policy.maximum_side_pixels:
        return replace(facts, problem=Reason.SIDES_OUT_OF_BOUNDS)
    try:
        picture = _decode(body)
        return replace(facts, width=picture.width, height=picture.height, pixel_sha256=pixel_digest(picture))
    except MemoryError:
        raise
    except Exception:
        return replace(facts, problem=Reason.TRUNCATED_OR_CORRUPT)


def pixel_digest(picture: Image.Image) -> str:
    """Returns the identity of a picture: sha256 over mode, width, height and pixels, the same for every file format.

    Black and white, grey and palette pictures are RGB pictures here, and with transparency RGBA pictures. Pictures in
    other modes (16 bits, CMYK) stay in their own: converting them would make different pictures alike.

    Args:
        picture: Decoded, and turned as its EXIF orientation says.
    """
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    elif picture.mode in WITHIN_RGB:
        picture = picture.convert("RGB")
    digest = hashlib.sha256(f"{picture.mode} {picture.width} {picture.height}\n".encode())
    digest.update(picture.tobytes())
    return digest.hexdigest()


def _decode(body: bytes) -> Image.Image:
    with Image.open(io.BytesIO(body)) as image:
        image.verify()  # compares checksums, where the format has any; the image cannot be used after it
    with Image.open(io.BytesIO(body)) as image:
        image.load()
        try:
            return ImageOps.exif_transpose(image)
        except Exception:  # EXIF that cannot be read says nothing of the orientation
            return image.copy()


def _problem_before_fetching(key: str, size_bytes: int, policy: IntakeConfig) -> Reason | None:
    if not key:
        return Reason.OUTSIDE_BATCH
    if size_bytes < 0:
        return Reason.MISSING_OBJECT
    return Reason.TOO_MANY_BYTES if size_bytes > policy.maximum_image_bytes else None


def _facts_of(problem: Reason | None, bodies: Iterator[bytes | None], policy: IntakeConfig) -> ImageFacts:
    if problem is not None:
        return ImageFacts(problem=problem)
    body = next(bodies)
    if body is None:  # deleted since it was listed
        return ImageFacts(problem=Reason.MISSING_OBJECT)
    return look_at(body, policy)
