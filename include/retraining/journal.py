"""The journal of decisions, moves and new baselines: numbered objects, each written once, none ever changed."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from include.retraining.artifacts import BaselineRegistration, Move, PromotionDecision
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import get_many
from include.retraining.storage.records import from_json, to_json

Entry = PromotionDecision | Move | BaselineRegistration


@dataclass(frozen=True)
class JournalEntry:
    """One line of the journal: a decision, a move, or a new baseline.

    Attributes:
        number: From 1, without gaps; also the object's name.
        decision: The decision, or None.
        move: The move, or None.
        baseline: The new baseline, or None.
    """

    number: int
    decision: PromotionDecision | None = None
    move: Move | None = None
    baseline: BaselineRegistration | None = None


def append(store: ObjectStore, classifier: str, what: Entry) -> JournalEntry:
    """Writes something at the end of the journal, unless it is there already.

    Two writers that want the same number race by a conditional write; the loser takes the next number. An entry
    names its run and that run's start, so that a task which is killed and repeated finds its own entry.
    """
    known = entries(store, classifier)
    for entry in known:
        if what in (entry.decision, entry.move, entry.baseline):
            return entry
    entry = _entry(len(known) + 1, what)
    while not store.replace(_key(classifier, entry.number), to_json(entry), etag=None):
        # A client that repeats a write whose answer was lost has lost the race against itself.
        if store.get(_key(classifier, entry.number)) == to_json(entry):
            break
        entry = dataclasses.replace(entry, number=entry.number + 1)
    return entry


def entries(store: ObjectStore, classifier: str) -> list[JournalEntry]:
    """Returns the whole journal, oldest entry first."""
    keys = [found.key for found in store.list(layout.history(classifier))]
    bodies = get_many(store, keys)
    return [from_json(JournalEntry, body, uri_of(store, key)) for key, body in zip(keys, bodies, strict=True) if body]


def last_decision(store: ObjectStore, classifier: str) -> PromotionDecision | None:
    """Returns the newest decision, or None where nothing was ever decided."""
    decisions = [entry.decision for entry in entries(store, classifier) if entry.decision is not None]
    return decisions[-1] if decisions else None


def _entry(number: int, what: Entry) -> JournalEntry:
    match what:
        case PromotionDecision():
            return JournalEntry(number=number, decision=what)
        case Move():
            return JournalEntry(number=number, move=what)
        case BaselineRegistration():
            return JournalEntry(number=number, baseline=what)


def _key(classifier: str, number: int) -> str:
    return f"{layout.history(classifier)}{number:08d}.json"
