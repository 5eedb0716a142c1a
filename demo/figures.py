"""The figures of a demonstration, left in `.embedded/demo-last.json` for `benchmarks/demo.py` and whoever asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figures:
    """What one demonstration measured.

    Attributes:
        total_seconds: From the first line of the command to the verdict.
        stage_seconds: Seconds by stage; delivery and start of the stack overlap.
        embedded_images: Vectors computed.
        macro_recall: Macro recall on test by strategy, in [0, 1].
    """

    total_seconds: float
    stage_seconds: Mapping[str, float]
    embedded_images: int
    macro_recall: Mapping[str, float | None]


def write_last(figures: Figures, path: Path) -> None:
    """Writes the figures of the latest demonstration, for whoever asks later."""
    path.write_text(json.dumps(_rounded(asdict(figures)), indent=2) + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return {name: _rounded(each) for name, each in value.items()} if isinstance(value, dict) else value
