"""Deliveries for tests: small pictures, and what a data owner would put beside them."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import pandas as pd
from PIL import Image

from include.retraining.intake import exchange
from include.retraining.intake.outcomes import ValidationOutcome, Verdicts
from include.retraining.run import Run
from include.retraining.schemas import FACTS, VERDICTS
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.publishing import sha256
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


def verdict_rows(*rows: Mapping[str, object]) -> pd.DataFrame:
    """Schema `VERDICTS`: accepted daisies, unless a row says otherwise, by day and key."""
    return _frame(rows, VERDICTS.names).sort_values(["date", "key"], ignore_index=True)


def keep_verdicts_of(
    run: Run, *rows: Mapping[str, object], failures: tuple[str, ...] = (), warnings: tuple[str, ...] = ()
) -> Verdicts:
    """Verdicts as validation leaves them among a run's records; every day has the same outcome, in shards of two."""
    outcome = ValidationOutcome(
        warnings=warnings,
        failures=failures,
        document=b"{}",
        data_docs={"index.html": b"<html>index</html>", "contact_sheet.html": b"<html>sheet</html>"},
    )
    days = {}
    for day, frame in verdict_rows(*rows).groupby("date"):
        shards = [frame.iloc[start : start + 2] for start in range(0, len(frame), 2)]
        uris = [exchange.keep_verdicts(run, day, index, shard) for index, shard in enumerate(shards)]
        days[day] = exchange.keep_validation(run, day, outcome, uris, len(frame))
    return Verdicts(days)


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
        "attributes": "",
        "bytes_sha256": f"bytes of {image}",
        "pixel_sha256": f"pixels of {image}",
        "perceptual_hash": sha256(image.encode()),
        "format": "PNG",
        "mode": "L",
        "bit_depth": 8,
        "n_frames": 1,
        "width": 12,
        "height": 12,
        "exif_orientation": 0,
        "brightness": 0.5,
        "contrast": 0.25,
        "sharpness": 900.0,
        "near_constant": False,
        "problem": "",
        "outcome": "accepted",
        "reason": "",
        "related": "",
        "assigned_split": "train",
        "pinned": False,
    }
    row = {**defaults, **changes}
    if row["outcome"] != "accepted" and "assigned_split" not in changes:
        row["assigned_split"] = ""
    return row
