"""Makes a challenger that the gates approved the champion, for the run that decided so; by a person: `by_hand.py`."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable

from include.retraining import journal
from include.retraining.artifacts import Move, PromotionDecision
from include.retraining.errors import ArtifactIntegrityError, PointerMovedError
from include.retraining.promotion.champion import ROUNDS, Reign, move_champion, read_reign
from include.retraining.promotion.evidence import withdrawn_versions
from include.retraining.registry import version_problems
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import read_manifest

logger = logging.getLogger(__name__)


def promote(
    run: Run, decision: PromotionDecision, *, decide_again: Callable[[], PromotionDecision] | None
) -> Move | PromotionDecision:
    """Makes an approved challenger the champion.

    Side effects, in this order: the decision is in the journal, the version is verified, the pointer moves, the journal
    gets the move. A repeat after a crash finds its own move and completes the journal, whoever is champion by then.

    Args:
        run: That decided.
        decision: Approved, and no dry run.
        decide_again: Compares with the champion of the moment it is called in, and journals what it decides; called
            where the champion is no longer the one that the decision met. None: that is a refusal.

    Returns:
        The move; or the decision, refused or a dry run, that it stays at.

    Raises:
        ArtifactIntegrityError: If the version is not whole or not what was decided about, or the registry is damaged.
        PointerMovedError: If others keep moving the champion; a retry begins anew.
        ValueError: If the decision does not act.
    """
    if not decision.acts:
        raise ValueError(f"Expected a decision that acts; {decision.challenger} was not to be promoted: {decision}.")
    for _ in range(ROUNDS):
        reign = read_reign(run.store, run.classifier)
        made = [it for it in reign.moves_of(run.run_id, "promotion") if _is_the_same(it, decision, run)]
        if made:
            return made[-1]
        if reign.version != decision.champion and decide_again is not None:
            decision = decide_again()
            if not decision.acts:
                return decision
            reign = read_reign(run.store, run.classifier)
            if reign.version != decision.champion:
                continue
        if reason := _why_no_longer(decision, reign):
            return _refused(run, decision, reign, reason)
        if move := _moved(run, decision, reign):
            return move
    raise PointerMovedError(uri_of(run.store, layout.champion(run.classifier)))


def _is_the_same(move: Move, decision: PromotionDecision, run: Run) -> bool:
    """A run that is done again after its end starts at another moment, and may promote anew."""
    return (move.resulting, move.moved_at) == (decision.challenger, run.started_at)


def _why_no_longer(decision: PromotionDecision, reign: Reign) -> str:
    """Returns what speaks against an approved challenger by now, as a sentence; empty where nothing does."""
    if reign.version != decision.champion:
        return (
            f"the champion changed from {decision.champion} to {reign.version} after the decision: "
            "run it again to compare with it"
        )
    withdrawn = withdrawn_versions(reign.entries).get(decision.challenger)
    return f"no run may make {decision.challenger} champion again: {withdrawn}" if withdrawn else ""


def _refused(run: Run, decision: PromotionDecision, reign: Reign, reason: str) -> PromotionDecision:
    refusal = dataclasses.replace(decision, approved=False, reasons=(reason,), resulting=reign.version)
    journal.append(run.store, run.classifier, refusal)
    return refusal


def _moved(run: Run, decision: PromotionDecision, reign: Reign) -> Move | None:
    """Moves the pointer and enters the move; None where another writer was first."""
    journal.append(run.store, run.classifier, decision)
    move = Move(
        incumbent=reign.version,
        resulting=decision.challenger,
        run_id=run.run_id,
        moved_at=run.started_at,
        window_end=decision.window_end,
        by=run.started_by,
        reason=_reason(decision),
    )
    digest = _whole(run, decision)
    try:
        move_champion(run.store, run.classifier, move, digest=digest, pointer=reign.pointer, etag=reign.etag)
    except PointerMovedError:
        return None
    journal.append(run.store, run.classifier, move)
    return move


def _reason(decision: PromotionDecision) -> str:
    if decision.rebaseline:
        return f"re-baseline: {decision.rebaseline}"
    return f"{sum(gate.passed for gate in decision.gates)} of {len(decision.gates)} gates passed"


def _whole(run: Run, decision: PromotionDecision) -> str:
    """Returns the digest of a version whose every file is what was decided about."""
    prefix = layout.version(run.classifier, decision.challenger)
    uri = uri_of(run.store, prefix)
    if problems := version_problems(run.store, run.classifier, decision.challenger):
        raise ArtifactIntegrityError(uri, "a whole version", "; ".join(problems).rstrip("."))
    digest = read_manifest(run.store, prefix).digest
    if decision.challenger_digest not in ("", digest):
        raise ArtifactIntegrityError(uri, f"content {decision.challenger_digest} as decided", f"content {digest}")
    return digest
