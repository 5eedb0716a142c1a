"""What is counted over a day's verdicts, shard by shard, for the expectations on the batch as a whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import pandas as pd

from include.retraining.intake.drift.statistics import BatchStatistics, statistics_of
from include.retraining.intake.outcomes import ACCEPTED, QUARANTINED, SKIPPED
from include.retraining.intake.reasons import parted


@dataclass(frozen=True)
class BatchSummary:
    """Counts over some verdicts of a day; `a + b` are the counts over both.

    Attributes:
        outcomes: Rows by outcome.
        first_reasons: Rows that are not accepted, by their first reason.
        usable: Accepted and skipped rows by label; only labels that occur.
        accepted: Statistics of the accepted rows.
    """

    outcomes: Counter[str]
    first_reasons: Counter[str]
    usable: Counter[str]
    accepted: BatchStatistics

    @property
    def delivered(self) -> int:
        """All rows."""
        return sum(self.outcomes.values())

    def __add__(self, other: BatchSummary) -> BatchSummary:
        """Returns the counts over both."""
        return BatchSummary(
            outcomes=self.outcomes + other.outcomes,
            first_reasons=self.first_reasons + other.first_reasons,
            usable=self.usable + other.usable,
            accepted=self.accepted + other.accepted,
        )


def summarise(verdicts: pd.DataFrame, labels: tuple[str, ...]) -> BatchSummary:
    """Returns the counts over verdicts (schema `VERDICTS`).

    Raises:
        RuntimeError: If a row has no outcome, or an accepted row was never decoded or has no split: a defect of ours.
    """
    outcomes = Counter(verdicts["outcome"])
    accepted = verdicts[verdicts["outcome"] == ACCEPTED]
    if outcomes.keys() - {ACCEPTED, SKIPPED, QUARANTINED}:
        raise RuntimeError(f"Expected an outcome for every row, got {dict(outcomes)}: the intake stage lost some.")
    if (accepted["pixel_sha256"] == "").any() or (accepted["assigned_split"] == "").any():
        raise RuntimeError("An accepted image was never decoded or has no split: the intake stage let it pass.")
    return BatchSummary(
        outcomes=outcomes,
        first_reasons=Counter(parted(reason)[0].value for reason in verdicts["reason"] if reason),
        usable=Counter(verdicts.loc[verdicts["outcome"] != QUARANTINED, "label"]),
        accepted=statistics_of(accepted, labels),
    )
