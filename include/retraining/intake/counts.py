"""How many images of a day were accepted, skipped and quarantined, as the day's validation noted; no table is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from include.retraining.intake.outcomes import ACCEPTED, DayVerdicts
from include.retraining.intake.reasons import SKIPPING
from include.retraining.storage.base import ObjectStore, key_of
from include.retraining.storage.records import from_json


@dataclass(frozen=True)
class DayCounts:
    """What became of a day's images; `delivered = accepted + skipped_by + quarantined`.

    Attributes:
        delivered: All of them.
        accepted: How many may go into a batch.
        skipped_by: Skipped ones by reason.
        quarantined: Quarantined ones by their first reason.
    """

    delivered: int
    accepted: int
    skipped_by: Mapping[str, int]
    quarantined: Mapping[str, int]


@dataclass(frozen=True)
class _Document:
    """The part of `validation.json` that is about counts."""

    delivered: int
    outcomes: Mapping[str, int]
    first_reasons: Mapping[str, int]


def read_counts(store: ObjectStore, judged: DayVerdicts) -> DayCounts:
    """Returns what became of a day's images, be the batch refused or not."""
    body = store.get(key_of(store, judged.document_uri))
    document = from_json(_Document, body, judged.document_uri)
    by_reason = document.first_reasons.items()
    return DayCounts(
        delivered=document.delivered,
        accepted=document.outcomes.get(ACCEPTED, 0),
        skipped_by={code: number for code, number in by_reason if code in SKIPPING},
        quarantined={code: number for code, number in by_reason if code not in SKIPPING},
    )
