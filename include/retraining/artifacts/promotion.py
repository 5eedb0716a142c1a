"""What is decided about a challenger, the pointer that moves, and what the journal keeps of both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal


@dataclass(frozen=True)
class GateResult:
    """What one gate said of one metric.

    Attributes:
        gate: The gate, with its metric, slice and label.
        passed: Whether the challenger may pass.
        sentence: The numbers: what was found, what was asked.
        found: The number that was compared, or None where it is missing.
        asked: What it was compared with, or None where the gate has no limit.
    """

    gate: str
    passed: bool
    sentence: str
    found: float | None = None
    asked: float | None = None


@dataclass(frozen=True)
class PromotionDecision:
    """Whether a challenger replaces the champion, and why.

    Attributes:
        classifier: Name of the classifier.
        challenger: Version that asks.
        champion: Version in production when it was decided, the incumbent, or None.
        champion_etag: Tag of the pointer that the decision read, or None where there was no pointer.
        approved: Whether all holds.
        reasons: Why not; empty if approved.
        gates: Every gate's result, passed or not.
        run_id: The run that decided.
        decided_at: When that run started.
        window_end: End of the challenger's data window.
        metrics: The challenger's key metrics on the test rows.
        recall: The challenger's recall on them by label; empty in entries of a journal from before it was kept.
        resulting: Version in production once the decision is carried out: the challenger, or still the champion.
        is_dry_run: Whether it is decided and reported only.
        rebaseline: Why the champion could not be scored, where the run was asked to replace it all the same; else
            empty.
        challenger_digest: Digest of the manifest of the bytes that were scored.
        test_digest: Digest of the test rows.
        policy: The recipe's `gates` and `promotion`, as they were.
        by: Who started the run.
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
    # With defaults: journals hold entries from before these were kept.
    recall: Mapping[str, float | None] = field(default_factory=dict)
    resulting: str | None = None
    is_dry_run: bool = False
    rebaseline: str = ""
    challenger_digest: str = ""
    test_digest: str = ""
    policy: Mapping[str, Any] = field(default_factory=dict)
    by: str = ""

    @property
    def acts(self) -> bool:
        """Whether the champion is to be replaced."""
        return self.approved and not self.is_dry_run


@dataclass(frozen=True)
class Move:
    """A move of the champion pointer, as the pointer and the journal keep it.

    Attributes:
        incumbent: Version in production before, or None.
        resulting: Version in production after.
        run_id: The run, or the command, that moved it.
        moved_at: When that started.
        window_end: End of the new champion's data window.
        kind: A promotion of a challenger, or a rollback to a version that was made earlier.
        by: Who asked for it.
        reason: Why.
    """

    incumbent: str | None
    resulting: str
    run_id: str
    moved_at: datetime
    window_end: datetime
    # With defaults: journals hold entries from before these were kept.
    kind: Literal["promotion", "rollback"] = "promotion"
    by: str = ""
    reason: str = ""


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
        generation: One more at every write, so that no two contents, and so no two entity tags, are alike.
        move: The last move, for the journal: whoever comes next enters it, should its mover have been killed first.
    """

    version: str
    uri: str
    digest: str
    window_end: datetime
    previous: str | None
    run_id: str
    generation: int = 0
    move: Move | None = None


@dataclass(frozen=True)
class Approval:
    """What a person said to an approved decision, or that the time to say it ran out.

    Attributes:
        challenger: The version that was to be promoted.
        run_id: The run that asked.
        approved: The answer; silence is no.
        by: Who answered; empty for silence.
        answered_at: When; for silence, when the time ran out.
    """

    challenger: str
    run_id: str
    approved: bool
    by: str
    answered_at: datetime


@dataclass(frozen=True)
class Retirement:
    """Versions that retention removes, and that can never be champion again.

    Attributes:
        versions: Their names.
        by: Who asked.
        retired_at: When.
        reason: By which rule.
    """

    versions: tuple[str, ...]
    by: str
    retired_at: datetime
    reason: str


@dataclass(frozen=True)
class RollbackOrder:
    """What is asked of a rollback.

    Attributes:
        version: Version to go back to; None: the champion's predecessor.
        reason: Why; never empty.
        run_id: The Dag run, or the command.
        at: When that started.
        by: Who asked.
    """

    version: str | None
    reason: str
    run_id: str
    at: datetime
    by: str
