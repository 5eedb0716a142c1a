"""The file that a benchmark leaves: figures, the command that gives them, and under what they were measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent
RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark is.

    Attributes:
        name: Of its file, without `.json`.
        title: Heading in the document.
        command: What to type to measure again.
        method: What is measured, and how, in a few sentences.
        packages: Libraries whose versions matter.
    """

    name: str
    title: str
    command: str
    method: str
    packages: Sequence[str]


def write_result(benchmark: Benchmark, figures: Mapping[str, Any]) -> Path:
    """Writes a benchmark's figures with the circumstances; returns the file."""
    document = {
        "title": benchmark.title,
        "command": benchmark.command,
        "method": benchmark.method,
        **_rounded(dict(figures)),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in benchmark.packages}},
        "cores": os.cpu_count(),
        "commit": _commit(),
    }
    path = RESULTS / f"{benchmark.name}.json"
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return path


def _commit() -> str:
    described = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    return described.stdout.strip()


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
