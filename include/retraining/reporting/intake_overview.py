"""What a run's intake came to, day by day, as one value; how it looks is in the page that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from include.retraining.artifacts import IntakeRecord
from include.retraining.intake.counts import DayCounts, read_counts
from include.retraining.intake.outcomes import VERDICTS_RECORD, DayVerdicts, Verdicts
from include.retraining.run import INTAKE
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.records import read_record

State = Literal["refused", "taken in", "unchanged", "nothing new", "judged"]


@dataclass(frozen=True)
class DayOverview:
    """A day of the window.

    Attributes:
        day: The day.
        state: What became of its delivery; "judged" where no batch was made of it yet, or another day is refused.
        counts: What became of its images.
        warnings: One sentence a warning.
        failures: One sentence a reason to refuse the batch.
    """

    day: date
    state: State
    counts: DayCounts
    warnings: tuple[str, ...]
    failures: tuple[str, ...]


def intake_overview(store: ObjectStore, classifier: str, run_key: str) -> tuple[DayOverview, ...]:
    """Returns the days of a run's window, in order; none where the run has validated nothing.

    Raises:
        ArtifactIntegrityError: If a record is there and cannot be read.
    """
    prefix = layout.run(classifier, run_key)
    try:
        verdicts = read_record(store, f"{prefix}{VERDICTS_RECORD}", Verdicts)
    except KeyError:
        return ()
    try:
        record = read_record(store, f"{prefix}{INTAKE}", IntakeRecord)
    except KeyError:
        record = None
    return tuple(
        DayOverview(day, _state(day, judged, record), read_counts(store, judged), judged.warnings, judged.failures)
        for day, judged in sorted(verdicts.days.items())
    )


def _state(day: date, judged: DayVerdicts, record: IntakeRecord | None) -> State:
    if judged.failures:
        return "refused"
    if record is None:
        return "judged"
    if day in record.unchanged:
        return "unchanged"
    return "taken in" if day in record.batch_uris else "nothing new"
