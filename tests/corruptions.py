"""A registry with a champion, a former one and an approved challenger; and all the ways in which it may be damaged.

What each damage must lead to is asked by `Trial`: it is detected and named by the audit, refused where it matters, and
a rollback to a whole version still works.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal
from unittest.mock import patch

from include.retraining.artifacts import Move, PromotionDecision, RollbackOrder, VersionRecord
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError
from include.retraining.promotion.audit import audit
from include.retraining.promotion.promotion import promote
from include.retraining.promotion.rollback import roll_back
from include.retraining.registry import MODEL, champion, champion_problems, version_problems
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import MANIFEST, Manifest, parse_manifest, read_manifest, sha256
from tests.races import CONFIG, decide_about, make_entrant

CLASSIFIER = CONFIG.name


@dataclass(frozen=True)
class Registry:
    """Three versions: one that was the champion, one that is, and one that a run was about to promote.

    Attributes:
        store: Where they lie.
        older: The former champion.
        current: The champion.
        challenger: Approved against the champion, and not promoted yet.
        run: The challenger's.
        decision: About the challenger.
    """

    store: ObjectStore
    older: VersionRecord
    current: VersionRecord
    challenger: VersionRecord
    run: Run
    decision: PromotionDecision

    def key(self, version: VersionRecord, name: str) -> str:
        """Returns the key of a file of a version."""
        return f"{layout.version(CLASSIFIER, version.name)}{name}"

    def entry_keys(self) -> list[str]:
        """Returns the keys of the journal's entries."""
        return [found.key for found in self.store.list(layout.history(CLASSIFIER))]


def build_registry(store: ObjectStore) -> Registry:
    """Makes the registry with the code that makes every registry."""
    champions = []
    for day, name in enumerate(("older", "current")):
        run, version = make_entrant(store, name, day, n_bytes=200)
        outcome = promote(run, decide_about(run, version), decide_again=None)
        if not isinstance(outcome, Move):
            raise AssertionError(f"Expected a move to {name}; got {outcome.reasons}.")
        champions.append(version)
    run, challenger = make_entrant(store, "challenger", 2, n_bytes=200)
    older, current = champions
    return Registry(store, older, current, challenger, run, decide_about(run, challenger))


@dataclass(frozen=True)
class Corruption:
    """One way to damage the registry.

    Attributes:
        name: What it is, in words.
        of: What is damaged.
        do: Does it; returns the key of the object that must be named.
    """

    name: str
    of: Literal["challenger", "champion", "journal", "pointer"]
    do: Callable[[Registry], str]


@dataclass(frozen=True)
class Trial:
    """What became of a damage.

    Attributes:
        detected: Whether the audit has a problem that it did not have before.
        named: Whether the damaged object's URI is in it.
        refused: Whether nothing was promoted to, or over, what is damaged.
        recovered: Whether a rollback to the former champion left a whole champion.
    """

    detected: bool
    named: bool
    refused: bool
    recovered: bool

    @property
    def caught(self) -> bool:
        """Whether all of it holds."""
        return self.detected and self.named and self.refused and self.recovered


def try_corruption(store: ObjectStore, corruption: Corruption) -> Trial:
    """Damages a fresh registry and looks what comes of it."""
    registry = build_registry(store)
    sound = audit(store, CLASSIFIER)
    if sound.problems:
        raise AssertionError(f"Expected a registry without problems; got {sound.problems}.")
    key = corruption.do(registry)
    problems = audit(store, CLASSIFIER).problems
    with _without_loading():
        refused = _is_refused(registry, corruption)
        recovered = _recovers(registry)
        # Only once it is no longer the champion can somebody try to go back to it.
        refused = refused and (corruption.of != "champion" or _rollback_is_refused(registry, registry.current))
    return Trial(
        detected=bool(problems),
        named=any(uri_of(store, key) in f"{problem.where}: {problem.sentence}" for problem in problems),
        refused=refused,
        recovered=recovered,
    )


def _is_refused(registry: Registry, corruption: Corruption) -> bool:
    """Tells whether what the pipeline does next is refused, and leaves the pointer alone."""
    if corruption.of == "champion":
        return bool(champion_problems(registry.store, CLASSIFIER))
    before = registry.store.get(layout.champion(CLASSIFIER))
    try:
        outcome = promote(
            registry.run, registry.decision, decide_again=lambda: decide_about(registry.run, registry.challenger)
        )
    except (ArtifactIntegrityError, ConfigurationError):
        pass
    else:
        if isinstance(outcome, Move):
            return False
    return registry.store.get(layout.champion(CLASSIFIER)) == before


def _recovers(registry: Registry) -> bool:
    move = _roll_back(registry, registry.older, "it is damaged")
    pointer, _ = champion(registry.store, CLASSIFIER)
    is_there = pointer is not None and pointer.version == registry.older.name == move.resulting
    return is_there and not champion_problems(registry.store, CLASSIFIER)


def _rollback_is_refused(registry: Registry, version: VersionRecord) -> bool:
    before = registry.store.get(layout.champion(CLASSIFIER))
    try:
        _roll_back(registry, version, "a mistake")
    except (ArtifactIntegrityError, ConfigurationError):
        return registry.store.get(layout.champion(CLASSIFIER)) == before
    return False


def _roll_back(registry: Registry, version: VersionRecord, reason: str) -> Move:
    at = registry.run.started_at + timedelta(hours=1)
    order = RollbackOrder(version.name, reason, run_id=f"rollback__{version.name}", at=at, by="somebody")
    return roll_back(CONFIG, registry.store, order)


@contextmanager
def _without_loading() -> Iterator[None]:
    """Spares a rollback the loading of networks: the versions here hold none. Every file is compared all the same."""
    with patch("include.retraining.promotion.rollback.require_sound", only_whole):
        yield


def only_whole(store: ObjectStore, classifier: str, version: str) -> Manifest:
    """Stands for `soundness.require_sound` where models are a few bytes that no library loads."""
    prefix = layout.version(classifier, version)
    problems = version_problems(store, classifier, version)
    if problems:
        raise ArtifactIntegrityError(uri_of(store, prefix), "a whole version", "; ".join(problems))
    return read_manifest(store, prefix)


def _half_uploaded(registry: Registry) -> str:
    registry.store.delete(registry.key(registry.challenger, MODEL))
    key = registry.key(registry.challenger, MANIFEST)
    registry.store.delete(key)
    return key


def _flip_bit(of: Callable[[Registry], VersionRecord]) -> Callable[[Registry], str]:
    def do(registry: Registry) -> str:
        key = registry.key(of(registry), MODEL)
        body = bytearray(registry.store.get(key))
        body[len(body) // 2] ^= 1
        registry.store.put(key, bytes(body))
        return key

    return do


def _delete_file(of: Callable[[Registry], VersionRecord], name: str) -> Callable[[Registry], str]:
    def do(registry: Registry) -> str:
        key = registry.key(of(registry), name)
        registry.store.delete(key)
        return key

    return do


def _forge(of: Callable[[Registry], VersionRecord]) -> Callable[[Registry], str]:
    """Another model, and a manifest that fits it: what only somebody with a memory of the first one can see."""

    def do(registry: Registry) -> str:
        version = of(registry)
        key = registry.key(version, MANIFEST)
        manifest = parse_manifest(registry.store.get(key), key)
        registry.store.put(registry.key(version, MODEL), b"another model")
        forged = Manifest({**manifest.files, MODEL: sha256(b"another model")})
        registry.store.put(key, forged.to_json())
        return key

    return do


def _escape(registry: Registry) -> str:
    """A manifest that names a file outside of its version."""
    key = registry.key(registry.challenger, MANIFEST)
    manifest = parse_manifest(registry.store.get(key), key)
    registry.store.put(key, Manifest({**manifest.files, "../../champion.json": sha256(b"")}).to_json())
    return key


def _remove_entry(position: int) -> Callable[[Registry], str]:
    def do(registry: Registry) -> str:
        key = registry.entry_keys()[position]
        registry.store.delete(key)
        return key

    return do


def _edit_entry(position: int) -> Callable[[Registry], str]:
    def do(registry: Registry) -> str:
        key = registry.entry_keys()[position]
        registry.store.put(key, registry.store.get(key).replace(b"race__", b"pace__"))
        return key

    return do


def _swap_entries(registry: Registry) -> str:
    first, second = registry.entry_keys()[1:3]
    bodies = registry.store.get(second), registry.store.get(first)
    for key, body in zip((first, second), bodies, strict=True):
        registry.store.put(key, body)
    return first


def _garble_entry(registry: Registry) -> str:
    key = registry.entry_keys()[2]
    registry.store.put(key, b"{")
    return key


def _point(**fields: object) -> Callable[[Registry], str]:
    def do(registry: Registry) -> str:
        key = layout.champion(CLASSIFIER)
        pointer = json.loads(registry.store.get(key)) | fields
        registry.store.put(key, json.dumps(pointer).encode())
        return key

    return do


def _point_past_the_journal(registry: Registry) -> str:
    """Somebody put the pointer to a whole version with an editor."""
    return _point(version=registry.older.name, uri=registry.older.uri, digest=registry.older.digest)(registry)


def _garble_pointer(registry: Registry) -> str:
    registry.store.put(layout.champion(CLASSIFIER), b"no JSON")
    return layout.champion(CLASSIFIER)


def _challenger(registry: Registry) -> VersionRecord:
    return registry.challenger


def _current(registry: Registry) -> VersionRecord:
    return registry.current


CORRUPTIONS = (
    Corruption("a challenger uploaded halfway", "challenger", _half_uploaded),
    Corruption("a bit of the challenger flipped", "challenger", _flip_bit(_challenger)),
    Corruption("a file of the challenger deleted", "challenger", _delete_file(_challenger, MODEL)),
    Corruption("a challenger with a forged manifest", "challenger", _forge(_challenger)),
    Corruption("a challenger whose manifest leaves its prefix", "challenger", _escape),
    Corruption("a bit of the champion flipped", "champion", _flip_bit(_current)),
    Corruption("a file of the champion deleted", "champion", _delete_file(_current, MODEL)),
    Corruption("the manifest of the champion deleted", "champion", _delete_file(_current, MANIFEST)),
    Corruption("a champion with a forged manifest", "champion", _forge(_current)),
    Corruption("the journal's first entry removed", "journal", _remove_entry(0)),
    Corruption("an entry in the middle removed", "journal", _remove_entry(2)),
    Corruption("the journal's last entry removed", "journal", _remove_entry(-1)),
    Corruption("an entry in the middle edited", "journal", _edit_entry(2)),
    Corruption("the journal's last entry edited", "journal", _edit_entry(-1)),
    Corruption("two entries swapped", "journal", _swap_entries),
    Corruption("an entry that is no JSON", "journal", _garble_entry),
    Corruption("champion.json naming nothing", "pointer", _point(version="20300101T0000-000000000000")),
    Corruption("champion.json naming a folder elsewhere", "pointer", _point(version="../../other")),
    Corruption("champion.json with another digest", "pointer", _point(digest="0" * 64)),
    Corruption("champion.json moved past the journal", "pointer", _point_past_the_journal),
    Corruption("champion.json that is no JSON", "pointer", _garble_pointer),
)
