"""Moves the champion pointer to an approved challenger, by one conditional write."""

from __future__ import annotations

import dataclasses
import logging

from include.retraining import journal
from include.retraining.artifacts import ChampionPointer, Move, PromotionDecision
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.registry import champion as read_champion
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.pointers import move_pointer
from include.retraining.storage.publishing import problems_of, read_manifest

logger = logging.getLogger(__name__)


def promote(run: Run, decision: PromotionDecision) -> Move | PromotionDecision:
    """Makes an approved challenger the champion.

    Side effects, in this order: the version is verified, the pointer moves, the journal gets the move. A repeat after a
    crash between the last two finds the pointer where it put it and only completes the journal.

    Returns:
        The move; or a refusal where the champion is no longer the one that the decision compared with.

    Raises:
        ArtifactIntegrityError: If a file of the version is missing or differs from its manifest.
        PointerMovedError: If another writer wins the race for the pointer; the retry then refuses.
        ValueError: If the decision is a refusal.
    """
    if not decision.approved:
        raise ValueError(f"Expected an approved decision; {decision.challenger} was refused: {decision.reasons}.")
    pointer, etag = read_champion(run.store, run.classifier)
    moved_before = pointer is not None and (pointer.version, pointer.run_id) == (decision.challenger, run.run_id)
    if not moved_before:
        if etag != decision.champion_etag:
            return _overtaken(run, decision, pointer)
        move_pointer(run.store, layout.champion(run.classifier), _pointer(run, decision), etag=etag)
    move = Move(
        incumbent=decision.champion,
        resulting=decision.challenger,
        run_id=run.run_id,
        moved_at=run.started_at,
        window_end=decision.window_end,
    )
    journal.append(run.store, run.classifier, move)
    logger.info("champion of %s: %s -> %s", run.classifier, move.incumbent, move.resulting)
    return move


def _pointer(run: Run, decision: PromotionDecision) -> ChampionPointer:
    prefix = layout.version(run.classifier, decision.challenger)
    problems = problems_of(run.store, prefix)
    if problems:
        raise ArtifactIntegrityError(uri_of(run.store, prefix), "a whole version", "; ".join(problems))
    return ChampionPointer(
        version=decision.challenger,
        uri=uri_of(run.store, prefix),
        digest=read_manifest(run.store, prefix).digest,
        window_end=decision.window_end,
        previous=decision.champion,
        run_id=run.run_id,
    )


def _overtaken(run: Run, decision: PromotionDecision, pointer: ChampionPointer | None) -> PromotionDecision:
    now = pointer.version if pointer else None
    reason = (
        f"the champion changed from {decision.champion} to {now} after the decision: run it again to compare with it"
    )
    refusal = dataclasses.replace(decision, approved=False, reasons=(reason,))
    journal.append(run.store, run.classifier, refusal)
    return refusal
