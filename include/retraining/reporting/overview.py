"""What there is to know about a classifier's models at a glance. Cheap: no model file is read, whole or in part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from include.retraining import journal, registry
from include.retraining.artifacts import ChampionPointer, ClassificationMetrics, PromotionDecision
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.run import run_key
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import MANIFEST, read_manifest

SHOWN_VERSIONS = 30


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
        error: What is broken about it; empty where nothing is.
    """

    name: str
    is_champion: bool
    window_end: datetime | None
    candidate: str | None
    validation: ClassificationMetrics | None
    was_promoted: bool
    decision: PromotionDecision | None
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
        problems: One sentence a problem of the champion or the journal; empty where all is well.
    """

    classifier: str
    champion: ChampionPointer | None
    versions: tuple[VersionSummary, ...]
    n_versions: int
    last_decision: PromotionDecision | None
    problems: tuple[str, ...]

    @property
    def last_report_key(self) -> str | None:
        """Key of the run that took the last decision, or None."""
        return None if self.last_decision is None else run_key(self.last_decision.run_id)


def model_overview(store: ObjectStore, classifier: str) -> ModelOverview:
    """Reads the champion, the newest versions and the journal; what is broken is named, not fatal."""
    problems: list[str] = []
    champion = _champion(store, classifier, problems)
    history = _history(store, classifier, problems)
    in_production = champion.version if champion else ""
    # A champion whose files are all gone must still be listed.
    names = sorted({*store.list_folders(layout.versions(classifier)), in_production} - {""}, reverse=True)
    shown = [name for place, name in enumerate(names) if place < SHOWN_VERSIONS or name == in_production]
    summaries = (_summary(store, classifier, name, in_production, history) for name in shown)
    return ModelOverview(
        classifier=classifier,
        champion=champion,
        versions=tuple(summary for summary in summaries if summary is not None),
        n_versions=len(names),
        last_decision=history.last_decision,
        problems=tuple(problems),
    )


@dataclass(frozen=True)
class _History:
    """The journal, by version."""

    last_decision: PromotionDecision | None
    by_challenger: Mapping[str, PromotionDecision]
    promoted: frozenset[str]


def _champion(store: ObjectStore, classifier: str, problems: list[str]) -> ChampionPointer | None:
    try:
        pointer, _ = registry.champion(store, classifier)
        if pointer is not None:
            problems += _manifest_problems(store, classifier, pointer)
    except ArtifactIntegrityError as error:
        problems.append(str(error))
        return None
    return pointer


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


def _history(store: ObjectStore, classifier: str, problems: list[str]) -> _History:
    try:
        entries = journal.entries(store, classifier)
    except ArtifactIntegrityError as error:
        problems.append(f"The journal cannot be read, so no decision is shown. {error}")
        entries = []
    decisions = [entry.decision for entry in entries if entry.decision is not None]
    # Approvals last: a champion that is trained again is refused, and that says nothing against it.
    by_approval = sorted(decisions, key=lambda decision: decision.approved)
    return _History(
        last_decision=decisions[-1] if decisions else None,
        by_challenger={decision.challenger: decision for decision in by_approval},
        promoted=frozenset(entry.move.resulting for entry in entries if entry.move is not None),
    )


def _summary(
    store: ObjectStore, classifier: str, name: str, in_production: str, history: _History
) -> VersionSummary | None:
    """Returns what is known of a version, or None for a folder whose manifest was not written yet."""
    if name != in_production and not store.exists(f"{layout.version(classifier, name)}{MANIFEST}"):
        return None
    known = VersionSummary(
        name=name,
        is_champion=name == in_production,
        window_end=None,
        candidate=None,
        validation=None,
        was_promoted=name in history.promoted,
        decision=history.by_challenger.get(name),
    )
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
