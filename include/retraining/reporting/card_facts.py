"""All that is known of one version, for its card. What is missing or broken is named, not fatal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from include.retraining import journal, registry
from include.retraining.artifacts import (
    ChampionPointer,
    EvaluationRecord,
    PlanRecord,
    PromotionDecision,
    ResamplingRecord,
    SnapshotRecord,
)
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.journal import JournalEntry
from include.retraining.registry import Version
from include.retraining.run import EVALUATION, RESAMPLING, SNAPSHOT, run_key
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import read_published
from include.retraining.storage.records import read_record

Record = TypeVar("Record")


@dataclass(frozen=True)
class Chronicle:
    """What stands outside of every version.

    Attributes:
        entries: What can be read of the journal, oldest first.
        champion: The version in production, or None.
        problems: What is wrong with one of both; empty where nothing is.
    """

    entries: tuple[JournalEntry, ...]
    champion: ChampionPointer | None
    problems: tuple[str, ...]


@dataclass(frozen=True)
class CardFacts:
    """What a card is made of; None for what is not known.

    Attributes:
        classifier: Name of the classifier.
        name: Name of the version.
        description: What the recipe says that the classifier is for.
        labels: The classes, in their order.
        is_champion: Whether it is in production.
        version: Its own description.
        decision: The newest decision about it.
        evaluation: What that decision looked at.
        snapshot: The dataset that it was trained on, with its counts.
        plan: The resampling plan that it was trained with; None also where its strategy has none.
        entries: Entries of the journal about it, oldest first.
        n_entries: Entries of the journal, those about others included.
        minimum_slice_rows: Test rows from which on a slice says something, by the recipe.
        problems: One sentence for everything that is there and cannot be read.
    """

    classifier: str
    name: str
    description: str
    labels: tuple[str, ...]
    is_champion: bool
    version: Version | None
    decision: PromotionDecision | None
    evaluation: EvaluationRecord | None
    snapshot: SnapshotRecord | None
    plan: PlanRecord | None
    entries: tuple[JournalEntry, ...]
    n_entries: int
    minimum_slice_rows: int
    problems: tuple[str, ...]


def read_chronicle(store: ObjectStore, classifier: str) -> Chronicle:
    """Reads the champion and the journal, once for many cards."""
    problems: list[str] = []
    champion = None
    try:
        champion, _ = registry.champion(store, classifier)
    except ArtifactIntegrityError as error:
        problems.append(str(error))
    history = journal.read(store, classifier)
    return Chronicle(history.entries, champion, (*problems, *history.problems))


def gather_card(config: ClassifierConfig, store: ObjectStore, name: str, chronicle: Chronicle) -> CardFacts:
    """Reads what there is to know of a version."""
    problems = list(chronicle.problems)
    version = _version(store, config.name, name, problems)
    entries = [entry for entry in chronicle.entries if is_about(entry, name)]
    decisions = [it.decision for it in entries if it.decision is not None and it.decision.challenger == name]
    facts = CardFacts(
        classifier=config.name,
        name=name,
        description=_description(config, store, version, problems),
        labels=tuple(version.candidate.validation.n_rows) if version else config.labels,
        is_champion=chronicle.champion is not None and chronicle.champion.version == name,
        version=version,
        decision=decisions[-1] if decisions else None,
        evaluation=None,
        snapshot=None,
        plan=None,
        entries=tuple(entries),
        n_entries=len(chronicle.entries),
        minimum_slice_rows=config.evaluation.minimum_slice_rows,
        problems=(),
    )
    return dataclasses.replace(_with_records(facts, store, problems), problems=tuple(problems))


def is_about(entry: JournalEntry, name: str) -> bool:
    """Tells whether an entry of the journal concerns a version."""
    concerned: Sequence[str | None] = ()
    if entry.decision is not None:
        concerned = (entry.decision.challenger,)
    elif entry.move is not None:
        concerned = (entry.move.incumbent, entry.move.resulting)
    elif entry.approval is not None:
        concerned = (entry.approval.challenger,)
    elif entry.retirement is not None:
        concerned = entry.retirement.versions
    return name in concerned


def _with_records(facts: CardFacts, store: ObjectStore, problems: list[str]) -> CardFacts:
    """Adds what the deciding run recorded, as far as it is still there and is about this version."""
    if facts.decision is None:
        return facts
    prefix = layout.run(facts.classifier, run_key(facts.decision.run_id))
    evaluation = _record(store, f"{prefix}{EVALUATION}", EvaluationRecord, problems)
    if evaluation is not None and evaluation.challenger.version == facts.name:
        facts = dataclasses.replace(facts, evaluation=evaluation)
    if facts.version is None:
        return facts
    lineage, strategy = facts.version.lineage, facts.version.candidate.strategy
    snapshot = _record(store, f"{prefix}{SNAPSHOT}", SnapshotRecord, problems)
    if snapshot is not None and snapshot.digest == lineage.snapshot_digest:
        facts = dataclasses.replace(facts, snapshot=snapshot)
    resampling = _record(store, f"{prefix}{RESAMPLING}", ResamplingRecord, problems)
    plan = resampling.plans.get(strategy) if resampling else None
    if plan is not None and plan.digest == lineage.resampling_digest:
        facts = dataclasses.replace(facts, plan=plan)
    return facts


def _version(store: ObjectStore, classifier: str, name: str, problems: list[str]) -> Version | None:
    try:
        return registry.read_version(store, classifier, name)
    except ArtifactIntegrityError as error:
        problems.append(str(error))
        return None


def _description(config: ClassifierConfig, store: ObjectStore, version: Version | None, problems: list[str]) -> str:
    """Returns what the version's own recipe says; the present one's where it carries none."""
    if version is None or registry.RECIPE not in version.manifest.files:
        return config.description
    prefix = layout.version(config.name, version.name)
    try:
        # Not through the schema of recipes, which the version may be older than.
        return str(json.loads(read_published(store, prefix, registry.RECIPE)).get("description", ""))
    except ArtifactIntegrityError as error:
        problems.append(str(error))
    except (ValueError, AttributeError):
        problems.append(f"{uri_of(store, prefix + registry.RECIPE)} is no recipe.")
    return config.description


def _record(store: ObjectStore, key: str, kind: type[Record], problems: list[str]) -> Record | None:
    try:
        return read_record(store, key, kind)
    except KeyError:
        return None
    except ArtifactIntegrityError as error:
        problems.append(str(error))
        return None
