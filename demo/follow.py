"""Shows how runs of a Dag go on until all of them have ended: live tables on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from demo.airflow_client import AirflowClient, Backfill, DagRun, TaskInstance

POLL_SECONDS = 2.0  # two requests each; the api server shares the cores with the tasks
LOG_LINES = 20
AT_WORK = frozenset({"running", "restarting", "deferred", "awaiting_input"})
FAILED = frozenset({"failed", "upstream_failed"})


@dataclass(frozen=True)
class Stage:
    """What the tasks of one task group are doing.

    Attributes:
        name: The group, or the task that stands alone.
        done: Tasks that ended for good.
        total: Tasks known so far; a mapped task counts once until it is expanded.
        running: Names of those at work.
        failed: How many failed, or could not start since another failed.
        seconds: From the start of the first to the end of the last, or to now while one is at work.
    """

    name: str
    done: int
    total: int
    running: tuple[str, ...]
    failed: int
    seconds: float

    @property
    def has_ended(self) -> bool:
        """Tells whether no task of it is left."""
        return self.done == self.total


@dataclass(frozen=True)
class Followed:
    """A run as it was last seen.

    Attributes:
        run: The run.
        tasks: Its tasks.
    """

    run: DagRun
    tasks: tuple[TaskInstance, ...] = ()

    @property
    def day(self) -> str:
        """The day that its window starts on, or its name where it has no window."""
        return self.run.window_start.date().isoformat() if self.run.window_start else self.run.run_id

    @property
    def failures(self) -> list[str]:
        """Sentences about what failed. Airflow calls a run a success if its last task is, whatever failed before."""
        tasks = [f"{self.day}: {task.stage}, {task.name} failed" for task in self.tasks if task.state == "failed"]
        return tasks or ([] if self.run.state == "success" else [f"{self.day}: the run ended as {self.run.state}"])

    @property
    def verdict(self) -> str:
        """The state of the run in a word."""
        return "failed" if self.run.has_ended and self.failures else self.run.state

    def stages(self, order: Sequence[str], now: datetime) -> list[Stage]:
        """Returns the stages of the run in the order of the Dag's tasks."""
        names = dict.fromkeys([*(task_id.split(".")[0] for task_id in order), *(task.stage for task in self.tasks)])
        grouped = {name: [task for task in self.tasks if task.stage == name] for name in names}
        return [self._stage(name, tasks, now) for name, tasks in grouped.items() if tasks]

    def _stage(self, name: str, tasks: Sequence[TaskInstance], now: datetime) -> Stage:
        spans = [
            (task.start_date, task.end_date or now)
            for task in tasks
            # A task of a repeated run keeps the dates of the time before, for ever if it is skipped now.
            if task.start_date and self.run.start_date and task.start_date >= self.run.start_date
        ]
        starts, ends = [start for start, _ in spans], [end for _, end in spans]
        return Stage(
            name=name,
            done=sum(task.has_ended for task in tasks),
            total=len(tasks),
            running=tuple(task.name for task in tasks if task.state in AT_WORK),
            failed=sum(task.state in FAILED for task in tasks),
            seconds=(max(ends) - min(starts)).total_seconds() if spans else 0.0,
        )


@dataclass
class Follower:
    """Follows the runs of one backfill.

    Attributes:
        client: Airflow.
        dag_id: The Dag.
        console: Where to show it.
        pause: Waits for some seconds.
        now: Tells the time.
    """

    client: AirflowClient
    dag_id: str
    console: Console
    pause: Callable[[float], None] = time.sleep
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _told: set[tuple[str, str]] = field(default_factory=set)

    def follow(self, backfill: Backfill) -> list[Followed]:
        """Shows the runs of a backfill until all have ended, and returns how they ended."""
        order = self.client.task_order(self.dag_id)
        seen: dict[str, Followed] = {}
        if not self.console.is_terminal:
            while not self._poll(backfill, order, seen):
                self.pause(POLL_SECONDS)
            return list(seen.values())
        with Live(console=self.console, refresh_per_second=4) as live:
            while True:
                has_ended = self._poll(backfill, order, seen)
                live.update(progress_of(seen.values(), order, self.now()))
                if has_ended:
                    return list(seen.values())
                self.pause(POLL_SECONDS)

    def _poll(self, backfill: Backfill, order: Sequence[str], seen: dict[str, Followed]) -> bool:
        """Looks at the runs that had not ended yet; tells whether all have now."""
        runs = self.client.runs_of(self.dag_id, backfill)
        for run in runs:
            if run.run_id in seen and seen[run.run_id].run.has_ended:
                continue
            # A queued run of a repeated backfill still shows the tasks of the time before.
            tasks = () if run.state == "queued" else self.client.task_instances(self.dag_id, run.run_id)
            seen[run.run_id] = Followed(run, tuple(tasks))
            self._tell(seen[run.run_id], order)
        return bool(runs) and all(run.has_ended for run in runs)

    def _tell(self, followed: Followed, order: Sequence[str]) -> None:
        """Writes the lines about a run that were not written yet: failed tasks; off a terminal, ended stages too."""
        for task in followed.tasks:
            if task.state == "failed" and self._is_news(followed, f"{task.task_id} {task.map_index} failed"):
                self._tell_failure(followed, task)
        if self.console.is_terminal:
            return
        if followed.run.state == "running" and self._is_news(followed, "(start)"):
            self.console.print(f"{followed.day}  run started", markup=False, highlight=False)
        for stage in followed.stages(order, self.now()):
            if stage.has_ended and self._is_news(followed, stage.name):
                failed = f", {stage.failed} failed" if stage.failed else ""
                line = f"{followed.day}  {stage.name}: {stage.done}/{stage.total} tasks{failed}, {stage.seconds:.1f} s"
                self.console.print(line, markup=False, highlight=False)
        if followed.run.has_ended and self._is_news(followed, "(run)"):
            self.console.print(f"{followed.day}  run ended: {followed.verdict}", markup=False, highlight=False)

    def _tell_failure(self, followed: Followed, task: TaskInstance) -> None:
        run_id = followed.run.run_id
        lines = self.client.last_log_lines(self.dag_id, run_id, task, n_lines=LOG_LINES)
        title = f"{followed.day}  {task.stage}: {task.name} failed. The end of its log:"
        self.console.print(title, style="bold red", markup=False, highlight=False)
        for line in lines or ["(Airflow has no log of it)"]:
            self.console.print(f"    {line}", markup=False, highlight=False, soft_wrap=True)
        self.console.print(f"    {self.client.link_to(self.dag_id, run_id, task)}", markup=False, soft_wrap=True)

    def _is_news(self, followed: Followed, what: str) -> bool:
        key = (followed.run.run_id, what)
        if key in self._told:
            return False
        self._told.add(key)
        return True


def progress_of(runs: Iterable[Followed], order: Sequence[str], now: datetime) -> Group:
    """Returns what a terminal shows: a run at work with its stages, any other as one line."""
    return Group(*(_stage_table(run, order, now) if run.run.state == "running" else _line(run) for run in runs))


def seconds_by_stage(runs: Iterable[Followed], order: Sequence[str], now: datetime) -> dict[str, float]:
    """Returns the seconds of each stage, all runs together."""
    total: dict[str, float] = {}
    for run in runs:
        for stage in run.stages(order, now):
            total[stage.name] = total.get(stage.name, 0.0) + stage.seconds
    return total


def _stage_table(followed: Followed, order: Sequence[str], now: datetime) -> Table:
    elapsed = (now - followed.run.start_date).total_seconds() if followed.run.start_date else 0.0
    table = Table(title=f"{followed.day}: running for {elapsed:.0f} s", title_justify="left", expand=True)
    table.add_column("stage", ratio=1)
    table.add_column("tasks", justify="right")
    table.add_column("running now", ratio=3, overflow="ellipsis", no_wrap=True)
    table.add_column("seconds", justify="right")
    for stage in followed.stages(order, now):
        style = "red" if stage.failed else "green" if stage.has_ended else "bold" if stage.running else "dim"
        seconds = f"{stage.seconds:.0f}" if stage.seconds else ""
        # A label in brackets would be read as markup if it were no Text.
        running = Text(", ".join(stage.running))
        table.add_row(stage.name, f"{stage.done}/{stage.total}", running, seconds, style=style)
    return table


def _line(followed: Followed) -> Text:
    run = followed.run
    if run.start_date and run.end_date and run.has_ended:
        seconds = (run.end_date - run.start_date).total_seconds()
        style = "bold red" if followed.failures else "green"
        return Text(f"{followed.day}: {followed.verdict} after {seconds:.0f} s", style=style)
    return Text(f"{followed.day}: {run.state}", style="dim")
