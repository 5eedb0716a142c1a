"""What there is to know about a classifier's models at a glance. Cheap: no model file is read, whole or in part."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from include.retraining import journal, registry
from include.retraining.artifacts import ChampionPointer, ClassificationMetrics, Move, PromotionDecision
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.journal import JournalEntry
from include.retraining.promotion.champion import Reign
from include.retraining.reporting.gate_table import GateTable, gate_table_of
from include.retraining.run import run_key
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import MANIFEST, read_manifest

SHOWN_VERSIONS = 30
SHOWN_MOVES = 20


@dataclass(frozen=True)
class VersionSummary:
    """One version, as a list of models shows it.

    Attributes:
        name: Its name.
        is_champion: Whether it is in production.
        window_end: End of its data window; None where the version is broken.
        candidate: Name of the candidate that it was; None where broken.
        validation: Its metrics on validation; None where broken.
        was_promoted: Whether the journal has it become the champion once.
        decision: The newest decision that approved it, else the newest one about it, with its metrics on the test rows;
            None where there was none.
        has_card: Whether there is a model card of it.
        error: What is broken about it; empty where nothing is.
    """

    name: str
    is_champion: bool
    window_end: datetime | None
    candidate: str | None
    validation: ClassificationMetrics | None
    was_promoted: bool
    decision: PromotionDecision | None
    has_card: bool
    error: str = ""

    @property
    def report_key(self) -> str | None:
        """Key of the run that decided about it, as reports are addressed; None where no run did."""
        return None if self.decision is None else run_key(self.decision.run_id)


@dataclass(frozen=True)
class ModelOverview:
    """A classifier's models.

    Attributes:
        classifier: Name of the classifier.
        champion: What is in production, or None.
        versions: The newest versions, newest data window first, and the champion however old it is.
        n_versions: All versions, those that are not shown included.
        last_decision: The newest decision about any version, or None.
        moves: The newest moves of the champion pointer, newest first.
        n_moves: All moves, those that are not shown included.
        problems: One sentence a problem of the champion or the journal; empty where all is well.
    """

    classifier: str
    champion: ChampionPointer | None
    versions: tuple[VersionSummary, ...]
    n_versions: int
    last_decision: PromotionDecision | None
    moves: tuple[Move, ...]
    n_moves: int
    problems: tuple[str, ...]

    @property
    def last_gates(self) -> GateTable | None:
        """What the gates of the last decision said, or None."""
        return None if self.last_decision is None else gate_table_of(self.last_decision)

    @property
    def last_report_key(self) -> str | None:
        """Key of the run that took the last decision, or None."""
        return None if self.last_decision is None else run_key(self.last_decision.run_id)


def model_overview(store: ObjectStore, classifier: str) -> ModelOverview:
    """Reads the champion, the newest versions and the journal; what is broken is named, not fatal."""
    problems: list[str] = []
    # The journal first: a pointer that is newer than it is no contradiction.
    read = journal.read(store, classifier)
    problems += read.problems
    champion = _champion(store, classifier, read.entries, problems)
    history = _history(read.entries)
    in_production = champion.version if champion else ""
    # A champion whose files are all gone must still be listed.
    names = sorted({*store.list_folders(layout.versions(classifier)), in_production} - {""}, reverse=True)
    shown = [name for place, name in enumerate(names) if place < SHOWN_VERSIONS or name == in_production]
    carded = frozenset(store.list_folders(layout.cards(classifier)))
    summaries = (_summary(store, classifier, name, _known(name, in_production, history, carded)) for name in shown)
    return ModelOverview(
        classifier=classifier,
        champion=champion,
        versions=tuple(summary for summary in summaries if summary is not None),
        n_versions=len(names),
        last_decision=history.last_decision,
        moves=history.moves[::-1][:SHOWN_MOVES],
        n_moves=len(history.moves),
        problems=tuple(problems),
    )


@dataclass(frozen=True)
class _History:
    """The journal, by version."""

    last_decision: PromotionDecision | None
    by_challenger: Mapping[str, PromotionDecision]
    moves: tuple[Move, ...]


def _champion(
    store: ObjectStore, classifier: str, entries: Sequence[JournalEntry], problems: list[str]
) -> ChampionPointer | None:
    try:
        pointer, etag = registry.champion(store, classifier)
        problems += _contradictions(store, classifier, Reign(pointer, etag, entries))
        if pointer is not None:
            problems += _manifest_problems(store, classifier, pointer)
    except ArtifactIntegrityError as error:
        problems.append(str(error))
        return None
    return pointer


def _contradictions(store: ObjectStore, classifier: str, reign: Reign) -> list[str]:
    """Compares the pointer with the journal; a move that is about to be entered there is none."""
    is_entered = reign.pointer is None or reign.pointer.move is None or reign.pointer.move in reign.moves
    if not is_entered or not reign.contradiction:
        return []
    where = uri_of(store, layout.champion(classifier))
    return [f"{where}: expected {reign.contradiction}, got {reign.version or 'no object'}."]


def _manifest_problems(store: ObjectStore, classifier: str, pointer: ChampionPointer) -> list[str]:
    """Compares the pointer with the manifest, and the manifest's names with what is there; opens no other file."""
    prefix = layout.version(classifier, pointer.version)
    try:
        manifest = read_manifest(store, prefix)
    except ArtifactIntegrityError as error:
        return [str(error)]
    there = {found.key.removeprefix(prefix) for found in store.list(prefix)}
    problems = [f"{uri_of(store, prefix + name)} is missing." for name in manifest.files if name not in there]
    if manifest.digest != pointer.digest:
        problems.append(
            f"{uri_of(store, prefix)}: expected content {pointer.digest} as the pointer says, got {manifest.digest}."
        )
    return problems


def _history(entries: Sequence[JournalEntry]) -> _History:
    decisions = [entry.decision for entry in entries if entry.decision is not None]
    # Approvals last: a champion that is trained again is refused, and that says nothing against it.
    by_approval = sorted(decisions, key=lambda decision: decision.approved)
    return _History(
        last_decision=decisions[-1] if decisions else None,
        by_challenger={decision.challenger: decision for decision in by_approval},
        moves=tuple(entry.move for entry in entries if entry.move is not None),
    )


def _known(name: str, in_production: str, history: _History, carded: Collection[str]) -> VersionSummary:
    """Returns what is known of a version without opening it."""
    return VersionSummary(
        name=name,
        is_champion=name == in_production,
        window_end=None,
        candidate=None,
        validation=None,
        was_promoted=any(move.resulting == name for move in history.moves),
        decision=history.by_challenger.get(name),
        has_card=name in carded,
    )


def _summary(store: ObjectStore, classifier: str, name: str, known: VersionSummary) -> VersionSummary | None:
    """Returns what is known of a version, or None for a folder whose manifest was not written yet."""
    if not known.is_champion and not store.exists(f"{layout.version(classifier, name)}{MANIFEST}"):
        return None
    try:
        version = registry.read_version(store, classifier, name)
    except ArtifactIntegrityError as error:
        return dataclasses.replace(known, error=str(error))
    return dataclasses.replace(
        known,
        window_end=version.lineage.window_end,
        candidate=version.candidate.name,
        validation=version.candidate.validation,
    )
