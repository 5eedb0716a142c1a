"""How results reach the terminal: JSON on request, tables otherwise. Progress goes to standard error."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from include.retraining.artifacts import CandidateRecord
from include.retraining.pipeline import Progress as Listener


def print_json(value: Any) -> None:
    """Prints a value of dataclasses, mappings and sequences as JSON."""
    sys.stdout.write(json.dumps(_plain(value), indent=2) + "\n")


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints rows under column names; nothing in them is taken for markup, and what is too wide is folded."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    console = Console(markup=False)
    console.print(f"\n{title}", style="bold", highlight=False)
    console.print(table)


def shown_mean(candidate: CandidateRecord) -> str:
    """Returns a candidate's cross-validated macro recall with its standard error."""
    return f"{candidate.cross_validation.mean:.4f} ± {candidate.cross_validation.standard_error:.4f}"


@contextmanager
def progress_bars() -> Iterator[Listener]:
    """Yields a listener that draws one bar a step; where standard error is no terminal, one line a finished step."""
    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks: dict[str, Any] = {}

        def listen(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(step, total=total)
            bars.update(tasks[step], completed=done, total=total)
            if done == total and not console.is_terminal:
                sys.stderr.write(f"{step}: {done}/{total}\n")

        yield listen


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value.isoformat() if isinstance(value, date) else value


def _text(cell: object) -> str:
    match cell:
        case None:
            return "–"
        case bool():
            return "yes" if cell else "no"
        case float():
            return f"{cell:.4f}"
        case datetime():
            return f"{cell:%Y-%m-%d %H:%M}"
        case dict():
            return ", ".join(f"{name} {value}" for name, value in cell.items())
        case _:
            return str(cell)
