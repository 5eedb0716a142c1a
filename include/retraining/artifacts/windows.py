"""Which stretch of time a run is about, and the names of the splits."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Window:
    """A half-open interval of time, `start ≤ t < end`, both aware, in UTC."""

    start: datetime
    end: datetime

    def holds(self, day: date) -> bool:
        """Tells whether a day's batch belongs to the window: from the day it starts in to the one before it ends."""
        return self.start.date() <= day < self.end.date() or (self.start.date() == self.end.date() == day)

    def sees(self, day: date) -> bool:
        """Tells whether a day's batch was delivered before the window's end."""
        return day < self.end.date() or self.holds(day)
