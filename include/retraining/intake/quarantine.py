"""Copies of the refused images of a day, each with its reasons. Putting corrected ones back is in `release.py`."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd

from include.retraining.errors import ConfigurationError
from include.retraining.intake.exchange import recall_verdicts
from include.retraining.intake.names import safe_name
from include.retraining.intake.outcomes import QUARANTINED, Verdicts
from include.retraining.intake.reasons import parted
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import copy_many
from include.retraining.storage.records import from_json

logger = logging.getLogger(__name__)

REASONS = "reasons.jsonl"
IMAGES = "images/"
JSON_LINES = "application/jsonl"


@dataclass(frozen=True)
class ExplainedReason:
    """A reason with what it means to whoever delivered the image."""

    code: str
    meaning: str


@dataclass(frozen=True)
class QuarantinedImage:
    """A line of `reasons.jsonl`: what is known of a refused image.

    Attributes:
        image: Name as the manifest writes it; empty where no manifest names the object.
        key: The delivered object; empty where the name leads out of the batch.
        label: As delivered.
        group: As delivered.
        split: As delivered.
        size_bytes: -1 where there is no such object.
        bytes_sha256: Empty where nothing could be read.
        pixel_sha256: Empty where it was not decoded.
        perceptual_hash: Empty where it was not decoded.
        format: As Pillow names it, or empty.
        mode: As Pillow names it, or empty.
        bit_depth: 0 where unknown.
        n_frames: 0 where unknown.
        width: Pixels; 0 where unknown.
        height: Pixels; 0 where unknown.
        brightness: None where it was not decoded.
        contrast: None where it was not decoded.
        sharpness: None where it was not decoded.
        related: Key of the image that it duplicates or contradicts, or empty.
        copy: Key of its copy in quarantine; empty where there is no object, or one too large to be copied.
        reasons: Why it was refused, the most specific first.
        attributes: As a table holds them, see `attributes.py`.
    """

    image: str
    key: str
    label: str
    group: str
    split: str
    size_bytes: int
    bytes_sha256: str
    pixel_sha256: str
    perceptual_hash: str
    format: str
    mode: str
    bit_depth: int
    n_frames: int
    width: int
    height: int
    brightness: float | None
    contrast: float | None
    sharpness: float | None
    related: str
    copy: str
    reasons: tuple[ExplainedReason, ...]
    attributes: str = ""

    @property
    def identity(self) -> str:
        """What tells the image from the others of its day, whichever lines of a manifest name it."""
        return self.key or self.image


FROM_THE_VERDICT = [it.name for it in dataclasses.fields(QuarantinedImage) if it.name not in ("copy", "reasons")]


def quarantine_images(run: Run, verdicts: Verdicts) -> None:
    """Copies the refused images of each day to its quarantine, and writes down why.

    Side effects:
        The copies are written first, then `reasons.jsonl`: a line an image, in key order. Last, the copies are removed
        that an earlier delivery of the day left and that no line names: a line always has its copy. The delivered
        objects stay where they are. A repeat writes the same again.
    """
    for day, judged in verdicts.days.items():
        prefix = layout.quarantine(run.classifier, day)
        refused = _copy_refused(run, day, judged.shard_uris)
        if refused or run.store.exists(f"{prefix}{REASONS}"):
            run.store.put(f"{prefix}{REASONS}", json_lines(refused), content_type=JSON_LINES)
        _remove_copies(run.store, prefix, kept={image.copy for image in refused})
        logger.info("quarantined classifier=%s day=%s images=%d", run.classifier, day, len(refused))


def read_quarantine(store: ObjectStore, classifier: str, day: date) -> list[QuarantinedImage]:
    """Returns the images in a day's quarantine, in key order.

    Raises:
        ConfigurationError: If no intake has put any image of that day into quarantine.
    """
    key = f"{layout.quarantine(classifier, day)}{REASONS}"
    try:
        body = store.get(key)
    except KeyError as error:
        raise ConfigurationError(
            uri_of(store, key),
            "there is no such object: no image of that day was ever quarantined",
            "Name a day whose intake quarantined images; its report and the command `intake` give the numbers",
        ) from error
    return [from_json(QuarantinedImage, line, uri_of(store, key)) for line in body.splitlines()]


def json_lines(values: Sequence[Any]) -> bytes:
    """Returns dataclasses as JSON, a line each, in ASCII: any reader's idea of a line end finds the same lines."""
    return "".join(f"{json.dumps(dataclasses.asdict(it))}\n" for it in values).encode()


def _copy_refused(run: Run, day: date, shard_uris: Sequence[str]) -> list[QuarantinedImage]:
    prefix = layout.quarantine(run.classifier, day)
    refused: list[QuarantinedImage] = []
    there: set[str] | None = None
    for uri in shard_uris:
        rows = recall_verdicts(run, uri)
        rows = rows[rows["outcome"] == QUARANTINED]
        if rows.empty:
            continue
        if there is None:  # an object may be gone since it was listed
            there = {found.key for found in run.store.list(layout.incoming(run.classifier, day))}
        images = [_explained(row, prefix, there, run.config.intake.images.maximum_bytes) for row in _dicts(rows)]
        copy_many(run.store, sorted({(image.key, image.copy) for image in images if image.copy}))
        refused += images
    return sorted(refused, key=lambda image: (image.key, image.image))


def _remove_copies(store: ObjectStore, prefix: str, *, kept: set[str]) -> None:
    for found in list(store.list(f"{prefix}{IMAGES}")):
        if found.key not in kept:
            store.delete(found.key)


def _explained(row: Mapping[str, Any], prefix: str, there: set[str], maximum_bytes: int) -> QuarantinedImage:
    is_copied = row["key"] in there and row["size_bytes"] <= maximum_bytes
    return QuarantinedImage(
        **{column: _plain(row[column]) for column in FROM_THE_VERDICT},
        copy=f"{prefix}{IMAGES}{safe_name(row['key'])}" if is_copied else "",
        reasons=tuple(ExplainedReason(reason.value, reason.meaning) for reason in parted(row["reason"])),
    )


def _plain(value: Any) -> Any:
    """Returns a cell as JSON can hold it; a measure that was not taken is None, and digits that are noise are gone."""
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value


def _dicts(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in rows.to_dict("records"):
        yield {str(column): value for column, value in row.items()}
