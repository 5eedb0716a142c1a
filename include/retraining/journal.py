"""The journal of a classifier: numbered objects, each written once, none ever changed, chained by their digests.

An entry holds the sha256 of the one before it, so that an entry that was edited or removed is missed by its successor;
the head, a pointer beside the entries, remembers the newest one, so that a cut-off end is missed too. Entries from
before the chain are accepted in front of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeGuard

from include.retraining.artifacts import Approval, BaselineRegistration, Move, PromotionDecision, Retirement
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import get_many
from include.retraining.storage.pointers import read_pointer
from include.retraining.storage.publishing import create, sha256
from include.retraining.storage.records import from_json, to_json

Entry = PromotionDecision | Move | BaselineRegistration | Approval | Retirement

FILE = re.compile(r"(\d{8,})\.json")
MOST_ASKED_FOR = 64  # missing entries that are asked for by name, in case the listing was overtaken by their writers


@dataclass(frozen=True)
class JournalEntry:
    """One line of the journal; one of its values is there.

    Attributes:
        number: From 1, without gaps; also the object's name.
        previous: sha256 of the bytes of the entry before; empty in the first; None in entries from before the chain.
        decision: About a challenger.
        move: Of the champion.
        baseline: That later batches are compared with.
        approval: Or veto, of a decision.
        retirement: Of versions.
    """

    number: int
    previous: str | None = None
    decision: PromotionDecision | None = None
    move: Move | None = None
    baseline: BaselineRegistration | None = None
    approval: Approval | None = None
    retirement: Retirement | None = None


@dataclass(frozen=True)
class JournalHead:
    """An entry that is surely there, and all before it; there are newer ones where a writer was killed.

    Attributes:
        number: Its number.
        digest: sha256 of its bytes.
    """

    number: int
    digest: str


@dataclass(frozen=True)
class Journal:
    """The journal as it was read at once.

    Attributes:
        entries: What can be read of it, oldest entry first.
        problems: One sentence a problem, each beginning with a URI; empty where it is whole.
    """

    entries: tuple[JournalEntry, ...]
    problems: tuple[str, ...]


def append(store: ObjectStore, classifier: str, what: Entry) -> JournalEntry:
    """Writes something at the end of the journal, unless it is there already.

    Two writers that want the same number race by a conditional write; the loser reads what the winner wrote and takes
    the next number. An entry names its run and that run's start, so that a task which is killed and repeated finds its
    own entry. A damaged journal is written on all the same, for a rollback must be: behind the highest number that was
    ever known, chained to what the head remembers of it, so that a restored entry makes the chain whole again.

    Side effects: writes the entry, then moves the head.
    """
    what = from_json(type(what), to_json(what), "an entry")  # as it will be read, for the comparison
    head = _readable_head(store, classifier)  # before the entries: those are never behind it
    last = JournalHead(0, "")
    for number, body in _newest_first(store, classifier, known=head.number if head else 0):
        last = JournalHead(number, sha256(body)) if last.number == 0 else last
        entry = _parse(store, classifier, number, body)
        if _holds(entry, what):
            _advance_head(store, classifier, last)
            return entry
    if head is not None and head.number >= max(last.number, 1):
        last = head
    while True:
        mine = _entry(last.number + 1, last.digest, what)
        body = create(store, _key(classifier, mine.number), to_json(mine))
        last = JournalHead(mine.number, sha256(body))
        entry = _parse(store, classifier, mine.number, body)
        if _holds(entry, what):
            _advance_head(store, classifier, last)
            return entry


def entries(store: ObjectStore, classifier: str) -> list[JournalEntry]:
    """Returns the whole journal, oldest entry first.

    Raises:
        ArtifactIntegrityError: If something in it is no entry.
    """
    found = _newest_first(store, classifier)
    return [from_json(JournalEntry, body, _uri(store, classifier, number)) for number, body in found][::-1]


def readable_entries(store: ObjectStore, classifier: str) -> list[JournalEntry]:
    """Returns what can be read of the journal, oldest entry first: for those who must go on when it is damaged."""
    found = [_parse(store, classifier, number, body) for number, body in _newest_first(store, classifier)]
    return [entry for entry in reversed(found) if entry is not None]


def last_decision(store: ObjectStore, classifier: str) -> PromotionDecision | None:
    """Returns the newest decision, or None where nothing was ever decided."""
    decisions = [entry.decision for entry in entries(store, classifier) if entry.decision is not None]
    return decisions[-1] if decisions else None


def problems(store: ObjectStore, classifier: str) -> list[str]:
    """Returns what `read` finds wrong with the journal, one sentence a problem."""
    return list(read(store, classifier).problems)


def read(store: ObjectStore, classifier: str) -> Journal:
    """Returns the journal after checking that it is all that was ever written, as it was written.

    Whoever can write the whole journal and its head anew is not found out.
    """
    head, complaints = _read_head(store, classifier)  # before the entries: those are never behind it
    bodies = dict(_newest_first(store, classifier, known=head.number if head else 0))
    parsed = [_parse(store, classifier, number, bodies[number]) for number in sorted(bodies)]
    return Journal(
        entries=tuple(entry for entry in parsed if entry is not None),
        problems=(*_problems(store, classifier, bodies, head), *complaints),
    )


def _problems(store: ObjectStore, classifier: str, bodies: Mapping[int, bytes], head: JournalHead | None) -> list[str]:
    numbers = sorted(bodies)
    sentences = [f"{uri}: expected an entry of the journal, got another name." for uri in _strangers(store, classifier)]
    sentences += [
        _missing(store, classifier, before + 1, after - 1)
        for before, after in pairwise([0, *numbers])
        if after > before + 1
    ]
    sentences += _broken_links(store, classifier, bodies)
    newest = numbers[-1] if numbers else 0
    if head is not None and head.number > newest:
        sentences.append(_missing(store, classifier, newest + 1, head.number))
    elif head is not None and head.number in bodies and sha256(bodies[head.number]) != head.digest:
        uri, says = _uri(store, classifier, head.number), uri_of(store, layout.journal_head(classifier))
        sentences.append(f"{uri}: expected sha256 {head.digest} as {says} says, got other content: one was changed.")
    return sentences


def _broken_links(store: ObjectStore, classifier: str, bodies: Mapping[int, bytes]) -> list[str]:
    """Returns what is wrong with entries that are there, and with how each is chained to the one before."""
    sentences = []
    is_chained = False
    before: str | None = ""  # digest of the entry before; None where that is missing or wrong itself
    for number in sorted(bodies):
        uri = _uri(store, classifier, number)
        before = before if number == 1 or number - 1 in bodies else None
        try:
            entry = from_json(JournalEntry, bodies[number], uri)
        except ArtifactIntegrityError as error:
            sentences.append(str(error))
            before = None
            continue
        if entry.number != number:
            sentences.append(f"{uri}: expected entry {number}, got entry {entry.number}.")
            before = None
            continue
        if entry.previous is None and is_chained:
            sentences.append(f"{uri}: expected the digest of entry {number - 1} in it, got none: it was changed.")
        elif entry.previous is not None and before not in (None, entry.previous):
            changed = _uri(store, classifier, max(number - 1, 1))
            sentences.append(
                f"{changed}: expected sha256 {entry.previous} as {uri} says, got {before}: one was changed."
            )
        is_chained = is_chained or entry.previous is not None
        before = sha256(bodies[number])
    return sentences


def _missing(store: ObjectStore, classifier: str, first: int, last: int) -> str:
    which = f"entry {first}" if first == last else f"entries {first} to {last}"
    return f"{_uri(store, classifier, first)}: expected {which}, got nothing: removed from the journal."


def _newest_first(store: ObjectStore, classifier: str, known: int = 0) -> Iterator[tuple[int, bytes]]:
    """Yields number and bytes of every entry; those that nobody takes are not read.

    Args:
        store: Where the journal is.
        classifier: Whose it is.
        known: Number of an entry that was there before.
    """
    listed = {number for number, _ in _listed(store, classifier) if number}
    newest = max(listed | {known})
    if 0 < newest - len(listed) <= MOST_ASKED_FOR:  # a listing's page may be older than the entries that it lacks
        listed = set(range(1, newest + 1))
    numbers = sorted(listed, reverse=True)
    bodies = get_many(store, [_key(classifier, number) for number in numbers])
    for number, body in zip(numbers, bodies, strict=True):
        if body is not None:
            yield number, body


def _strangers(store: ObjectStore, classifier: str) -> list[str]:
    """Returns the URIs of what lies among the entries and cannot be one."""
    return [uri_of(store, key) for number, key in _listed(store, classifier) if not number]


def _listed(store: ObjectStore, classifier: str) -> Iterator[tuple[int, str]]:
    """Yields the objects of the journal with their numbers; 0 for what is not named as an entry is."""
    prefix = layout.history(classifier)
    for found in store.list(prefix):
        match = FILE.fullmatch(found.key.removeprefix(prefix))
        number = int(match[1]) if match else 0
        yield (number if found.key == _key(classifier, number) else 0), found.key


def _entry(number: int, previous: str, what: Entry) -> JournalEntry:
    match what:
        case PromotionDecision():
            return JournalEntry(number, previous, decision=what)
        case Move():
            return JournalEntry(number, previous, move=what)
        case BaselineRegistration():
            return JournalEntry(number, previous, baseline=what)
        case Approval():
            return JournalEntry(number, previous, approval=what)
        case Retirement():
            return JournalEntry(number, previous, retirement=what)


def _parse(store: ObjectStore, classifier: str, number: int, body: bytes) -> JournalEntry | None:
    """Returns an entry, or None where the bytes are none."""
    try:
        return from_json(JournalEntry, body, _uri(store, classifier, number))
    except ArtifactIntegrityError:
        return None


def _holds(entry: JournalEntry | None, what: Entry) -> TypeGuard[JournalEntry]:
    return entry is not None and what in (entry.decision, entry.move, entry.baseline, entry.approval, entry.retirement)


def _advance_head(store: ObjectStore, classifier: str, newest: JournalHead) -> None:
    """Moves the head forward to an entry, never back; one that cannot be read is left for `problems` to name."""
    key = layout.journal_head(classifier)
    while True:
        try:
            head, etag = read_pointer(store, key, JournalHead)
        except ArtifactIntegrityError:
            return
        if (head is not None and head.number >= newest.number) or store.replace(key, to_json(newest), etag=etag):
            return


def _readable_head(store: ObjectStore, classifier: str) -> JournalHead | None:
    return _read_head(store, classifier)[0]


def _read_head(store: ObjectStore, classifier: str) -> tuple[JournalHead | None, list[str]]:
    """Returns the head, or None where there is none; and what is wrong with it if it cannot be read."""
    try:
        return read_pointer(store, layout.journal_head(classifier), JournalHead)[0], []
    except ArtifactIntegrityError as error:
        return None, [str(error)]


def _uri(store: ObjectStore, classifier: str, number: int) -> str:
    return uri_of(store, _key(classifier, number))


def _key(classifier: str, number: int) -> str:
    return f"{layout.history(classifier)}{number:08d}.json"
