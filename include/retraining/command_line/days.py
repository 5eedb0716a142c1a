"""Runs that are started by hand, for whole days."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from include.retraining.artifacts import Window
from include.retraining.command_line.caller import the_caller
from include.retraining.config import ClassifierConfig
from include.retraining.run import Run
from include.retraining.storage.base import ObjectStore

ONE_DAY = timedelta(days=1)


def run_of_days(config: ClassifierConfig, store: ObjectStore, first: date, last: date, *, run_id: str) -> Run:
    """Returns a run whose window is some days in UTC, the last one included, and which the caller starts now."""
    caller = the_caller()
    start, end = (datetime.combine(day, time.min, tzinfo=UTC) for day in (first, last))
    return Run(
        config=config,
        store=store,
        window=Window(start=start, end=end + ONE_DAY),
        run_id=run_id,
        started_at=caller.at,
        started_by=caller.name,
    )
