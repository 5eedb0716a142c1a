from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.orchestration.windows import resolve_window
from include.retraining.artifacts import Window
from include.retraining.errors import ConfigurationError
from tests.unit.orchestration.context import make_dag_run

NO_INTERVAL = {"data_interval_start": None, "data_interval_end": None}
EPOCH = datetime(1990, 1, 1, tzinfo=UTC).replace(tzinfo=None)
MOMENTS = st.datetimes(EPOCH, EPOCH.replace(year=2100), timezones=st.just(UTC) | st.timezones())


def day(number: int, hour: int = 0) -> datetime:
    return datetime(2026, 1, number, hour, tzinfo=UTC)


def test_the_form_wins_over_the_schedule():
    window = resolve_window(make_dag_run(), {"window_start": "2026-01-05", "window_end": "2026-01-06"})

    assert window == Window(start=day(5), end=day(6))


def test_a_scheduled_run_or_a_backfill_is_about_its_interval():
    assert resolve_window(make_dag_run(), {}) == Window(start=day(2, 2), end=day(3, 2))


def test_fields_of_the_form_that_are_left_empty_count_as_absent():
    window = resolve_window(make_dag_run(), {"window_start": "", "window_end": None})

    assert window == Window(start=day(2, 2), end=day(3, 2))


@pytest.mark.parametrize(
    "interval", [NO_INTERVAL, {"data_interval_start": day(8, 14), "data_interval_end": day(8, 14)}]
)
def test_a_run_without_an_interval_is_about_its_day_and_the_one_before(interval):
    window = resolve_window(make_dag_run(run_after=day(8, 14), **interval), {})

    assert window == Window(start=day(7), end=day(9))
    assert [it for it in range(1, 12) if window.holds(date(2026, 1, it))] == [7, 8]


def test_a_moment_without_a_zone_is_taken_for_utc_and_one_with_a_zone_is_turned_into_utc():
    form = {"window_start": "2026-01-05T01:30", "window_end": "2026-01-06T01:00:00+02:00"}

    window = resolve_window(make_dag_run(), form)

    assert window == Window(start=datetime(2026, 1, 5, 1, 30, tzinfo=UTC), end=day(5, 23))
    assert window.end.tzinfo is UTC


def test_an_interval_in_another_zone_is_turned_into_utc():
    zone = timezone(timedelta(hours=-5))
    run = make_dag_run(
        data_interval_start=datetime(2026, 1, 2, 2, tzinfo=zone), data_interval_end=datetime(2026, 1, 3, 2, tzinfo=zone)
    )

    assert resolve_window(run, {}) == Window(start=day(2, 7), end=day(3, 7))


@pytest.mark.parametrize(
    ("start", "end", "named"),
    [
        ("2026-01-05", None, "window_end"),
        ("2026-01-05", "", "window_end"),
        (None, "2026-01-06", "window_start"),
        ("5 January", "2026-01-06", "window_start"),
        ("2026-01-05", "2026-02-30", "window_end"),
        ("2026-01-05", 20260106, "window_end"),
    ],
)
def test_a_half_given_or_unreadable_form_is_refused_with_the_field_and_an_example(start, end, named):
    with pytest.raises(ConfigurationError, match=f"trigger form, {named}: .*Write 2026-01-05"):
        resolve_window(make_dag_run(), {"window_start": start, "window_end": end})


@pytest.mark.parametrize("end", ["2026-01-05", "2026-01-04", "2026-01-05T00:00:00+01:00"])
def test_a_window_that_ends_where_it_starts_or_before_is_refused_with_the_cure(end):
    with pytest.raises(ConfigurationError, match="expected a start before the end.*The end is exclusive"):
        resolve_window(make_dag_run(), {"window_start": "2026-01-05", "window_end": end})


@given(run_after=MOMENTS, start=st.none() | MOMENTS, length=st.timedeltas(timedelta(0), timedelta(days=40)))
def test_every_window_without_a_form_is_in_utc_and_starts_before_it_ends(run_after, start, length):
    end = None if start is None else start.astimezone(UTC) + length

    window = resolve_window(make_dag_run(run_after=run_after, data_interval_start=start, data_interval_end=end), {})

    assert window.start < window.end
    assert (window.start.tzinfo, window.end.tzinfo) == (UTC, UTC)


@given(first=MOMENTS, second=MOMENTS)
def test_a_form_gives_a_window_that_starts_before_it_ends_or_an_error(first, second):
    form = {"window_start": first.isoformat(), "window_end": second.isoformat()}
    # In UTC: Python holds a local time that a change of clocks left out equal to nothing.
    start, end = first.astimezone(UTC), second.astimezone(UTC)
    if start < end:
        assert resolve_window(make_dag_run(), form) == Window(start=start, end=end)
    else:
        with pytest.raises(ConfigurationError):
            resolve_window(make_dag_run(), form)


@given(run_after=MOMENTS)
def test_a_window_depends_on_the_run_alone_and_not_on_when_it_is_asked_for(run_after):
    run = make_dag_run(run_after=run_after, **NO_INTERVAL)

    assert resolve_window(run, {}) == resolve_window(run, {})
    assert resolve_window(run, {}).holds(run_after.astimezone(UTC).date())
