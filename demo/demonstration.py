"""What the demonstration does once a store and an Airflow are there, wherever those run: deliver, retrain, sum up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from demo.airflow_client import AirflowClient
from demo.delivery import DAYS, DailyBatch, deliver
from demo.follow import Followed, Follower, seconds_by_stage
from demo.summary import Access, RunResults, print_summary, read_results
from include.orchestration.runs import DAG_PREFIX
from include.retraining import registry
from include.retraining.storage.base import ObjectStore

CLASSIFIER = "fashion_mnist"
DAG_ATTEMPTS = 180  # a second each; the first parse waits for the Dag processor to start


@dataclass
class Stopwatch:
    """Takes the seconds of named parts.

    Attributes:
        seconds: What was taken, in the order in which the parts began.
    """

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def taking(self, name: str) -> Iterator[None]:
        """Takes the time of a block, also of one that fails."""
        began = time.monotonic()
        self.seconds[name] = 0.0
        try:
            yield
        finally:
            self.seconds[name] = time.monotonic() - began


@dataclass(frozen=True)
class Outcome:
    """What the demonstration came to.

    Attributes:
        runs: The records of the runs, oldest first.
        stage_seconds: Seconds by stage, all runs together.
        problems: Why it is no success; empty if it is one.
    """

    runs: tuple[RunResults, ...]
    stage_seconds: Mapping[str, float]
    problems: tuple[str, ...]


def deliver_all(
    store: ObjectStore,
    batches: Sequence[DailyBatch],
    console: Console,
    *,
    check: Callable[[], None] = lambda: None,
) -> int:
    """Delivers the batches with a progress bar, on a terminal, and a line a day.

    Args:
        store: Where to.
        batches: What.
        console: Where to show it.
        check: Called between portions; what it raises ends the delivery.

    Returns:
        How many objects were written.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    written = 0
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        for batch in batches:
            bar = progress.add_task(f"delivering {batch.day}", total=len(batch.images))

            def advance(count: int, bar: int = bar) -> None:
                check()
                progress.advance(bar, count)  # type: ignore[arg-type]

            began = time.monotonic()
            count = deliver(store, CLASSIFIER, batch, advance=advance)
            progress.remove_task(bar)
            written += count
            console.print(_delivery_line(batch, count, time.monotonic() - began), markup=False, highlight=False)
    return written


def retrain(client: AirflowClient, console: Console) -> tuple[list[Followed], dict[str, float]]:
    """Asks Airflow for the days as a backfill that may promote, and follows its runs to their end.

    Returns:
        The runs as they ended, and the seconds of each stage.
    """
    dag_id = f"{DAG_PREFIX}{CLASSIFIER}"
    client.wait_for_dag(dag_id, attempts=DAG_ATTEMPTS)
    client.unpause(dag_id)
    backfill = client.start_backfill(dag_id, DAYS, {"promote": True})
    console.print(
        f"backfill {backfill.id} of {dag_id}: {client.url}/dags/{dag_id}/backfills", markup=False, highlight=False
    )
    followed = Follower(client, dag_id, console).follow(backfill)
    return followed, seconds_by_stage(followed, client.task_order(dag_id), datetime.now(UTC))


def sum_up(
    store: ObjectStore,
    console: Console,
    followed: Sequence[Followed],
    *,
    batches: Sequence[DailyBatch],
    stage_seconds: Mapping[str, float],
    access: Access,
) -> Outcome:
    """Prints the summary of the runs, and verifies that they succeeded and that the champion is whole."""
    runs = tuple(read_results(store, CLASSIFIER, day=each.day, run_id=each.run.run_id) for each in followed)
    pointer, _ = registry.champion(store, CLASSIFIER)
    planted = [batch.planted for batch in batches]
    print_summary(console, runs, planted=planted, stage_seconds=stage_seconds, pointer=pointer, access=access)
    problems = [failure for each in followed for failure in each.failures]
    problems += registry.champion_problems(store, CLASSIFIER)
    return Outcome(runs=runs, stage_seconds=stage_seconds, problems=tuple(problems))


def _delivery_line(batch: DailyBatch, written: int, seconds: float) -> str:
    if not written:
        return f"{batch.day}: its {len(batch.images):,} images are there already, nothing was written"
    return (
        f"{batch.day}: delivered {len(batch.images):,} images in {seconds:.1f} s, "
        f"{batch.planted.rows} of them planted trouble"
    )
