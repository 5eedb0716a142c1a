"""`python -m benchmarks.relations`: times the relations of a large day to a ledger of many images."""

from __future__ import annotations

import hashlib
import resource
import time
from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import pandas as pd

from benchmarks.results import Benchmark, write_result
from include.retraining.config import ClassifierConfig
from include.retraining.intake.relations.ledger import Ledger, read_ledger
from include.retraining.intake.relations.relations import CANDIDATE_COLUMNS, relate
from include.retraining.storage.memory import InMemoryStore

KNOWN = 1_000_000
NEW = 100_000
NEAR = 1_000
AT_ONCE = 10_000
FIRST_DAY = date(2026, 1, 1)
SEED = 0
CONFIG = ClassifierConfig.model_validate(
    {
        "name": "benchmark",
        "labels": ["rare", "common"],
        "schedule": {"start_date": FIRST_DAY.isoformat()},
        "training": {"heads": {"linear": {"weight_decay": 1.0}}},
        "gates": [{"gate": "floor", "metric": "macro_recall", "minimum": 0.5}],
    }
)
BENCHMARK = Benchmark(
    name="relations",
    title="Relating a day to everything before it",
    command="python -m benchmarks.relations",
    method=(
        f"A ledger holds {KNOWN:,} images with random perceptual hashes; a day brings {NEW:,} others, {NEAR:,} of them "
        f"{CONFIG.dataset.near_duplicate_bits} bits or less from a known one. `relate` finds duplicates and "
        "near-duplicates and assigns the splits. Memory is that of the process, by its largest resident set; "
        "`ledger_bytes_per_image` is what the ledger's table holds."
    ),
    packages=("numpy", "pandas", "pyarrow", "scipy"),
)


def main() -> int:
    """Measures and writes the result; returns the exit status."""
    rng = np.random.default_rng(SEED)
    hashes = rng.integers(0, 2**64, (KNOWN + NEW, 4), dtype=np.uint64)
    hashes[KNOWN : KNOWN + NEAR] = hashes[:NEAR]
    hashes[KNOWN : KNOWN + NEAR, 0] ^= np.uint64(0b10101)
    ledger = _ledger(hashes[:KNOWN])
    before_mb = _peak_mb()
    day = FIRST_DAY + timedelta(days=1)
    new = pd.concat(list(_rows(hashes[KNOWN:], KNOWN)), ignore_index=True)[CANDIDATE_COLUMNS]
    started = time.perf_counter()
    relations, _ = relate(new, day, ledger, CONFIG)
    seconds = time.perf_counter() - started
    figures = {
        "known_images": KNOWN,
        "new_images": NEW,
        "relate_seconds": seconds,
        "accepted": int((relations["finding"] == "").sum()),
        "ledger_bytes_per_image": ledger.rows.nbytes / KNOWN,
        "peak_mb_before": before_mb,
        "peak_mb": _peak_mb(),
    }
    print(f"wrote {write_result(BENCHMARK, figures)}")
    return 0


def _ledger(hashes: np.ndarray) -> Ledger:
    empty = read_ledger(InMemoryStore(), CONFIG.name)
    return empty.followed_by(FIRST_DAY, _rows(hashes, 0))


def _rows(hashes: np.ndarray, first: int) -> Iterator[pd.DataFrame]:
    """Yields accepted rows, portion by portion; what no relation looks at is left out."""
    for start in range(0, len(hashes), AT_ONCE):
        portion = hashes[start : start + AT_ONCE]
        numbers = range(first + start, first + start + len(portion))
        keys = [f"incoming/benchmark/images/{number:08d}.png" for number in numbers]
        yield pd.DataFrame(
            {
                "key": keys,
                "image": keys,
                "label": "common",
                "group": "",
                "split": "",
                "assigned_split": "train",
                "pixel_sha256": [hashlib.sha256(key.encode()).hexdigest() for key in keys],
                "perceptual_hash": [row.tobytes().hex() for row in portion],
            }
        )


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    raise SystemExit(main())
