"""What became of versions, told from pointer and journal for people; damage is a sentence here, not an error."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from include.retraining.artifacts import ChampionPointer, Move, PromotionDecision
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.journal import JournalEntry, readable_entries
from include.retraining.promotion.evidence import withdrawn_versions
from include.retraining.promotion.retention import retired_versions
from include.retraining.registry import champion
from include.retraining.storage.base import ObjectStore

CHAMPION = "champion"
FORMER = "former champion"
WITHDRAWN = "withdrawn"
RETIRED = "retired"


@dataclass(frozen=True)
class Standings:
    """What a classifier's pointer and journal say of its versions.

    Attributes:
        pointer: The champion; None where there is none, or it cannot be read.
        entries: The journal as far as it can be read, oldest entry first.
        withdrawn: Versions that no run makes champion, with the reason as a sentence.
        retired: Versions that were removed, in the order in which they were.
        problem: Why the pointer cannot be read; empty where it can.
    """

    pointer: ChampionPointer | None
    entries: Sequence[JournalEntry]
    withdrawn: Mapping[str, str]
    retired: tuple[str, ...]
    problem: str

    def of(self, version: str) -> str:
        """Returns a version's standing in a word or two; empty where it never was more than a challenger."""
        if self.pointer is not None and version == self.pointer.version:
            return CHAMPION
        if version in self.retired:
            return RETIRED
        if version in self.withdrawn:
            return WITHDRAWN
        return FORMER if any(move.resulting == version for move in self.moves(version)) else ""

    def moves(self, version: str) -> list[Move]:
        """Returns the moves to and from a version, oldest first."""
        moves = [entry.move for entry in self.entries if entry.move is not None]
        return [move for move in moves if version in (move.incumbent, move.resulting)]

    def decision(self, version: str) -> PromotionDecision | None:
        """Returns the newest decision about a version, or None where nobody decided about it."""
        decisions = [entry.decision for entry in self.entries if entry.decision is not None]
        return next((it for it in reversed(decisions) if it.challenger == version), None)


def read_standings(store: ObjectStore, classifier: str) -> Standings:
    """Returns what pointer and journal say."""
    pointer, problem = None, ""
    try:
        pointer, _ = champion(store, classifier)
    except ArtifactIntegrityError as error:
        problem = str(error)
    entries = readable_entries(store, classifier)
    return Standings(pointer, entries, withdrawn_versions(entries), tuple(retired_versions(entries)), problem)
