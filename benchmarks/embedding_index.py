"""`python -m benchmarks.embedding_index`: times the index of many stored vectors, and weighs it.

Prints its figures; the file of results belongs to the benchmark of the whole embedding stage.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import peak_mb, reset_peak
from benchmarks.results import REPOSITORY
from embedded import seaweed
from embedded.ports import find_free_ports
from embedded.settings import StackSettings
from embedded.stack import EmbeddedStack
from include.retraining.command_line.environment import store_from
from include.retraining.embedding.store.index import merge_index, open_index
from include.retraining.embedding.store.parts import list_parts
from include.retraining.embedding.store.vectors import write_part
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.parallel import THREADS

IDS = 1_000_000
ASKED = 1_000_000
PART_IMAGES = 512  # as extraction cuts them
FINGERPRINT = "benchmark"
VECTOR = np.ones(1, np.float32)  # no vector is read


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and prints the figures as JSON; returns the exit status."""
    asked = _parser().parse_args(arguments)
    if asked.measure:
        store = store_from(os.environ)
        print(json.dumps(MEASUREMENTS[asked.measure](store, asked.ids)))
        return 0
    print(json.dumps(measure_index(asked.ids), indent=2))
    return 0


def measure_index(n_ids: int) -> dict[str, Any]:
    """Stores vectors of one number for many ids in a SeaweedFS on this machine, and measures their index.

    Merging, and opening with answering, run in a fresh process each.

    Returns:
        `ids` and `parts` stored; `bytes` of the merged index; `seconds_to_merge` from loose parts alone;
        `seconds_to_open` with nothing but the merged index, of which about `seconds_to_list` go into the listing of
        three objects a part; `seconds_to_answer` for a million ids, every second of
        which is stored; `peak_mb` of opening and answering, and `merge_peak_mb`: the largest resident memory above
        that before, in units of 2**20 bytes.
    """
    with tempfile.TemporaryDirectory(prefix="retraining-index-") as folder:
        stack = EmbeddedStack(StackSettings(Path(folder), find_free_ports()))
        try:
            stack.up([seaweed.NAME])
            environment = {**os.environ, **stack.s3_environment(), "PYTHONPATH": str(REPOSITORY)}
            store = store_from(environment)
            n_parts = _fill(store, n_ids)
            merged = _measure("merge", n_ids, environment)
            size = sum(found.size_bytes for found in store.list(layout.embedding_index(FINGERPRINT)))
            opened = _measure("open", n_ids, environment)
        finally:
            stack.down()
    return {"ids": n_ids, "parts": n_parts, "bytes": size, **opened, **merged}


def _fill(store: ObjectStore, n_ids: int) -> int:
    """Stores a vector for each id; returns the number of parts."""

    def write(start: int) -> None:
        ids = [_id(number) for number in range(start, min(start + PART_IMAGES, n_ids))]
        write_part(store, FINGERPRINT, ids, np.tile(VECTOR, (len(ids), 1)))

    starts = range(0, n_ids, PART_IMAGES)
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(write, starts):
            pass
    return len(starts)


def _merge(store: ObjectStore, _n_ids: int) -> dict[str, float]:
    before_mb, started = reset_peak(), time.perf_counter()
    merge_index(store, FINGERPRINT)
    return {"seconds_to_merge": time.perf_counter() - started, "merge_peak_mb": peak_mb() - before_mb}


def _open(store: ObjectStore, n_ids: int) -> dict[str, float]:
    first = n_ids - ASKED // 2  # the second half of the question is not stored
    ids = [_id(number) for number in range(first, first + ASKED)]
    before_mb, begun = reset_peak(), time.perf_counter()
    list_parts(store, FINGERPRINT)
    started = time.perf_counter()
    index = open_index(store, FINGERPRINT)
    opened = time.perf_counter()
    n_missing = int(index.missing(ids).sum())
    answered = time.perf_counter()
    if n_missing != ASKED // 2 or index.loose.parts:
        raise RuntimeError(f"Expected {ASKED // 2} missing ids and a merged index; got {n_missing}.")
    return {
        "seconds_to_list": started - begun,
        "seconds_to_open": opened - started,
        "seconds_to_answer": answered - opened,
        "peak_mb": peak_mb() - before_mb,
    }


MEASUREMENTS: dict[str, Callable[[ObjectStore, int], dict[str, float]]] = {"merge": _merge, "open": _open}


def _measure(name: str, n_ids: int, environment: dict[str, str]) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.embedding_index", "--measure", name, "--ids", str(n_ids)]
    ran = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, cwd=REPOSITORY)
    figures: dict[str, float] = json.loads(ran.stdout.splitlines()[-1])
    return figures


def _id(number: int) -> str:
    return hashlib.sha256(number.to_bytes(8, "big", signed=True)).hexdigest()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.embedding_index", description=__doc__)
    parser.add_argument("--ids", type=int, default=IDS, help="stored vectors; at least half a million")
    parser.add_argument("--measure", choices=tuple(MEASUREMENTS), help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
