from __future__ import annotations

import logging

import pytest

from include.retraining.embedding.extraction.progress import EVERY_SECONDS, LoggedProgress, progress_line


class Clock:
    """Shows what a test sets."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.INFO, logger="include.retraining.embedding.extraction.progress")
    return lambda: [record.getMessage() for record in caplog.records]


def tell(progress: LoggedProgress, clock: Clock, *moments: tuple[float, int], total: int) -> None:
    for seconds, done in moments:
        clock.now = 1000.0 + seconds
        progress(done, total)


def test_a_line_is_logged_every_ten_seconds_and_at_the_end(lines):
    clock = Clock()
    moments = [(float(second), 100 * second) for second in range(26)]

    tell(LoggedProgress(clock), clock, *moments, total=2500)

    assert EVERY_SECONDS == 10
    assert lines() == [
        "embedded 1000/2500 images, 100 a second, 15 s left",
        "embedded 2000/2500 images, 100 a second, 5 s left",
        "embedded 2500/2500 images, 100 a second",
    ]


def test_images_that_were_stored_before_count_as_done_and_for_no_speed(lines):
    clock = Clock()

    tell(LoggedProgress(clock), clock, (0, 900), (12, 912), total=1000)

    assert lines() == ["embedded 912/1000 images, 1 a second, 88 s left"]


def test_a_shard_that_was_done_before_it_began_logs_nothing(lines):
    clock = Clock()

    tell(LoggedProgress(clock), clock, (0, 500), total=500)

    assert lines() == []


@pytest.mark.parametrize(("done_here", "seconds"), [(0, 20.0), (5, 0.0)])
def test_without_a_speed_no_time_is_promised(done_here, seconds):
    assert progress_line(5, 100, done_here, seconds) == "embedded 5/100 images"
