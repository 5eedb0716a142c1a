"""`python -m demo`: from nothing to a promoted model on the embedded stack, telling what it does."""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from rich.console import Console

from demo.airflow_client import AirflowClient
from demo.delivery import DailyBatch, make_batches
from demo.demonstration import CLASSIFIER, Outcome, Stopwatch, deliver_all, retrain, sum_up
from demo.fashion_mnist import cache_directory, is_cached, load
from demo.figures import Figures, write_last
from demo.summary import Access, macro_recalls_by_strategy
from embedded.errors import EmbeddedError
from embedded.settings import load_settings
from embedded.stack import STORAGE, EmbeddedStack
from include.retraining.command_line.environment import store_from
from include.retraining.config import load_classifier
from include.retraining.errors import RetrainingError
from include.retraining.storage.base import ObjectStore

INTERRUPTED = 130
LOOPBACK = "127.0.0.1,localhost"


class _CancelledError(Exception):
    """Ends the delivery, after the start of the stack has failed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the demonstration and returns its exit status: 0 only if the champion is there and whole."""
    asked = _parser().parse_args(arguments)
    console = Console(width=None if sys.stdout.isatty() else 120)
    # A proxy of the machine knows nothing of what listens on its loopback interface.
    os.environ["NO_PROXY"] = ",".join(filter(None, (os.environ.get("NO_PROXY"), LOOPBACK)))
    try:
        return _demonstrate(console, started=asked.started)
    except (RetrainingError, EmbeddedError) as error:
        console.print("\nThe demonstration failed.", style="bold red")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("\nInterrupted. What runs goes on: `make status` shows it, `make down` stops all of it.")
        return INTERRUPTED


def _demonstrate(console: Console, *, started: float) -> int:
    watch = Stopwatch()
    stack = EmbeddedStack(load_settings(), say=partial(console.print, markup=False, highlight=False))
    batches = _get_batches(console, watch)
    store = _bring_up(console, watch, stack, batches)
    access = Access(stack.ui_url, f"user {stack.login.user}, password {stack.login.password}")
    console.print(f"Airflow: {access.ui_url}   {access.login}", markup=False, highlight=False)
    client = AirflowClient(stack.ui_url, stack.login.user, stack.login.password)
    client.log_in()
    with watch.taking("retraining"):
        followed, dag_seconds = retrain(client, console)
    outcome = sum_up(
        store,
        console,
        followed,
        batches=batches,
        stage_seconds={**watch.seconds, **dag_seconds},
        access=access,
    )
    figures = _figures(outcome, total_seconds=time.time() - started)
    write_last(figures, stack.settings.state_dir / "demo-last.json")
    return _judge(console, outcome, figures)


def _get_batches(console: Console, watch: Stopwatch) -> Sequence[DailyBatch]:
    cache = cache_directory()
    where = "from the cache" if is_cached(cache) else f"into {cache}, with apt or else Keras"
    console.print(f"Fashion-MNIST: {where}", markup=False, highlight=False)
    with watch.taking("data"):
        return make_batches(load(cache), load_classifier(CLASSIFIER).labels)


def _bring_up(console: Console, watch: Stopwatch, stack: EmbeddedStack, batches: Sequence[DailyBatch]) -> ObjectStore:
    """Starts the store, then Airflow while the images are delivered; returns the store."""
    with watch.taking("store_start"):
        stack.up(STORAGE)
    store = store_from(stack.s3_environment())
    cancelled = threading.Event()

    def check() -> None:
        if cancelled.is_set():
            raise _CancelledError

    def delivery() -> int:
        with watch.taking("delivery"):
            return deliver_all(store, batches, console, check=check)

    with ThreadPoolExecutor(1) as pool:
        delivering = pool.submit(delivery)
        try:
            with watch.taking("airflow_start"):
                stack.up()
            delivering.result()
            return store
        except BaseException:
            cancelled.set()
            raise


def _figures(outcome: Outcome, *, total_seconds: float) -> Figures:
    return Figures(
        total_seconds=total_seconds,
        stage_seconds=outcome.stage_seconds,
        embedded_images=sum(run.embedding.n_missing for run in outcome.runs if run.embedding is not None),
        macro_recall=macro_recalls_by_strategy(outcome.runs[-1]) if outcome.runs else {},
    )


def _judge(console: Console, outcome: Outcome, figures: Figures) -> int:
    if outcome.problems:
        console.print(f"\nFailed after {figures.total_seconds:.0f} s.", style="bold red")
        for problem in outcome.problems:
            console.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
        return 1
    console.print(
        f"\nDone in {figures.total_seconds:.0f} s, {figures.embedded_images:,} images embedded: "
        "the champion is there, and every file of it matches its sha256.",
        style="bold green",
        highlight=False,
    )
    console.print("The stack stays up: open the UI, or `make down`.")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    parser.add_argument(
        "--started",
        type=float,
        default=time.time(),
        metavar="SECONDS",
        help="when the command began, in seconds since 1970",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
