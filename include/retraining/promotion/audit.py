"""Looks for anything in a registry that is not as it was published, decided or moved. It only reads.

Light on purpose: whether a version loads and answers is for `soundness.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from include.retraining import journal
from include.retraining.artifacts import ChampionPointer, Move
from include.retraining.errors import ArtifactIntegrityError, PointerMovedError
from include.retraining.journal import JournalEntry
from include.retraining.promotion.champion import ROUNDS
from include.retraining.promotion.retention import retired_versions
from include.retraining.registry import (
    champion_problems,
    is_version_name,
    unfinished_versions,
    version_names,
    version_problems,
)
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import MANIFEST, read_manifest_if_any
from include.retraining.storage.records import from_json


@dataclass(frozen=True)
class Problem:
    """Something that is not as it was.

    Attributes:
        where: URI of the object, or of its prefix.
        sentence: What is wrong with it.
    """

    where: str
    sentence: str


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        problems: Damage; empty where all is as it was.
        notes: What is no damage and good to know: uploads that are not finished, a move that is not in the journal yet.
        n_versions: Versions that are published.
        n_entries: Entries of the journal that can be read.
    """

    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    n_versions: int
    n_entries: int


@dataclass(frozen=True)
class _State:
    """Pointer and journal of one moment.

    Attributes:
        exists: Whether there is a pointer.
        pointer: What it says; None where there is none, or where it cannot be read.
        entries: What can be read of the journal, oldest entry first.
    """

    exists: bool
    pointer: ChampionPointer | None
    entries: Sequence[JournalEntry]

    @property
    def moves(self) -> list[Move]:
        return [entry.move for entry in self.entries if entry.move is not None]

    @property
    def pending(self) -> Move | None:
        """The pointer's move where its mover was killed before the journal had it, and none came after it."""
        move, moves = self.pointer.move if self.pointer else None, self.moves
        if move is None or move in moves or move.incumbent != (moves[-1].resulting if moves else None):
            return None
        return move


def audit(store: ObjectStore, classifier: str) -> Audit:
    """Compares the champion, every version and the journal with what they say of themselves and of each other.

    Damage is a problem among the results, never an error.

    Raises:
        StorageUnavailableError: If the store does not answer.
        PointerMovedError: If the champion is moved again and again meanwhile.
    """
    state = _read_state(store, classifier)
    published, unfinished = version_names(store, classifier), unfinished_versions(store, classifier)
    sentences = champion_problems(store, classifier) if state.exists else []
    sentences += [f"{_pointer_uri(store, classifier)}: {sentence}" for sentence in _contradictions(state)]
    for name in published:
        sentences += _problems_of_version(store, classifier, name)
    sentences += journal.problems(store, classifier)
    sentences += _broken_promises(store, classifier, state, published)
    notes = [
        f"{_version_uri(store, classifier, name)}: an upload that was not finished, or not yet." for name in unfinished
    ]
    if state.pending is not None:
        notes.append(
            f"{_pointer_uri(store, classifier)}: its move is not in the journal yet; the next mover enters it."
        )
    return Audit(
        problems=tuple(_problem(sentence) for sentence in dict.fromkeys(sentences)),
        notes=tuple(_problem(sentence) for sentence in notes),
        n_versions=len(published),
        n_entries=len(state.entries),
    )


def _read_state(store: ObjectStore, classifier: str) -> _State:
    """Reads pointer and journal while nobody moves the pointer."""
    key = layout.champion(classifier)
    for _ in range(ROUNDS):
        body = _get_or_none(store, key)
        entries = journal.readable_entries(store, classifier)
        if _get_or_none(store, key) == body:
            return _State(body is not None, _pointer(body, uri_of(store, key)), entries)
    raise PointerMovedError(uri_of(store, key))


def _contradictions(state: _State) -> Iterator[str]:
    """Yields where pointer and journal do not agree; a pointer that cannot be read is named elsewhere."""
    pointer, moves = state.pointer, state.moves
    if pointer is None:
        if moves and not state.exists:
            yield f"expected version {moves[-1].resulting}, to which the journal's last move went, got no object."
        return
    move = pointer.move
    if move is not None and (move.resulting, move.incumbent) != (pointer.version, pointer.previous):
        says = f"its own move went from {move.incumbent} to {move.resulting}"
        yield f"names {pointer.version} after {pointer.previous}; {says}."
    if state.pending is not None:
        return
    if not moves:
        yield f"no move in the journal made {pointer.version} the champion."
    elif moves[-1] != move if move is not None else moves[-1].resulting != pointer.version:
        yield (
            f"names {pointer.version}, moved by {pointer.run_id}; "
            f"the journal's last move went to {moves[-1].resulting}, by {moves[-1].run_id}."
        )


def _problems_of_version(store: ObjectStore, classifier: str, name: str) -> list[str]:
    if not is_version_name(name):
        return [f"{_version_uri(store, classifier, name)}: expected the name of a version, got {name!r:.100}."]
    return version_problems(store, classifier, name)


def _broken_promises(store: ObjectStore, classifier: str, state: _State, published: Sequence[str]) -> Iterator[str]:
    """Yields versions that the journal names and that are not there, or not what was decided about."""
    retired = retired_versions(state.entries)
    decided = {it.challenger: it for it in (entry.decision for entry in state.entries) if it is not None}
    named = {move.resulting for move in state.moves}
    named |= {it.challenger for it in (entry.decision for entry in state.entries) if it is not None and it.acts}
    for name in sorted(named - set(published) - set(retired)):
        uri = f"{_version_uri(store, classifier, name)}{MANIFEST}"
        yield f"{uri}: expected version {name}, which the journal names, got nothing."
    for name in sorted(decided.keys() & set(published) - set(retired)):
        digest, known = _content(store, classifier, name), decided[name].challenger_digest
        if digest and known and digest != known:
            uri = f"{_version_uri(store, classifier, name)}{MANIFEST}"
            yield f"{uri}: expected content {known}, which {decided[name].run_id} decided about, got {digest}."


def _content(store: ObjectStore, classifier: str, name: str) -> str:
    """Returns the digest of a version's manifest; empty where it cannot be read, which is named elsewhere."""
    try:
        manifest = read_manifest_if_any(store, layout.version(classifier, name))
    except ArtifactIntegrityError:
        return ""
    return manifest.digest if manifest else ""


def _pointer(body: bytes | None, uri: str) -> ChampionPointer | None:
    try:
        return None if body is None else from_json(ChampionPointer, body, uri)
    except ArtifactIntegrityError:
        return None


def _get_or_none(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except KeyError:
        return None


def _pointer_uri(store: ObjectStore, classifier: str) -> str:
    return uri_of(store, layout.champion(classifier))


def _version_uri(store: ObjectStore, classifier: str, name: str) -> str:
    return uri_of(store, layout.version(classifier, name))


def _problem(sentence: str) -> Problem:
    """Splits what every sentence about an object begins with from the rest."""
    where, _, rest = sentence.partition(": ")
    return Problem(where, rest)
