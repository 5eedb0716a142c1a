"""Challengers and what was decided about them, and what is told of champions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from include.retraining import journal, registry
from include.retraining.artifacts import Move, PromotionDecision, VersionRecord
from include.retraining.promotion.promotion import promote
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from tests.builders import CLASSIFIER, make_run
from tests.promotions import make_decision, publish_made_version

CHAMPION = layout.champion(CLASSIFIER)


def decision_on(version: VersionRecord, run: Run, **fields) -> PromotionDecision:
    """An approval that compared with whatever is champion now."""
    champion, etag = registry.champion(run.store, CLASSIFIER)
    return make_decision(
        challenger=version.name,
        challenger_digest=version.digest,
        champion=champion.version if champion else None,
        champion_etag=etag,
        resulting=version.name,
        run_id=run.run_id,
        **fields,
    )


def refusal_on(version: VersionRecord, run: Run) -> PromotionDecision:
    return dataclasses.replace(decision_on(version, run), approved=False, reasons=("it is worse",))


def never() -> PromotionDecision:
    raise AssertionError("nothing changed, so nothing was to be decided again")


def reigning(store: InMemoryStore) -> str:
    return registry.champion(store, CLASSIFIER)[0].version


def moves_of(store: InMemoryStore) -> list[Move]:
    return [entry.move for entry in journal.entries(store, CLASSIFIER) if entry.move is not None]


def decisions_of(store: InMemoryStore) -> list[PromotionDecision]:
    return [entry.decision for entry in journal.entries(store, CLASSIFIER) if entry.decision is not None]


def theirs_promoted(store: InMemoryStore, run_id: str = "theirs", model: bytes = b"theirs") -> VersionRecord:
    """Another run promotes another version."""
    theirs = make_run(store, run_id=run_id)
    version = publish_made_version(store, model=model)
    assert isinstance(promote(theirs, decision_on(version, theirs), decide_again=None), Move)
    return version


class OvertakenStore(InMemoryStore):
    """Something else happens between a run's read and its write of the pointer."""

    def __init__(self, objects: dict[str, bytes], *happens: Callable[[InMemoryStore], object]) -> None:
        super().__init__()
        self.objects.update(objects)
        self.happens = list(happens)

    def replace(self, key, body, **options):
        if key == CHAMPION and self.happens:
            happening, waiting = self.happens[0], self.happens[1:]
            self.happens = []  # what happens writes the pointer too
            happening(self)
            self.happens = waiting
        return super().replace(key, body, **options)
