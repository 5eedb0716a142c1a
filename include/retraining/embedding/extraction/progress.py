"""How far a shard is, as lines of the task's log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

EVERY_SECONDS = 10.0


class LoggedProgress:
    """Logs how many images are done, how fast, and how long the rest will take: every ten seconds, and at the end.

    The first call is the start: what is done by then was not done in this attempt, and counts for no speed.

    Args:
        clock: Tells the seconds since some moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._start: tuple[float, int] | None = None
        self._told_at = 0.0

    def __call__(self, done: int, total: int) -> None:
        """Takes note that `done` of `total` images are done, and logs a line where one is due."""
        now = self._clock()
        if self._start is None:
            self._start, self._told_at = (now, done), now
            return
        if done < total and now - self._told_at < EVERY_SECONDS:
            return
        self._told_at = now
        logger.info("%s", progress_line(done, total, done - self._start[1], now - self._start[0]))


def progress_line(done: int, total: int, done_here: int, seconds: float) -> str:
    """Returns the line for people.

    Args:
        done: Images that have a stored vector, or one that is about to be.
        total: Images of the shard.
        done_here: Those of the done ones that took the seconds.
        seconds: Since the start.

    Example:
        >>> progress_line(1500, 3000, 1500, 3.75)
        'embedded 1500/3000 images, 400 a second, 4 s left'
    """
    line = f"embedded {done}/{total} images"
    if done_here == 0 or seconds <= 0:
        return line
    line = f"{line}, {done_here / seconds:.0f} a second"
    return line if done == total else f"{line}, {(total - done) * seconds / done_here:.0f} s left"
