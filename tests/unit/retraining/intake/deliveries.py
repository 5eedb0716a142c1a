"""Deliveries for tests: small pictures, and what a data owner would put beside them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd
from PIL import Image

from include.retraining.intake.outcomes import ValidationOutcome, Verdicts
from include.retraining.schemas import FACTS, VERDICTS
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from tests.builders import CLASSIFIER

DAY = date(2026, 1, 2)  # the day of tests.builders.WINDOW


def picture(number: int, side: int = 12) -> Image.Image:
    """A grey picture of noise, another for each number."""
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (side, side), dtype=np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """A picture as a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(number: int, side: int = 12) -> bytes:
    """The file of a numbered picture."""
    return encoded(picture(number, side))


def deliver(
    store: ObjectStore, files: Mapping[str, bytes], lines: Sequence[str] | None = None, *, day: date = DAY
) -> None:
    """Puts files into a day's folder, with a manifest if there are lines for one."""
    prefix = layout.incoming(CLASSIFIER, day)
    for name, body in files.items():
        store.put(f"{prefix}{name}", body)
    if lines is not None:
        store.put(f"{prefix}labels.csv", "\n".join(["image,label,group,split", *lines]).encode())


def facts_of(*rows: Mapping[str, object]) -> pd.DataFrame:
    """Schema `FACTS`: daisies of 12 × 12 pixels, unless a row says otherwise; a row's position names its image."""
    return _frame(rows, FACTS.names)


def verdicts_of(*rows: Mapping[str, object], failures: tuple[str, ...] = (), document: bytes = b"{}") -> Verdicts:
    """Verdicts over accepted daisies, unless a row says otherwise; every day has the same outcome."""
    frame = _frame(rows, VERDICTS.names).sort_values(["date", "key"], ignore_index=True)
    outcome = ValidationOutcome(
        warnings=(),
        failures=failures,
        document=document,
        data_docs={"index.html": b"<html>index</html>", "static/a.css": b"body {}"},
    )
    return Verdicts(rows=frame, warnings=(), outcomes=dict.fromkeys(sorted(set(frame["date"])), outcome))


def _frame(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> pd.DataFrame:
    return pd.DataFrame([_row(number, row) for number, row in enumerate(rows)], columns=list(columns))


def _row(number: int, changes: Mapping[str, object]) -> dict[str, object]:
    image = str(changes.get("image", f"{number}.png"))
    day = changes.get("date", DAY)
    defaults = {
        "date": day,
        "image": image,
        "key": f"{layout.incoming(CLASSIFIER, day)}{image}",
        "size_bytes": 300,
        "label": "daisy",
        "group": "",
        "split": "",
        "bytes_sha256": f"bytes of {image}",
        "pixel_sha256": f"pixels of {image}",
        "format": "PNG",
        "mode": "L",
        "width": 12,
        "height": 12,
        "problem": "",
        "outcome": "accepted",
        "reason": "",
    }
    return {**defaults, **changes}
