"""Which stretch of time a run is about, whoever started it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from include.retraining.artifacts import Window
from include.retraining.errors import ConfigurationError

ONE_DAY = timedelta(days=1)


def resolve_window(dag_run: Any, params: Mapping[str, Any]) -> Window:
    """Returns the window of a run: the form's, else the schedule's interval, else the run's day and the one before.

    Args:
        dag_run: Airflow's run: `data_interval_start`, `data_interval_end`, `run_after`.
        params: The trigger form: `window_start` and `window_end`, ISO 8601, both or neither.

    Raises:
        ConfigurationError: If the form's window is half given, not a date, or empty.
    """
    start, end = params.get("window_start"), params.get("window_end")
    if start or end:
        window = Window(start=_moment("window_start", start), end=_moment("window_end", end))
    elif dag_run.data_interval_start and dag_run.data_interval_start != dag_run.data_interval_end:
        window = Window(start=_utc(dag_run.data_interval_start), end=_utc(dag_run.data_interval_end))
    else:
        today = _utc(dag_run.run_after).replace(hour=0, minute=0, second=0, microsecond=0)
        window = Window(start=today - ONE_DAY, end=today + ONE_DAY)
    if window.start >= window.end:
        raise ConfigurationError(
            "trigger form, window_start and window_end",
            f"expected a start before the end, got {window.start.isoformat()} and {window.end.isoformat()}",
            "The end is exclusive: for the whole of 5 January give 2026-01-05 and 2026-01-06",
        )
    return window


def _moment(name: str, value: Any) -> datetime:
    try:
        return _utc(datetime.fromisoformat(value))
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"trigger form, {name}", f"expected a date or a moment in ISO 8601, got {value!r}", "Write 2026-01-05"
        ) from None


def _utc(moment: datetime) -> datetime:
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
