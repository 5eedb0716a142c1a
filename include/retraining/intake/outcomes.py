"""The values that travel inside the stage, apart from what makes them: Great Expectations takes seconds to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import pandas as pd

ACCEPTED = "accepted"
SKIPPED = "skipped"
QUARANTINED = "quarantined"


@dataclass(frozen=True)
class ValidationOutcome:
    """What the validation of one day's delivery found.

    Attributes:
        warnings: One sentence a warning; nothing is refused for them.
        failures: One sentence a reason to refuse the whole batch.
        document: `validation.json`; equal for equal deliveries.
        data_docs: Great Expectations' pages by file name; they hold times and random ids.
    """

    warnings: tuple[str, ...]
    failures: tuple[str, ...]
    document: bytes
    data_docs: Mapping[str, bytes]


@dataclass(frozen=True)
class Verdicts:
    """What became of a window's delivery.

    Attributes:
        rows: Schema `VERDICTS`, sorted by day and key.
        warnings: One sentence a warning, the day in it.
        outcomes: The validation of each day's batch.
    """

    rows: pd.DataFrame
    warnings: tuple[str, ...]
    outcomes: Mapping[date, ValidationOutcome]

    def of(self, day: date, outcome: str) -> pd.DataFrame:
        """Returns a day's rows with one outcome."""
        return self.rows[(self.rows["date"] == day) & (self.rows["outcome"] == outcome)]
