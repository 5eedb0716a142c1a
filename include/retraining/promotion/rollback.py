"""Makes an earlier champion the champion again: the way out of a bad promotion, and of a damaged registry.

What it goes back to is proven sound before the pointer moves. The version that it leaves is withdrawn: no run makes it
champion again, a person can.
"""

from __future__ import annotations

import json
import logging

from include.retraining import journal
from include.retraining.artifacts import Move, RollbackOrder
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, PointerMovedError
from include.retraining.promotion.champion import (
    ROUNDS,
    Reign,
    move_champion,
    read_damaged_reign,
    read_reign,
)
from include.retraining.promotion.evidence import withdrawn_versions
from include.retraining.promotion.retention import retired_versions
from include.retraining.promotion.soundness import require_sound
from include.retraining.registry import LABELS, is_version_name, read_version, require_version_name
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.publishing import MANIFEST, Manifest, read_manifest, read_published

logger = logging.getLogger(__name__)


def roll_back(config: ClassifierConfig, store: ObjectStore, order: RollbackOrder) -> Move:
    """Makes an earlier champion the champion again.

    Without a version in the order that is the newest former champion that is not withdrawn: a second rollback goes
    further back, never forth to what the first one left. A broken journal is warned of and does not stop it, nor does a
    `champion.json` that names nothing or cannot be read. A repeat of the same order moves nothing twice.

    The version must have the labels of the present champion or of the recipe: other labels are another service.

    Raises:
        ConfigurationError: If the order cannot be carried out: no reason, nothing to go back to, a version that never
            was champion, is it already, is retired or has other labels; or if another version became champion
            meanwhile, which the order was not about.
        ArtifactIntegrityError: If the version is not sound.
        PointerMovedError: If the pointer is written again and again meanwhile.
    """
    if not order.reason.strip():
        raise ConfigurationError("rollback, reason", "there is none", "Say why, the journal keeps it")
    met: Reign | None = None
    for _ in range(ROUNDS):
        reign, is_whole = _read(store, config.name)
        if made := reign.moves_of(order.run_id, "rollback"):
            return made[-1]
        if met is not None and reign.version != met.version:
            raise ConfigurationError(
                f"rollback of {config.name}",
                f"the champion changed from {met.version} to {reign.version} meanwhile",
                "Look at the new one, and order again where it does badly too",
            )
        met = reign
        if move := _moved(config, store, order, reign, is_whole=is_whole):
            return move
    raise PointerMovedError(uri_of(store, layout.champion(config.name)))


def _read(store: ObjectStore, classifier: str) -> tuple[Reign, bool]:
    """Returns champion and journal as far as they can be read, and whether nothing is wrong with them."""
    try:
        return read_reign(store, classifier), True
    except ArtifactIntegrityError as error:
        logger.warning("the rollback goes on in a damaged registry: %s", error)
        return read_damaged_reign(store, classifier), False


def _moved(
    config: ClassifierConfig, store: ObjectStore, order: RollbackOrder, reign: Reign, *, is_whole: bool
) -> Move | None:
    """Moves the pointer and enters the move; None where another writer was first."""
    version = order.version or _predecessor(config.name, reign)
    require_version_name(version)
    _require_eligible(config.name, version, reign, is_whole=is_whole)
    _require_published(store, config.name, version, reign)
    _require_labels(config, store, version, reign)
    manifest = require_sound(store, config.name, version)
    move = Move(
        incumbent=_incumbent(reign, version),
        resulting=version,
        run_id=order.run_id,
        moved_at=order.at,
        window_end=read_version(store, config.name, version).lineage.window_end,
        kind="rollback",
        by=order.by,
        reason=order.reason.strip(),
    )
    try:
        move_champion(store, config.name, move, digest=manifest.digest, pointer=reign.pointer, etag=reign.etag)
    except PointerMovedError:
        return None
    journal.append(store, config.name, move)
    return move


def _predecessor(classifier: str, reign: Reign) -> str:
    """Returns the newest former champion that no rollback left and retention did not remove."""
    withdrawn = withdrawn_versions(reign.entries)
    for version in _former(reign):
        if version != reign.version and version not in withdrawn:
            return version
    raise ConfigurationError(
        f"rollback of {classifier}",
        "there is no former champion that is neither withdrawn nor retired",
        f"Name a version; python -m include.retraining models list {classifier} shows all",
    )


def _former(reign: Reign) -> list[str]:
    """Returns every version that was champion, the last one first."""
    names = [reign.pointer.previous] if reign.pointer is not None else []
    for move in reversed(reign.moves):
        names += [move.resulting, move.incumbent]
    return list(dict.fromkeys(name for name in names if name is not None))


def _require_eligible(classifier: str, version: str, reign: Reign, *, is_whole: bool) -> None:
    """Refuses what may not be gone back to, whatever its bytes are."""
    where, listing = f"version {version}", f"python -m include.retraining models list {classifier} shows all"
    if retirement := retired_versions(reign.entries).get(version):
        raise ConfigurationError(where, f"it was removed: {retirement.reason}", f"Choose another; {listing}")
    # Where the pointer cannot be believed, writing it anew with the same version is the repair.
    if version == reign.version and not reign.contradiction:
        raise ConfigurationError(where, "it is the champion already", f"Choose another; {listing}")
    if version not in _former(reign):
        if is_whole:
            raise ConfigurationError(
                where,
                "it never was champion, so there is nothing to go back to",
                f"models promote is for what the gates approved; {listing}",
            )
        logger.warning("nobody can tell whether %s ever was champion: the journal is broken", version)


def _require_published(store: ObjectStore, classifier: str, version: str, reign: Reign) -> Manifest:
    prefix = layout.version(classifier, version)
    if not store.exists(f"{prefix}{MANIFEST}"):
        raise ConfigurationError(
            f"version {version}",
            f"{uri_of(store, prefix)} holds no published version",
            f"Choose another; python -m include.retraining models list {classifier} shows all",
        )
    manifest = read_manifest(store, prefix)
    known = reign.digests_of(version)
    if known and manifest.digest not in known:
        raise ArtifactIntegrityError(
            uri_of(store, prefix),
            f"content {' or '.join(sorted(known))} as decided about",
            f"content {manifest.digest}",
        )
    return manifest


def _require_labels(config: ClassifierConfig, store: ObjectStore, version: str, reign: Reign) -> None:
    """Refuses a version with other labels than those that are served or asked for: clients would not know them."""
    labels = _labels_of(store, config.name, version)
    if labels is None or labels == config.labels:
        return
    served = None
    if reign.version is not None and not reign.contradiction:
        try:
            served = _labels_of(store, config.name, reign.version)
        except ArtifactIntegrityError as error:
            logger.warning("the labels of the champion cannot be read: %s", error)
    if labels != served:
        raise ConfigurationError(
            f"version {version}",
            f"it has the labels {', '.join(labels)}, and the recipe {', '.join(config.labels)}",
            "Put its labels into the recipe first, if they are what is wanted",
        )


def _labels_of(store: ObjectStore, classifier: str, version: str) -> tuple[str, ...] | None:
    """Returns a version's labels; None where it lists none, which makes it unsound anyway."""
    prefix = layout.version(classifier, version)
    if LABELS not in read_manifest(store, prefix).files:
        return None
    return tuple(json.loads(read_published(store, prefix, LABELS)))


def _incumbent(reign: Reign, version: str) -> str | None:
    """Returns the version that is left, so far as the pointer names one that can be."""
    if reign.version is None or reign.version == version:
        return None
    return reign.version if is_version_name(reign.version) else None
