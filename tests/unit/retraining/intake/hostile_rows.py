"""Rows that a careless or hostile data owner may deliver, each with what must become of it. All fit in one delivery."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from PIL import Image

from include.retraining.intake.outcomes import ACCEPTED, QUARANTINED, SKIPPED
from include.retraining.intake.reasons import Reason, joined
from tests.unit.retraining.intake.broken_files import (
    ORIENTATION,
    RUBBISH_EXIF,
    TURNED,
    animation,
    bomb,
    colours,
    honest_bomb,
    palette_with_transparency,
    see_through,
    sixteen_bit_colours,
    sixteen_bits,
    text_bomb,
    turned_by_exif,
    with_checksum_flipped,
    zip_file,
)
from tests.unit.retraining.intake.deliveries import encoded, picture, png

FORMATS = ("PNG", "JPEG", "GIF", "WEBP")
MAXIMUM_BYTES = 1_000_000
EXTRA_COLUMN = "note<script>\x1b[2J"


@dataclass(frozen=True)
class Case:
    """What is delivered, and what must become of it.

    Attributes:
        image: Name as the manifest writes it.
        body: The object; None where it is not delivered.
        outcomes: What becomes of all rows of this name or object, in alphabetical order.
        lines: What the manifest says after the name, in the order of its columns, for each line that names it.
        lies_at: Name of the object, where it is another than the manifest's.
    """

    image: str
    body: bytes | None
    outcomes: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...] = (("daisy",),)
    lies_at: str = ""

    @property
    def object_name(self) -> str:
        """Name of the object, relative to the day's folder."""
        return self.lies_at or self.image


def quarantined(*reasons: Reason) -> str:
    """Names an outcome as the tests do."""
    return f"{QUARANTINED}: {joined(reasons)}"


def skipped(reason: Reason) -> str:
    """Names an outcome as the tests do."""
    return f"{SKIPPED}: {joined([reason])}"


def manifest_of(cases: Iterable[Case]) -> bytes:
    """The CSV that names the cases, and has a column too many."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["image", "label", "group", "split", EXTRA_COLUMN])
    writer.writerows((case.image, *line) for case in cases for line in case.lines)
    return text.getvalue().encode()


def files_of(cases: Iterable[Case]) -> dict[str, bytes]:
    """The objects that are delivered, by name."""
    return {case.object_name: case.body for case in cases if case.body is not None}


def _contents() -> dict[str, tuple[bytes, str]]:
    """Objects of one daisy each, by what they are."""
    corrupt, sides = quarantined(Reason.TRUNCATED_OR_CORRUPT), quarantined(Reason.SIDES_OUT_OF_BOUNDS)
    no_image, animated = quarantined(Reason.NOT_AN_IMAGE), quarantined(Reason.ANIMATED)
    both = quarantined(Reason.SIDES_OUT_OF_BOUNDS, Reason.ASPECT_OUT_OF_BOUNDS)
    return {
        "zero bytes": (b"", quarantined(Reason.EMPTY_OBJECT)),
        "too many bytes": (png(10) + bytes(MAXIMUM_BYTES), quarantined(Reason.TOO_MANY_BYTES)),
        "HTML": (b"<!DOCTYPE html><html><body><script>alert(1)</script></body></html>", no_image),
        "SVG": (b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>', no_image),
        "ZIP": (zip_file(), no_image),
        "text": (b"image,label\na.png,daisy\n", no_image),
        "JPEG bytes": (encoded(colours(30), "JPEG"), ACCEPTED),
        "BMP bytes": (encoded(picture(11), "BMP"), quarantined(Reason.FORMAT_NOT_ALLOWED)),
        "bomb that holds its pixels": (honest_bomb(50_000), sides),
        "bomb by its header": (bomb(50_000, 50_000), sides),
        "bomb in a comment": (text_bomb(behind_pixels=False), corrupt),
        "1 x 1": (encoded(Image.new("L", (1, 1))), sides),
        "1 x 10000": (encoded(Image.new("L", (1, 10_000))), both),
        "8 x 800": (encoded(Image.new("L", (8, 800))), quarantined(Reason.ASPECT_OUT_OF_BOUNDS)),
        "wrong checksum": (with_checksum_flipped(), corrupt),
        "CMYK JPEG": (encoded(colours(31).convert("CMYK"), "JPEG"), ACCEPTED),
        "16-bit PNG": (encoded(sixteen_bits()), ACCEPTED),
        "16-bit PNG of colours": (sixteen_bit_colours(), ACCEPTED),
        "1-bit PNG": (encoded(picture(12).convert("1")), ACCEPTED),
        "palette with transparency": (palette_with_transparency(13), ACCEPTED),
        "alpha": (encoded(see_through("RGBA", 14)), ACCEPTED),
        "grey with alpha": (encoded(see_through("LA", 16)), ACCEPTED),
        "animated GIF": (animation("GIF"), animated),
        "animated PNG": (animation("PNG"), animated),
        "animated WebP": (animation("WEBP"), animated),
        "broken EXIF in PNG": (encoded(picture(18), exif=RUBBISH_EXIF), ACCEPTED),
        "broken EXIF in JPEG": (encoded(colours(32), "JPEG", exif=RUBBISH_EXIF), ACCEPTED),
        "ICC rubbish in PNG": (encoded(picture(19), icc_profile=b"no profile at all"), ACCEPTED),
        "ICC rubbish in JPEG": (encoded(colours(33), "JPEG", icc_profile=b"no profile at all"), ACCEPTED),
        "photograph that EXIF turns": (_turned_photograph(), ACCEPTED),
        **{kind: (encoded(colours(34 + n), kind), ACCEPTED) for n, kind in enumerate(FORMATS)},
        **{f"{kind} cut off at {keep}": (body, corrupt) for (kind, keep), body in _truncated().items()},
    }


def _truncated() -> Mapping[tuple[str, float], bytes]:
    whole = {kind: encoded(colours(), kind) for kind in FORMATS}
    ends = {20: lambda n: 20, 0.25: lambda n: n // 4, 0.5: lambda n: n // 2, 0.9: lambda n: n * 9 // 10}
    ends[-1] = lambda n: n - 1
    return {(kind, keep): body[: end(len(body))] for kind, body in whole.items() for keep, end in ends.items()}


def _turned_photograph() -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    return encoded(colours(40).crop((0, 0, 40, 20)), "JPEG", exif=exif.tobytes())


def _turned() -> dict[str, Case]:
    """One picture, upright and stored in all ways that EXIF can turn back; the first by name stays."""
    upright = colours(41).crop((0, 0, 40, 20))
    cases = {"an upright picture": Case("turned-0.png", encoded(upright), (ACCEPTED,))}
    for orientation in TURNED:
        body = turned_by_exif(upright, orientation)
        case = Case(f"turned-{orientation}.png", body, (skipped(Reason.DUPLICATE),))
        cases[f"the same picture that EXIF turns, {orientation}"] = case
    return cases


HOSTILE_NAMES = {
    "spaces": " a  picture .png",
    "unicode": "fleur-é-花-🌼.png",
    "a newline": "new\nline\r.png",
    "quotes": "qu\"o't`e.png",
    "a script": "<script>alert('x')</script>.png",
    "an image tag": "<img src=x onerror=alert(1)>.png",
    "an attribute": '" onload="alert(1)" x=".png',
    "templates": "{{7*7}}${label}%s%(x)s.png",
    "terminal commands": "clear\x1b[2J\x07\x00.png",
    "a mark of writing direction": "photo\u202egnp.exe",
    "a formula": '=HYPERLINK("x").png',
    "a very long name": "n" * 900 + ".png",
    "dots inside": "a..b...png",
}
"""Names that lie in the batch's folder."""


def _names() -> dict[str, Case]:
    """Each hostile name of a good image, of a bad one, and of one that is not listed."""
    cases = {}
    not_listed = (quarantined(Reason.NOT_LISTED, Reason.EMPTY_OBJECT),)
    for number, (what, name) in enumerate(HOSTILE_NAMES.items()):
        cases[f"{what} in the name of a good image"] = Case(name, png(100 + number), (ACCEPTED,))
        cases[f"{what} in the name of a bad image"] = Case(f"{name}-bad.png", b"", (quarantined(Reason.EMPTY_OBJECT),))
        cases[f"{what} in a name that is not listed"] = Case(f"{name}-not-listed.png", b"", not_listed, lines=())
    return cases


def _paths() -> dict[str, Case]:
    """Names that are no plain path in the batch's folder."""
    outside, missing = quarantined(Reason.OUTSIDE_BATCH), quarantined(Reason.MISSING_OBJECT)
    not_listed = quarantined(Reason.NOT_LISTED)
    return {
        "a way up": Case("../up.png", None, (outside,)),
        "a way up and a real object": Case("x/../../up.png", png(200), tuple(sorted((not_listed, outside)))),
        "a way up from a script": Case("../<script>alert(2)</script>.png", None, (outside,)),
        "an absolute path": Case("/etc/passwd", None, (outside,)),
        "a root": Case("/", None, (outside,)),
        "a dot": Case(".", None, (outside,)),
        "no name": Case("", None, (outside,)),
        "an address": Case("s3://elsewhere/incoming/a.png", None, (missing,)),
        "a path of Windows": Case("C:\\pictures\\a.png", None, (missing,)),
        "a dot before": Case("./dot.png", png(201), (ACCEPTED,), lies_at="dot.png"),
        "a folder": Case("daisy/deep/in.png", png(202), (ACCEPTED,)),
    }


def _keys() -> dict[str, Case]:
    conflict = quarantined(Reason.LABEL_CONFLICT)
    split = quarantined(Reason.SPLIT_CONFLICT)
    same = png(212)
    return {
        "a key listed twice": Case(
            "twice.png", png(210), (ACCEPTED, skipped(Reason.DUPLICATE)), lines=(("daisy",), ("daisy",))
        ),
        "a key listed under two labels": Case(
            "torn.png", png(211), (conflict, conflict), lines=(("daisy",), ("poppy",))
        ),
        "a key listed in two splits": Case(
            "split.png", png(213), (split, split), lines=(("daisy", "", "train"), ("daisy", "", "test"))
        ),
        "two objects of the same pixels, the first": Case("same-1.png", same, (ACCEPTED,)),
        "two objects of the same pixels, the second": Case("same-2.png", same, (skipped(Reason.DUPLICATE),)),
        "a key listed and absent": Case("absent.png", None, (quarantined(Reason.MISSING_OBJECT),)),
        "an object present and not listed": Case("unlisted.png", png(214), (quarantined(Reason.NOT_LISTED),), lines=()),
    }


def _labels() -> dict[str, Case]:
    unknown, no_label = quarantined(Reason.UNKNOWN_LABEL), quarantined(Reason.NO_LABEL)
    lines: dict[str, tuple[tuple[str, ...], str]] = {
        "capitals": (("DAISY",), unknown),
        "a capital": (("Daisy",), unknown),
        "a space before": ((" daisy",), unknown),
        "a space behind": (("daisy ",), unknown),
        "a newline behind": (("daisy\n",), unknown),
        "a newline inside": (("dai\nsy",), unknown),
        "terminal commands": (("daisy\x1b[2J\u202e",), unknown),
        "a very long word": (("d" * 5000,), unknown),
        "a script": (("<script>alert('label')</script>",), unknown),
        "a word that is no label": (("tulip",), unknown),
        "a space": ((" ",), unknown),
        "nothing": (("",), no_label),
        "no field": ((), no_label),
        "more fields than the header has": (("daisy", "", "", "", "", "and more"), no_label),
        "a split that is none": (("daisy", "", "<script>holdout"), quarantined(Reason.INVALID_SPLIT)),
        "a split with a space": (("daisy", "", "test "), quarantined(Reason.INVALID_SPLIT)),
        "a group of a script": (("daisy", "<script>group"), ACCEPTED),
    }
    return {
        f"a label line of {what}": Case(f"label-{number}.png", png(300 + number), (outcome,), lines=(line,))
        for number, (what, (line, outcome)) in enumerate(lines.items())
    }


CASES: Mapping[str, Case] = {
    **{what: Case(f"{what}.png", body, (outcome,)) for what, (body, outcome) in _contents().items()},
    **_turned(),
    **_names(),
    **_paths(),
    **_keys(),
    **_labels(),
}
