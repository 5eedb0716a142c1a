"""Makes a version that the gates approved the champion because a person says so, some time after the decision."""

from __future__ import annotations

from datetime import datetime

from include.retraining import journal
from include.retraining.artifacts import Approval, Move, PromotionDecision
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ConfigurationError, PointerMovedError
from include.retraining.promotion.champion import ROUNDS, Reign, move_champion, read_reign
from include.retraining.promotion.retention import retired_versions
from include.retraining.promotion.soundness import require_sound
from include.retraining.registry import require_version_name
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of


def promote_by_hand(
    config: ClassifierConfig, store: ObjectStore, version: str, *, reason: str, by: str, run_id: str, at: datetime
) -> Move:
    """Makes a version the champion that the gates approved against the present one: a dry run's, or the first one's.

    A person may carry out what the gates approved, and no more: a refusal, a veto, or another champion since then takes
    a new run.

    Args:
        config: The recipe.
        store: Where.
        version: The challenger's name.
        reason: Why; the journal keeps it.
        by: Who asks.
        run_id: Of the command; a repeat of it moves nothing twice.
        at: When it started.

    Raises:
        ConfigurationError: If the version is not approved against the present champion, or is retired or vetoed.
        ArtifactIntegrityError: If it is not sound or not what was decided about, or the registry is damaged.
        PointerMovedError: If others keep moving the champion.
    """
    require_version_name(version)
    for _ in range(ROUNDS):
        reign = read_reign(store, config.name)
        if made := reign.moves_of(run_id, "promotion"):
            return made[-1]
        decision = _approved(config.name, version, reign)
        manifest = require_sound(store, config.name, version)
        if manifest.digest != decision.challenger_digest:
            raise ConfigurationError(
                f"version {version}",
                f"the gates approved content {decision.challenger_digest or 'that nobody noted'}, it has "
                f"{manifest.digest}",
                _run_again(config.name),
            )
        move = Move(reign.version, version, run_id, at, decision.window_end, kind="promotion", by=by, reason=reason)
        try:
            move_champion(store, config.name, move, digest=manifest.digest, pointer=reign.pointer, etag=reign.etag)
        except PointerMovedError:
            continue  # by retention, or by another mover: then the decision is about another champion
        journal.append(store, config.name, move)
        return move
    raise PointerMovedError(uri_of(store, layout.champion(config.name)))


def _approved(classifier: str, version: str, reign: Reign) -> PromotionDecision:
    """Returns the decision that allows a version to be promoted by hand."""
    if version == reign.version:
        raise ConfigurationError(f"version {version}", "it is the champion already", "There is nothing to do")
    decided = [it for it in reign.entries if it.decision is not None and it.decision.challenger == version]
    decision = decided[-1].decision if decided else None
    if decision is None:
        problem = "nobody decided about it yet"
    elif not decision.approved:
        problem = f"it was refused: {'; '.join(decision.reasons)}"
    elif decision.champion != reign.version:
        problem = f"it was compared with {decision.champion or 'no champion'}, and the champion is {reign.version}"
    else:
        problem = _spoken_against(version, decided[-1].number, reign)
        if not problem:
            return decision
    raise ConfigurationError(f"version {version}", problem, _run_again(classifier))


def _spoken_against(version: str, since: int, reign: Reign) -> str:
    """Returns what was entered against an approved version after the decision; empty where nothing was."""
    if retirement := retired_versions(reign.entries).get(version):
        return f"{retirement.by} had it removed: {retirement.reason}"
    for entry in reign.entries:
        if entry.approval is not None and entry.number > since and _is_veto(entry.approval, version):
            return f"it was vetoed by {entry.approval.by}" if entry.approval.by else "nobody approved it in time"
    return ""


def _is_veto(approval: Approval, version: str) -> bool:
    return approval.challenger == version and not approval.approved


def _run_again(classifier: str) -> str:
    return (
        "What the gates decide about the present champion counts: start another run of the same days, "
        f"python -m include.retraining run {classifier} --from DAY --no-promote, and promote what it approves"
    )
