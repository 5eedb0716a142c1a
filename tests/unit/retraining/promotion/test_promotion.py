from __future__ import annotations

import dataclasses

import pytest

from include.retraining import journal, registry, steps
from include.retraining.artifacts import Move, PromotionDecision, VersionRecord
from include.retraining.errors import ArtifactIntegrityError, PointerMovedError, StorageUnavailableError
from include.retraining.promotion.promotion import promote
from include.retraining.run import DECISION, PROMOTION, Run
from include.retraining.storage import layout
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST
from tests.builders import (
    CLASSIFIER,
    RUN_ID,
    STARTED_AT,
    WINDOW,
    crown,
    make_decision,
    make_run,
    publish_made_version,
)
from tests.stores import DyingStore, holding

CHAMPION = layout.champion(CLASSIFIER)


def decision_on(version: VersionRecord, store: InMemoryStore) -> PromotionDecision:
    """An approval that compared with whatever is champion now."""
    champion, etag = registry.champion(store, CLASSIFIER)
    return make_decision(challenger=version.name, champion=champion.version if champion else None, champion_etag=etag)


@pytest.fixture
def run() -> Run:
    return make_run()


@pytest.fixture
def version(run: Run) -> VersionRecord:
    return publish_made_version(run.store)


def test_the_first_champion_is_crowned_and_the_move_is_in_the_journal(run: Run, version: VersionRecord):
    move = promote(run, decision_on(version, run.store))
    assert move == Move(None, version.name, RUN_ID, STARTED_AT, WINDOW.end)
    champion, _ = registry.champion(run.store, CLASSIFIER)
    assert (champion.version, champion.uri, champion.digest) == (version.name, version.uri, version.digest)
    assert (champion.window_end, champion.previous, champion.run_id) == (WINDOW.end, None, RUN_ID)
    assert registry.champion_problems(run.store, CLASSIFIER) == []
    assert [entry.move for entry in journal.entries(run.store, CLASSIFIER)] == [move]


def test_a_second_champion_names_the_first(run: Run, version: VersionRecord):
    first = publish_made_version(run.store, model=b"first")
    crown(run.store, first)
    move = promote(run, decision_on(version, run.store))
    assert isinstance(move, Move)
    assert (move.incumbent, move.resulting) == (first.name, version.name)
    assert registry.champion(run.store, CLASSIFIER)[0].previous == first.name
    assert len(registry.version_names(run.store, CLASSIFIER)) == 2


def test_a_refused_challenger_is_not_promoted(run: Run, version: VersionRecord):
    before = dict(run.store.objects)
    with pytest.raises(ValueError, match="Expected an approved decision"):
        promote(run, make_decision("it is worse", challenger=version.name))
    assert run.store.objects == before


@pytest.mark.parametrize("name", [registry.MODEL, registry.LINEAGE, registry.CANDIDATE, MANIFEST])
@pytest.mark.parametrize("damage", ["deleted", "flipped"])
def test_a_version_that_is_not_whole_is_never_pointed_at(run: Run, version: VersionRecord, name: str, damage: str):
    key = f"{key_of(run.store, version.uri)}{name}"
    if damage == "deleted":
        run.store.delete(key)
    else:
        run.store.put(key, run.store.get(key)[:-1] + b"\x00")
    with pytest.raises(ArtifactIntegrityError, match="expected a whole version"):
        promote(run, decision_on(version, run.store))
    assert not run.store.exists(CHAMPION)
    assert journal.entries(run.store, CLASSIFIER) == []


def test_a_champion_that_changed_after_the_decision_turns_the_approval_into_a_refusal(run: Run, version: VersionRecord):
    decision = decision_on(version, run.store)
    other = publish_made_version(run.store, model=b"other")
    crown(run.store, other)
    refusal = promote(run, decision)
    assert isinstance(refusal, PromotionDecision)
    assert not refusal.approved
    assert refusal.reasons == (
        f"the champion changed from None to {other.name} after the decision: run it again to compare with it",
    )
    assert registry.champion(run.store, CLASSIFIER)[0].version == other.name
    assert [entry.decision for entry in journal.entries(run.store, CLASSIFIER)] == [refusal]
    assert promote(run, decision) == refusal
    assert len(journal.entries(run.store, CLASSIFIER)) == 1


class OvertakenStore(InMemoryStore):
    """Another run crowns its version between this run's read and its write."""

    def __init__(self, objects: dict[str, bytes], theirs: VersionRecord) -> None:
        super().__init__()
        self.objects.update(objects)
        self.theirs: VersionRecord | None = theirs

    def replace(self, key, body, *, etag):
        if key == CHAMPION and self.theirs is not None:
            theirs, self.theirs = self.theirs, None
            crown(self, theirs)
        return super().replace(key, body, etag=etag)


def test_a_lost_race_for_the_pointer_is_worth_a_retry_and_the_retry_refuses(run: Run, version: VersionRecord):
    theirs = publish_made_version(run.store, model=b"theirs")
    decision = decision_on(version, run.store)
    raced = dataclasses.replace(run, store=OvertakenStore(run.store.objects, theirs))
    with pytest.raises(PointerMovedError):
        promote(raced, decision)
    assert registry.champion(raced.store, CLASSIFIER)[0].version == theirs.name
    retried = promote(raced, decision)
    assert isinstance(retried, PromotionDecision)
    assert not retried.approved
    assert registry.champion(raced.store, CLASSIFIER)[0].version == theirs.name


@pytest.mark.parametrize("writes", [0, 1])
def test_a_promotion_that_is_killed_at_any_write_is_completed_by_its_retry(
    run: Run, version: VersionRecord, writes: int
):
    decision = decision_on(version, run.store)
    dying = DyingStore(writes, run.store.objects)
    with pytest.raises(StorageUnavailableError):
        promote(dataclasses.replace(run, store=dying), decision)
    assert (CHAMPION in dying.objects) is (writes == 1)
    left = dataclasses.replace(run, store=holding(dying.objects))
    move = promote(left, decision)
    promote(run, decision)
    assert left.store.objects == run.store.objects
    assert [entry.move for entry in journal.entries(left.store, CLASSIFIER)] == [move]


def test_a_promotion_that_is_repeated_after_it_ended_changes_nothing(run: Run, version: VersionRecord):
    decision = decision_on(version, run.store)
    move = promote(run, decision)
    before = dict(run.store.objects)
    assert promote(run, decision) == move
    assert run.store.objects == before


def test_a_retry_does_not_take_the_crown_back_from_a_later_champion(run: Run, version: VersionRecord):
    decision = decision_on(version, run.store)
    promote(run, decision)
    later = publish_made_version(run.store, model=b"later")
    crown(run.store, later)
    refusal = promote(run, decision)
    assert isinstance(refusal, PromotionDecision)
    assert not refusal.approved
    assert registry.champion(run.store, CLASSIFIER)[0].version == later.name


def test_the_step_records_the_move_beside_the_decision(run: Run, version: VersionRecord):
    uri = run.record(DECISION, decision_on(version, run.store))
    move = steps.promote_challenger(run, uri)
    assert run.recall(PROMOTION, Move) == move
    assert run.recall(DECISION, PromotionDecision).approved


def test_the_step_records_that_it_was_overtaken_and_says_so_again_when_it_is_repeated(run: Run, version: VersionRecord):
    uri = run.record(DECISION, decision_on(version, run.store))
    crown(run.store, publish_made_version(run.store, model=b"other"))
    refusal = steps.promote_challenger(run, uri)
    assert isinstance(refusal, PromotionDecision)
    assert run.recall(DECISION, PromotionDecision) == refusal
    before = dict(run.store.objects)
    assert steps.promote_challenger(run, uri) == refusal
    assert run.store.objects == before
