from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from include.retraining.artifacts import Window


def window(start: str, end: str) -> Window:
    return Window(*(datetime.fromisoformat(moment).replace(tzinfo=UTC) for moment in (start, end)))


@pytest.mark.parametrize(
    ("start", "end", "held"),
    [
        pytest.param("2026-01-02T00:00", "2026-01-03T00:00", [2], id="a day"),
        pytest.param("2026-01-02T02:00", "2026-01-03T02:00", [2], id="what a nightly tick at two covers"),
        pytest.param("2026-01-02T00:00", "2026-01-05T00:00", [2, 3, 4], id="three days"),
        pytest.param("2026-01-02T09:00", "2026-01-02T10:00", [2], id="an hour"),
        pytest.param("2026-01-02T23:00", "2026-01-03T00:00", [2], id="the last hour of a day"),
    ],
)
def test_a_window_holds_its_days_and_sees_those_before(start: str, end: str, held: list[int]):
    days = [date(2026, 1, day) for day in range(1, 8)]
    one = window(start, end)
    assert [day.day for day in days if one.holds(day)] == held
    assert [day.day for day in days if one.sees(day)] == list(range(1, held[-1] + 1))


def test_windows_that_follow_each_other_share_no_day_and_leave_none_out():
    ticks = ["2026-01-01T02:00", "2026-01-02T02:00", "2026-01-03T02:00", "2026-01-04T02:00"]
    windows = [window(*pair) for pair in zip(ticks, ticks[1:], strict=False)]
    for day in (date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)):
        assert sum(one.holds(day) for one in windows) == 1
