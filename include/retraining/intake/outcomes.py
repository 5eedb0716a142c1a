"""The values that travel inside the stage, apart from what makes them: Great Expectations takes seconds to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

ACCEPTED = "accepted"
SKIPPED = "skipped"
QUARANTINED = "quarantined"

VERDICTS_RECORD = "intake/verdicts.json"
"""Name of `Verdicts` among a run's records."""


@dataclass(frozen=True)
class ValidationOutcome:
    """What the validation of one day's delivery found.

    Attributes:
        warnings: One sentence a warning; nothing is refused for them.
        failures: One sentence a reason to refuse the whole batch.
        document: `validation.json`; equal for equal deliveries.
        data_docs: Pages by file name, `index.html` among them; each carries all that it shows.
    """

    warnings: tuple[str, ...]
    failures: tuple[str, ...]
    document: bytes
    data_docs: Mapping[str, bytes]


@dataclass(frozen=True)
class DayVerdicts:
    """What became of one day's delivery.

    Attributes:
        shard_uris: Tables of the rows (schema `VERDICTS`), in key order.
        delivered: Rows in all shards.
        warnings: One sentence a warning.
        failures: One sentence a reason to refuse the whole batch.
        document_uri: `validation.json`.
        data_docs_uri: Index of the Data Docs; the other pages lie beside it.
    """

    shard_uris: tuple[str, ...]
    delivered: int
    warnings: tuple[str, ...]
    failures: tuple[str, ...]
    document_uri: str
    data_docs_uri: str


@dataclass(frozen=True)
class Verdicts:
    """What became of a window's delivery, by day."""

    days: Mapping[date, DayVerdicts]
