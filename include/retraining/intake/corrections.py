"""The file in which people say how quarantined images are right: written to be edited, and read back.

What is done with it is in `release.py`.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from include.retraining.errors import ConfigurationError
from include.retraining.intake.quarantine import QuarantinedImage

REQUIRED = ("image", "label")
COLUMNS = (*REQUIRED, "group", "split", "file")
CURE = "`python -m include.retraining quarantine CLASSIFIER DAY --csv` writes such a file; nothing was released"


@dataclass(frozen=True)
class Correction:
    """A line of the file, letter for letter; an empty string where it says nothing.

    Attributes:
        line: Number of the line that it ends in, for messages.
        image: Name in the manifest, or key of the object.
        label: The right label.
        group: Empty: as it was delivered.
        split: Empty: as it was delivered.
        file: A local file with the right bytes, seen from the folder of the corrections; empty: the copy in quarantine.
    """

    line: int
    image: str
    label: str
    group: str = ""
    split: str = ""
    file: str = ""


@dataclass(frozen=True)
class Corrections:
    """A file of corrections.

    Attributes:
        path: Where it is.
        lines: Its lines, the header and blank ones left out.
    """

    path: Path
    lines: tuple[Correction, ...]


def read_corrections(path: Path) -> Corrections:
    """Returns the lines of a file of corrections.

    Args:
        path: CSV in UTF-8, with or without a byte-order mark; columns `image` and `label`, and any of `COLUMNS`.

    Raises:
        ConfigurationError: If it cannot be read, or a line has more fields than the header.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise _refusal(path, f"it cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise _refusal(path, f"byte {error.start} is not UTF-8") from error
    lines = tuple(_corrections(text, path))
    if not lines:
        raise _refusal(path, "it names no image")
    return Corrections(path, lines)


def corrections_to_edit(images: Sequence[QuarantinedImage]) -> str:
    """Returns a file of corrections in which every image is as it was delivered: edit the lines, delete the others."""
    named = by_name(images)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for image in dict.fromkeys(named[it.identity] for it in images):
        name = image.image if named.get(image.image) is image else image.key
        writer.writerow((name, image.label, image.group, image.split, ""))
    return text.getvalue()


def by_name(images: Sequence[QuarantinedImage]) -> dict[str, QuarantinedImage]:
    """Returns images by all that names one of them: the key, and the manifest's name where no other image has it.

    Of several lines about one object, the first counts.
    """
    found = {image.identity: image for image in reversed(images)}
    identities: dict[str, set[str]] = {}
    for image in images:
        identities.setdefault(image.image, set()).add(image.identity)
    unique = {name: found[next(iter(several))] for name, several in identities.items() if name and len(several) == 1}
    return {**unique, **found}


def _corrections(text: str, path: Path) -> Iterator[Correction]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        columns = _columns(next(reader, []), path)
        for fields in reader:
            if len(fields) > len(columns):
                problem = f"line {reader.line_num} has {len(fields)} fields, and the header {len(columns)}"
                raise _refusal(path, problem)
            if any(fields):
                yield Correction(line=reader.line_num, **{"label": "", **dict(zip(columns, fields, strict=False))})
    except csv.Error as error:
        raise _refusal(path, f"line {reader.line_num} is not valid CSV ({error})") from error


def _columns(header: Sequence[str], path: Path) -> tuple[str, ...]:
    columns = tuple(name.strip() for name in header)
    is_known = set(REQUIRED) <= set(columns) <= set(COLUMNS) and len(set(columns)) == len(columns)
    if not is_known:
        found = ",".join(columns)[:200]
        raise _refusal(
            path, f"the first line is {found!r}; expected image,label and any of group,split,file, separated by commas"
        )
    return columns


def _refusal(path: Path, problem: str) -> ConfigurationError:
    return ConfigurationError(str(path), problem, CURE)
