"""How `champion.json` is read and moved, so that no move is ever missing in the journal.

The pointer carries its last move. Whoever reads it to decide or to move enters that move into the journal first, should
its mover have been killed between the two. Why a mover moves is elsewhere: `promotion.py`, `rollback.py`.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from include.retraining import journal
from include.retraining.artifacts import ChampionPointer, Move
from include.retraining.errors import ArtifactIntegrityError, PointerMovedError
from include.retraining.journal import Journal, JournalEntry
from include.retraining.registry import champion as read_champion
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.pointers import move_pointer
from include.retraining.storage.records import from_json

logger = logging.getLogger(__name__)

ROUNDS = 8  # times that a mover begins anew because others moved the champion meanwhile


@dataclass(frozen=True)
class Reign:
    """The champion, and how it came to that.

    Attributes:
        pointer: The champion; None where there is none, or where the pointer cannot be read.
        etag: The pointer's tag; None where there is no pointer.
        entries: The journal, the champion's own move included, oldest entry first.
    """

    pointer: ChampionPointer | None
    etag: str | None
    entries: Sequence[JournalEntry]

    @property
    def version(self) -> str | None:
        """The champion's name."""
        return None if self.pointer is None else self.pointer.version

    @property
    def moves(self) -> list[Move]:
        """All moves, oldest first."""
        return [entry.move for entry in self.entries if entry.move is not None]

    def moves_of(self, run_id: str, kind: str) -> list[Move]:
        """Returns the moves of a kind that one run, or one command, made, oldest first."""
        return [move for move in self.moves if (move.run_id, move.kind) == (run_id, kind)]

    def digests_of(self, version: str) -> set[str]:
        """Returns the digests of the bytes that decisions about a version were made on: one, unless it was forged."""
        decisions = (entry.decision for entry in self.entries if entry.decision is not None)
        return {it.challenger_digest for it in decisions if it.challenger == version and it.challenger_digest}

    @property
    def contradiction(self) -> str:
        """What the journal expects of the pointer where that says something else; empty where they agree.

        Pointers and entries from before they carried a move and a digest are not compared by these.
        """
        if not self.moves:
            return ""
        last, pointer = self.moves[-1], self.pointer
        by_move = f"the last move of the journal, to version {last.resulting} by {last.run_id}"
        if pointer is None:
            return by_move
        if pointer.move is not None and (pointer.move != last or pointer.version != last.resulting):
            return by_move
        known = self.digests_of(pointer.version)
        return f"digest {' or '.join(sorted(known))} as decided about" if known and pointer.digest not in known else ""


def read_reign(store: ObjectStore, classifier: str) -> Reign:
    """Returns the settled champion with the journal, after comparing the journal with itself and with the pointer.

    Raises:
        ArtifactIntegrityError: If pointer or journal cannot be read, the journal is broken, or the two contradict each
            other: then nobody knows what was decided, and nothing is promoted.
        PointerMovedError: If others move the champion faster than this can read.
    """
    for _ in range(ROUNDS):
        pointer, etag, history = _settled(store, classifier)
        if history.problems:
            uri = uri_of(store, layout.history(classifier))
            raise ArtifactIntegrityError(uri, "a journal without gaps or changes", "; ".join(history.problems))
        reign = Reign(pointer, etag, history.entries)
        if not reign.contradiction:
            return reign
        if read_champion(store, classifier)[1] == etag:  # else it was moved between the two reads
            got = "no object" if pointer is None else f"version {pointer.version} with digest {pointer.digest}"
            raise ArtifactIntegrityError(uri_of(store, layout.champion(classifier)), reign.contradiction, got)
    raise PointerMovedError(uri_of(store, layout.champion(classifier)))


def read_damaged_reign(store: ObjectStore, classifier: str) -> Reign:
    """Returns what can be read of champion and journal, for whoever replaces a champion because something is broken."""
    key = layout.champion(classifier)
    pointer, etag = None, None
    try:
        body, etag = store.get_tagged(key)
        pointer = from_json(ChampionPointer, body, uri_of(store, key))
    except KeyError:
        logger.warning("there is no %s", uri_of(store, key))
    except ArtifactIntegrityError as error:
        logger.warning("the champion cannot be read: %s", error)
    if pointer is not None and pointer.move is not None:
        journal.append(store, classifier, pointer.move)
    return Reign(pointer, etag, tuple(journal.readable_entries(store, classifier)))


def settle(store: ObjectStore, classifier: str) -> tuple[ChampionPointer | None, str | None]:
    """Returns the champion and its pointer's tag, once the move that made it champion is in the journal.

    What is read of the journal afterwards is never older than the pointer.

    Side effects: enters that move where it is missing. Pointers from before they carried a move are left at that; so is
    one whose move does not go on from the journal's last: nobody made it, and `read_reign` refuses it.

    Raises:
        ArtifactIntegrityError: If the pointer cannot be read.
    """
    pointer, etag, _ = _settled(store, classifier)
    return pointer, etag


def _settled(store: ObjectStore, classifier: str) -> tuple[ChampionPointer | None, str | None, Journal]:
    """Returns the settled champion, and the journal that it was settled in."""
    pointer, etag = read_champion(store, classifier)
    history = journal.read(store, classifier)
    if pointer is not None and pointer.move is not None:
        moves = [entry.move for entry in history.entries if entry.move is not None]
        if pointer.move in moves:
            journal.append(store, classifier, pointer.move)  # its mover may have been killed before it moved the head
        elif _goes_on(pointer, moves):
            journal.append(store, classifier, pointer.move)
            history = journal.read(store, classifier)
    return pointer, etag, history


def _goes_on(pointer: ChampionPointer, moves: Sequence[Move]) -> bool:
    """Tells whether a pointer's move may be the journal's next; a rollback may also start from what it repairs."""
    move = pointer.move
    if move is None or move.resulting != pointer.version:
        return False
    return not moves or move.kind == "rollback" or move.incumbent == moves[-1].resulting


def move_champion(
    store: ObjectStore,
    classifier: str,
    move: Move,
    *,
    digest: str,
    pointer: ChampionPointer | None,
    etag: str | None,
) -> ChampionPointer:
    """Points `champion.json` at another version, by one conditional write; the journal is the caller's next step.

    Args:
        store: Where.
        classifier: Whose champion.
        move: From where to where, by whom and why.
        digest: Of the new champion's manifest.
        pointer: What `settle` returned; None where there is none, or where it cannot be read.
        etag: Its tag.

    Raises:
        PointerMovedError: If another writer was first; nothing is overwritten.
    """
    moved = ChampionPointer(
        version=move.resulting,
        uri=uri_of(store, layout.version(classifier, move.resulting)),
        digest=digest,
        window_end=move.window_end,
        previous=move.incumbent,
        run_id=move.run_id,
        generation=1 if pointer is None else pointer.generation + 1,
        move=move,
    )
    move_pointer(store, layout.champion(classifier), moved, etag=etag)
    logger.info("champion of %s: %s -> %s kind=%s", classifier, move.incumbent, move.resulting, move.kind)
    return moved


def touch(store: ObjectStore, classifier: str, pointer: ChampionPointer, etag: str | None) -> None:
    """Writes the pointer anew, with nothing changed but its generation: who read it before can no longer move it.

    Raises:
        PointerMovedError: If another writer was first.
    """
    again = dataclasses.replace(pointer, generation=pointer.generation + 1)
    move_pointer(store, layout.champion(classifier), again, etag=etag)
