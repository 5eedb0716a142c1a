"""Which versions need not be kept, and how they are removed without a race with whoever makes one of them champion.

Light on purpose: nothing of a model is read.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from include.retraining import journal
from include.retraining.artifacts import PromotionDecision, Retirement, VersionRecord
from include.retraining.config import ClassifierConfig
from include.retraining.errors import PointerMovedError
from include.retraining.journal import JournalEntry
from include.retraining.promotion.champion import ROUNDS, Reign, read_reign, touch
from include.retraining.registry import is_version_name, unfinished_versions, version_names
from include.retraining.run import DECISION, VERSION
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import get_many
from include.retraining.storage.publishing import MANIFEST
from include.retraining.storage.records import from_json

logger = logging.getLogger(__name__)

UPLOAD_TAKES_AT_MOST = timedelta(days=1)


@dataclass(frozen=True)
class Kept:
    """A version that stays.

    Attributes:
        version: Its name.
        because: Why, in a few words.
    """

    version: str
    because: str


@dataclass(frozen=True)
class RetentionPlan:
    """What retention would do.

    Attributes:
        keep: Versions that stay, newest data window first.
        remove: Versions that go, and can never be champion again; those that an earlier retention was killed over too.
        unfinished: Uploads of more than a day ago that never were finished.
    """

    keep: tuple[Kept, ...]
    remove: tuple[str, ...]
    unfinished: tuple[str, ...]


def plan(config: ClassifierConfig, store: ObjectStore, *, now: datetime) -> RetentionPlan:
    """Returns what need not be kept.

    Kept are the champion, the last `promotion.keep_predecessors` champions before it, and whatever may still become
    champion: versions that nobody decided about, that a run has made and not decided about, that the gates approved
    since the last move and nobody vetoed; and all of them while there is no champion.

    Args:
        config: The recipe.
        store: The bucket.
        now: Uploads without a manifest are removed if nothing was written to them for a day before it.

    Side effects: none but settling: a move whose mover was killed before the journal had it is entered there.

    Raises:
        ArtifactIntegrityError: If pointer or journal are damaged: nobody knows then what is needed.
    """
    return _plan(config, store, read_reign(store, config.name), now)


def carry_out(
    config: ClassifierConfig, store: ObjectStore, plan: RetentionPlan, *, by: str, at: datetime
) -> Retirement | None:
    """Removes what a plan says, as far as it still holds.

    Side effects, in this order: the journal gets the retirement, the pointer is rewritten so that whoever read it
    before that can no longer move it, manifests are deleted, then files. A mover reads the pointer before the journal:
    it sees the retirement, or loses; and where it wins before the pointer is rewritten, all begins anew with its move.
    A repeat after a crash goes on where it was.

    Returns:
        What the journal got; None where it had it all.

    Raises:
        ArtifactIntegrityError: If pointer or journal are damaged; nothing is removed then.
        PointerMovedError: If the champion is moved again and again meanwhile; nothing is removed then.
    """
    retirement: Retirement | None = None
    for _ in range(ROUNDS):
        reign = read_reign(store, config.name)
        still = _plan(config, store, reign, at)
        remove = [name for name in plan.remove if name in still.remove]
        unfinished = [name for name in plan.unfinished if name in still.unfinished]
        if remove and reign.pointer is not None:
            retirement = _retire(config, store, reign, remove, by=by, at=at) or retirement
            try:
                touch(store, config.name, reign.pointer, reign.etag)
            except PointerMovedError:
                continue
        for name in (*remove, *unfinished):
            _delete(store, layout.version(config.name, name))
        logger.info("retention of %s: n_removed=%d n_unfinished=%d", config.name, len(remove), len(unfinished))
        return retirement
    raise PointerMovedError(uri_of(store, layout.champion(config.name)))


def retired_versions(entries: Iterable[JournalEntry]) -> dict[str, Retirement]:
    """Returns the versions that retention removed, with its entry.

    A move to a version after its retirement annuls that: such a mover won before the pointer was rewritten, and the
    version was not touched.

    Args:
        entries: The journal, oldest entry first.
    """
    retired: dict[str, Retirement] = {}
    for entry in entries:
        if entry.retirement is not None:
            retired |= dict.fromkeys(entry.retirement.versions, entry.retirement)
        if entry.move is not None:
            retired.pop(entry.move.resulting, None)
    return retired


def _plan(config: ClassifierConfig, store: ObjectStore, reign: Reign, now: datetime) -> RetentionPlan:
    needed = _needed(config, store, reign)
    retired = retired_versions(reign.entries)
    decided = {it.challenger for it in _decisions(reign.entries)}
    keep, remove = [], []
    for name in reversed(version_names(store, config.name)):
        because = needed.get(name) or _why_untouched(name, reign, is_decided=name in decided)
        if because:
            keep.append(Kept(name, because))
        else:
            remove.append(name)
    left = [name for name in unfinished_versions(store, config.name) if name not in needed and is_version_name(name)]
    remove += [name for name in left if name in retired]
    unfinished = [name for name in left if name not in retired and _is_old(store, config.name, name, now)]
    return RetentionPlan(tuple(keep), tuple(remove), tuple(unfinished))


def _why_untouched(name: str, reign: Reign, *, is_decided: bool) -> str:
    """Returns why a version that nothing names stays all the same; empty where it goes."""
    if not is_version_name(name):
        return "its name is not one of this registry's"
    if reign.pointer is None:
        return "there is no champion yet"
    return "" if is_decided else "nobody decided about it yet"


def _needed(config: ClassifierConfig, store: ObjectStore, reign: Reign) -> Mapping[str, str]:
    """Returns the versions that something names, whether they are there or not, each with the reason."""
    needed: dict[str, str] = {} if reign.version is None else {reign.version: "it is the champion"}
    for name in _former_champions(reign)[: config.promotion.keep_predecessors]:
        needed.setdefault(name, "a former champion that a rollback can go back to")
    for name in _promotable(reign.entries):
        needed.setdefault(name, "the gates approved it against this champion")
    for name, run_key in _of_open_runs(store, config.name):
        needed.setdefault(name, f"run {run_key} made it and did not decide yet")
    return needed


def _former_champions(reign: Reign) -> list[str]:
    """Returns every version that was champion before this one, the last one first."""
    names = [name for move in reversed(reign.moves) for name in (move.resulting, move.incumbent)]
    retired = retired_versions(reign.entries)
    return [name for name in dict.fromkeys(names) if name not in (None, reign.version) and name not in retired]


def _promotable(entries: Iterable[JournalEntry]) -> list[str]:
    """Returns what an approval, or a person, may still make champion: approved since the last move, and not vetoed."""
    approved: dict[str, None] = {}
    for entry in entries:
        if entry.move is not None:
            approved.clear()
        if entry.decision is not None and entry.decision.approved:
            approved[entry.decision.challenger] = None
        if entry.approval is not None and not entry.approval.approved:
            approved.pop(entry.approval.challenger, None)
    return list(approved)


def _of_open_runs(store: ObjectStore, classifier: str) -> list[tuple[str, str]]:
    """Returns the versions of runs that recorded one and no decision, with the keys of the runs."""
    prefixes = {key: layout.run(classifier, key) for key in store.list_folders(layout.runs(classifier))}
    versions = get_many(store, [f"{prefix}{VERSION}" for prefix in prefixes.values()])
    made = {
        key: from_json(VersionRecord, body, uri_of(store, f"{prefixes[key]}{VERSION}")).name
        for key, body in zip(prefixes, versions, strict=True)
        if body is not None
    }
    return [(name, key) for key, name in made.items() if not store.exists(f"{prefixes[key]}{DECISION}")]


def _decisions(entries: Iterable[JournalEntry]) -> list[PromotionDecision]:
    return [entry.decision for entry in entries if entry.decision is not None]


def _is_old(store: ObjectStore, classifier: str, name: str, now: datetime) -> bool:
    """Tells whether nothing was written to an upload for so long that nobody is at it any more."""
    written = [found.modified_at for found in store.list(layout.version(classifier, name))]
    return all(now - moment > UPLOAD_TAKES_AT_MOST for moment in written)


def _retire(
    config: ClassifierConfig, store: ObjectStore, reign: Reign, versions: Iterable[str], *, by: str, at: datetime
) -> Retirement | None:
    """Enters versions as retired, those that are not already."""
    new = tuple(name for name in versions if name not in retired_versions(reign.entries))
    if not new:
        return None
    reason = (
        f"neither champion nor one of the last {config.promotion.keep_predecessors} before it, "
        "and nothing waits to be decided about it"
    )
    retirement = Retirement(versions=new, by=by, retired_at=at, reason=reason)
    journal.append(store, config.name, retirement)
    return retirement


def _delete(store: ObjectStore, prefix: str) -> None:
    """Removes an artifact: without its manifest it is none, whatever is left of it by a crash.

    The manifest is deleted once more at the end: an upload that took itself for whole meanwhile lost its files.
    """
    store.delete(f"{prefix}{MANIFEST}")
    for found in list(store.list(prefix)):
        store.delete(found.key)
    store.delete(f"{prefix}{MANIFEST}")
