"""Puts corrected images from quarantine back, as a part of a later delivery. Intake looks at them as at any others.

They lie under `released/` in the day's folder, with a manifest of their own: the data owner's is never touched.
"""

from __future__ import annotations

import csv
import io
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from include.retraining.artifacts import SPLITS
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ConfigurationError, PointerMovedError
from include.retraining.intake.attributes import attributes_of
from include.retraining.intake.corrections import Correction, Corrections, by_name
from include.retraining.intake.delivery.companions import READY, RELEASED, RELEASED_MANIFEST
from include.retraining.intake.delivery.manifest_rows import COLUMNS, ManifestFile, ManifestRow
from include.retraining.intake.delivery.manifests import parse_manifest
from include.retraining.intake.names import safe_name, shown_name
from include.retraining.intake.quarantine import IMAGES, QuarantinedImage, json_lines, read_quarantine
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import copy_many
from include.retraining.storage.records import from_json

logger = logging.getLogger(__name__)

RECORD = "released.jsonl"


@dataclass(frozen=True)
class ReleasedImage:
    """A line of `released.jsonl`: a quarantined image and what it was corrected to.

    Attributes:
        image: Name in the delivery that was refused.
        key: The delivered object; empty where the name led out of the batch.
        released_key: The object that was put into the later delivery.
        label: As corrected.
        group: As corrected, or as it was delivered.
        split: As corrected, or as it was delivered.
        is_replaced: Whether its bytes come from a corrected file, and not from the copy in quarantine.
        attributes: As they were delivered, see `attributes.py`.
    """

    image: str
    key: str
    released_key: str
    label: str
    group: str
    split: str
    is_replaced: bool
    attributes: str = ""


@dataclass(frozen=True)
class Release:
    """What is going to be released; nothing has happened yet.

    Attributes:
        classifier: Name of the classifier.
        day: Day of the quarantine.
        to: Day of the delivery that they become a part of.
        images: In the order of the corrections.
        copies: Copy in quarantine and released key, of the images that keep their bytes.
        files: Local file and released key, of the others.
        is_marked_ready: Whether the delivery of `to` is marked as complete already.
    """

    classifier: str
    day: date
    to: date
    images: tuple[ReleasedImage, ...]
    copies: tuple[tuple[str, str], ...]
    files: tuple[tuple[Path, str], ...]
    is_marked_ready: bool


def plan_release(
    store: ObjectStore, config: ClassifierConfig, corrections: Corrections, *, day: date, to: date
) -> Release:
    """Finds the images that corrections name, and everything that is wrong with these.

    Raises:
        ConfigurationError: If `to` is not later than `day`, the day has no quarantine, or any correction cannot be
            followed: the message names them all.
    """
    if to <= day:
        raise ConfigurationError(
            "--to",
            f"expected a day after {day}, got {to}",
            f"Beside the refused images of {day} the corrected ones would be refused again; or correct that delivery",
        )
    images = by_name(read_quarantine(store, config.name, day))
    copies = {found.key for found in store.list(f"{layout.quarantine(config.name, day)}{IMAGES}")}
    checked = _Checker(config, corrections, images, copies)
    problems = [*checked.repetitions(), *(it for line in corrections.lines for it in checked.problems(line))]
    if problems:
        raise ConfigurationError(str(corrections.path), "; ".join(problems), "Correct the lines; nothing was released")
    target = f"{layout.incoming(config.name, to)}{RELEASED}{day.isoformat()}/"
    planned = [(line, _released(images[line.image], line, target)) for line in corrections.lines]
    return Release(
        classifier=config.name,
        day=day,
        to=to,
        images=tuple(image for _, image in planned),
        copies=tuple((images[line.image].copy, it.released_key) for line, it in planned if not line.file),
        files=tuple((checked.path_of(line), it.released_key) for line, it in planned if line.file),
        is_marked_ready=store.exists(f"{layout.incoming(config.name, to)}{READY}"),
    )


def publish_release(store: ObjectStore, release: Release) -> None:
    """Puts the images of a release into the later delivery; a repeat writes the same again.

    Side effects:
        The images first, then the manifest that names them, both together with what was released before; last, what
        was done is added to `released.jsonl` in the quarantine.

    Raises:
        PointerMovedError: If another release for the same day was written meanwhile; a repeat does the rest.
    """
    copy_many(store, release.copies)
    for path, key in release.files:
        store.put(key, path.read_bytes())
    incoming = layout.incoming(release.classifier, release.to)
    rows = [_row(image, f"{incoming}{RELEASED}") for image in release.images]
    _rewrite(
        store, f"{incoming}{RELEASED_MANIFEST}", lambda body: _merged_manifest(body, rows, uri_of(store, incoming))
    )
    record = f"{layout.quarantine(release.classifier, release.day)}{RECORD}"
    _rewrite(store, record, lambda body: _merged_record(body, release.images, uri_of(store, record)))
    logger.info(
        "released classifier=%s day=%s to=%s images=%d",
        release.classifier,
        release.day,
        release.to,
        len(release.images),
    )


@dataclass(frozen=True)
class _Checker:
    """Says what is wrong with corrections.

    Attributes:
        config: The recipe.
        corrections: What is to be checked.
        images: The quarantined images by all their names.
        copies: Keys of the copies that are there.
    """

    config: ClassifierConfig
    corrections: Corrections
    images: dict[str, QuarantinedImage]
    copies: set[str]

    def path_of(self, line: Correction) -> Path:
        """Returns the local file that a line names; it is seen from the folder of the corrections."""
        return self.corrections.path.parent / line.file

    def repetitions(self) -> Iterator[str]:
        """Yields a sentence an image that several lines name, be it by its name and its key."""
        named = Counter(self.images[it.image].identity for it in self.corrections.lines if it.image in self.images)
        for identity, number in named.items():
            if number > 1:
                yield f"{number} lines name {_shown(identity)}: leave one"

    def problems(self, line: Correction) -> Iterator[str]:
        """Yields a sentence a reason why a line cannot be followed."""
        where = f"line {line.line}"
        image = self.images.get(line.image)
        if image is None:
            yield f"{where}: {_shown(line.image)} is neither the name nor the key of one quarantined image"
        elif not line.file and image.copy not in self.copies:
            yield f"{where}: there is no copy of {_shown(line.image)} in quarantine: name a file with its bytes"
        if line.label not in self.config.labels:
            yield f"{where}: the label {_shown(line.label)} is none of {', '.join(self.config.labels)}"
        if line.split not in ("", *SPLITS):
            yield f"{where}: the split {_shown(line.split)} is none of {', '.join(SPLITS)}, nor empty"
        if line.file:
            yield from (f"{where}: {problem}" for problem in self._problems_of_file(line))

    def _problems_of_file(self, line: Correction) -> Iterator[str]:
        path, maximum = self.path_of(line), self.config.intake.images.maximum_bytes
        if not path.is_file():
            yield f"there is no file {path}"
        elif path.stat().st_size > maximum:
            yield f"{path} has more than the {maximum} bytes that intake.images.maximum_bytes allows"


def _released(image: QuarantinedImage, line: Correction, target: str) -> ReleasedImage:
    split = line.split or (image.split if image.split in SPLITS else "")
    return ReleasedImage(
        image=image.image,
        key=image.key,
        released_key=f"{target}{safe_name(image.identity)}",
        label=line.label,
        group=line.group or image.group,
        split=split,
        is_replaced=bool(line.file),
        attributes=image.attributes,
    )


def _row(image: ReleasedImage, base: str) -> ManifestRow:
    return ManifestRow(image.released_key.removeprefix(base), image.label, image.group, image.split, image.attributes)


def _merged_manifest(body: bytes | None, rows: Sequence[ManifestRow], batch: str) -> bytes:
    before = () if body is None else parse_manifest(ManifestFile(batch, RELEASED_MANIFEST, body)).rows
    merged = {row.image: row for row in (*before, *rows)}
    lines = {name: attributes_of(row.attributes) for name, row in merged.items()}
    named = sorted({column for attributes in lines.values() for column in attributes})
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # its line ends are those of the standard: with others a lone CR would stand unquoted
    writer.writerow((*COLUMNS, *named))
    for name, row in sorted(merged.items()):
        writer.writerow((*row[: len(COLUMNS)], *(lines[name].get(column, "") for column in named)))
    return text.getvalue().encode()


def _merged_record(body: bytes | None, images: Sequence[ReleasedImage], uri: str) -> bytes:
    before = [from_json(ReleasedImage, line, uri) for line in (body or b"").splitlines()]
    merged = {image.released_key: image for image in (*before, *images)}
    return json_lines([merged[key] for key in sorted(merged)])


def _rewrite(store: ObjectStore, key: str, merge: Callable[[bytes | None], bytes]) -> None:
    """Replaces an object by what is made of it, unless another writer was faster; two releases lose no line."""
    try:
        body, etag = store.get_tagged(key)
    except KeyError:
        body, etag = None, None
    merged = merge(body)
    if merged != body and not store.replace(key, merged, etag=etag):
        raise PointerMovedError(uri_of(store, key))


def _shown(text: str) -> str:
    return f"'{shown_name(text)}'"
