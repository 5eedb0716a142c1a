"""What is decided about a challenger, and the pointer that moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class GateResult:
    """What one gate said.

    Attributes:
        gate: The gate, with its metric.
        passed: Whether the challenger may pass.
        sentence: The numbers: what was found, what was asked.
    """

    gate: str
    passed: bool
    sentence: str


@dataclass(frozen=True)
class PromotionDecision:
    """Whether a challenger replaces the champion, and why.

    Attributes:
        classifier: Name of the classifier.
        challenger: Version that asks.
        champion: Version in production when it was decided, or None.
        champion_etag: Tag of the pointer that the decision read, or None where there was no pointer.
        approved: Whether all holds.
        reasons: Why not; empty if approved.
        gates: Every gate's result, passed or not.
        run_id: The run that decided.
        decided_at: When that run started.
        window_end: End of the challenger's data window.
        metrics: The challenger's key metrics on the test rows.
        recall: The challenger's recall on them by label; empty in entries of a journal from before it was kept.
    """

    classifier: str
    challenger: str
    champion: str | None
    champion_etag: str | None
    approved: bool
    reasons: tuple[str, ...]
    gates: tuple[GateResult, ...]
    run_id: str
    decided_at: datetime
    window_end: datetime
    metrics: Mapping[str, float | None]
    recall: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class ChampionPointer:
    """What `champion.json` holds.

    Attributes:
        version: Version in production.
        uri: Prefix of its files.
        digest: Digest in its manifest.
        window_end: End of its data window.
        previous: Version that it replaced, or None.
        run_id: The run that moved the pointer.
    """

    version: str
    uri: str
    digest: str
    window_end: datetime
    previous: str | None
    run_id: str


@dataclass(frozen=True)
class Move:
    """A move of the champion pointer, as the journal keeps it.

    Attributes:
        incumbent: Version in production before, or None.
        resulting: Version in production after.
        run_id: The run that moved it.
        moved_at: When that run started.
        window_end: End of the new champion's data window.
    """

    incumbent: str | None
    resulting: str
    run_id: str
    moved_at: datetime
    window_end: datetime
