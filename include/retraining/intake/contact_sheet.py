"""One page that shows a day's quarantined images by reason. Their copies and reasons are written in `quarantine.py`.

The page carries all that it shows and runs nothing. Names and labels are what somebody delivered: all is escaped.
"""

from __future__ import annotations

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment
from PIL import Image

from include.retraining.config import ImagePolicy
from include.retraining.intake.exchange import recall_verdicts
from include.retraining.intake.inspection.headers import open_image, readers_of
from include.retraining.intake.names import shown_name
from include.retraining.intake.outcomes import QUARANTINED, SKIPPED
from include.retraining.intake.reasons import Reason, parted
from include.retraining.pictures import decode_picture
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.parallel import get_many
from include.retraining.templating import escaping_environment

TEMPLATES = Path(__file__).parent / "templates"
SHOWN_PER_REASON = 24
THUMBNAIL_PIXELS = 96
TINY_PIXELS = 48  # smaller pictures are shown enlarged
FETCHED_AT_ONCE = 8  # objects in memory, of intake.images.maximum_bytes each


@dataclass(frozen=True)
class Thumbnail:
    """A picture of at most 96 × 96 pixels.

    Attributes:
        uri: `data:` URI.
        is_tiny: Whether the image itself is so small that it is better enlarged.
    """

    uri: str
    is_tiny: bool


@dataclass(frozen=True)
class Tile:
    """A quarantined image as the page shows it; names and labels are not escaped yet.

    Attributes:
        name: Name in the delivery.
        label: As delivered.
        size: Width and height; empty where unknown.
        related: Name of the image that it duplicates or contradicts, or empty.
        others: Further reasons.
        picture: None where the image cannot, or must not, be decoded.
        missing: What the page says instead of a picture.
    """

    name: str
    label: str
    size: str
    related: str
    others: tuple[Reason, ...]
    picture: Thumbnail | None
    missing: str


@dataclass(frozen=True)
class Group:
    """The images that are refused first of all for one reason.

    Attributes:
        reason: The reason.
        number: How many there are.
        tiles: The first of them, in key order.
    """

    reason: Reason
    number: int
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class _Found:
    """What a day's verdicts hold.

    Attributes:
        quarantined: Rows by first reason.
        skipped: Rows by first reason.
        first: The first rows of each reason to quarantine.
    """

    quarantined: Counter[Reason]
    skipped: Counter[Reason]
    first: dict[Reason, list[dict[str, Any]]]


def contact_sheet(run: Run, day: date, verdict_uris: Sequence[str]) -> bytes:
    """Returns the page about a day's quarantined images; equal for equal verdicts and objects.

    An image counts under its first reason, as everywhere. What was too large to be fetched or decoded in the first
    place is not decoded here either.

    Args:
        run: The run.
        day: The day.
        verdict_uris: The day's verdicts (schema `VERDICTS`), in key order.
    """
    found = _find(run, verdict_uris)
    groups = [
        Group(reason, found.quarantined[reason], _tiles(run, day, found.first[reason]))
        for reason in Reason
        if reason in found.quarantined
    ]
    page = (
        _environment()
        .get_template("contact_sheet.html.j2")
        .render(
            classifier=run.classifier,
            day=day,
            groups=groups,
            quarantined=found.quarantined.total(),
            skipped={reason: found.skipped[reason] for reason in Reason if reason in found.skipped},
        )
    )
    return page.encode()


def _find(run: Run, verdict_uris: Sequence[str]) -> _Found:
    found = _Found(Counter(), Counter(), {})
    for uri in verdict_uris:
        rows = recall_verdicts(run, uri)
        found.skipped.update(parted(reason)[0] for reason in rows.loc[rows["outcome"] == SKIPPED, "reason"])
        for row in rows[rows["outcome"] == QUARANTINED].to_dict("records"):
            reason = parted(row["reason"])[0]
            found.quarantined[reason] += 1
            if found.quarantined[reason] <= SHOWN_PER_REASON:
                found.first.setdefault(reason, []).append(row)
    return found


def _tiles(run: Run, day: date, rows: Sequence[Mapping[str, Any]]) -> tuple[Tile, ...]:
    pictures = _pictures(run, [row["key"] for row in rows if _may_be_decoded(row, run.config.intake.images)])
    prefix = layout.incoming(run.classifier, day)
    return tuple(
        Tile(
            name=shown_name(row["image"] or row["key"].removeprefix(prefix)),
            label=shown_name(row["label"]),
            size=f"{row['width']} × {row['height']}" if row["width"] else "",
            related=shown_name(row["related"].removeprefix(prefix).removeprefix(layout.deliveries(run.classifier))),
            others=parted(row["reason"])[1:],
            picture=pictures.get(row["key"]),
            missing="no such object" if row["size_bytes"] < 0 else "not shown",
        )
        for row in rows
    )


def _pictures(run: Run, keys: Sequence[str]) -> dict[str, Thumbnail]:
    pictures: dict[str, Thumbnail] = {}
    for start in range(0, len(keys), FETCHED_AT_ONCE):
        wanted = keys[start : start + FETCHED_AT_ONCE]
        for key, body in zip(wanted, get_many(run.store, wanted), strict=True):
            picture = None if body is None else _thumbnail(body, run.config.intake.images)
            if picture is not None:
                pictures[key] = picture
    return pictures


def _may_be_decoded(row: Mapping[str, Any], policy: ImagePolicy) -> bool:
    is_fetched = 0 < row["size_bytes"] <= policy.maximum_bytes
    return is_fetched and _is_bounded(row["width"], row["height"], policy)


def _is_bounded(width: int, height: int, policy: ImagePolicy) -> bool:
    return 0 < max(width, height) <= policy.maximum_side_pixels and width * height <= policy.maximum_pixels


def _thumbnail(body: bytes, policy: ImagePolicy) -> Thumbnail | None:
    try:
        with open_image(body, policy.formats) as header:
            if not _is_bounded(header.width, header.height, policy):
                return None
        image = decode_picture(body, readers_of(policy.formats)).image
    except Exception:  # whatever a reader raises on hostile bytes: the tile says that nothing is shown
        return None
    is_tiny = max(image.size) <= TINY_PIXELS
    image.thumbnail((THUMBNAIL_PIXELS, THUMBNAIL_PIXELS), Image.Resampling.BOX)
    buffer = io.BytesIO()
    image.save(buffer, "PNG" if is_tiny else "JPEG")
    kind = "png" if is_tiny else "jpeg"
    return Thumbnail(f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}", is_tiny)


@cache
def _environment() -> Environment:
    environment = escaping_environment(TEMPLATES)
    environment.filters["count"] = "{:,}".format
    return environment
