from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from include.retraining import journal, registry, steps
from include.retraining.artifacts import Approval, Move, PromotionDecision, Retirement, VersionRecord
from include.retraining.errors import (
    ArtifactIntegrityError,
    PointerMovedError,
    StorageUnavailableError,
)
from include.retraining.promotion.champion import settle, touch
from include.retraining.promotion.promotion import promote
from include.retraining.run import APPROVAL, DECISION, PROMOTION, Run
from include.retraining.storage import layout
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST
from tests.builders import CLASSIFIER, RUN_ID, STARTED_AT, WINDOW, make_config, make_run
from tests.promotions import crown, publish_made_version
from tests.stores import DyingStore, RememberingStore, holding
from tests.unit.retraining.promotion.challengers import (
    CHAMPION,
    OvertakenStore,
    decision_on,
    decisions_of,
    moves_of,
    never,
    refusal_on,
    reigning,
    theirs_promoted,
)


@pytest.fixture
def run() -> Run:
    return make_run()


@pytest.fixture
def version(run: Run) -> VersionRecord:
    return publish_made_version(run.store)


def test_the_first_champion_is_crowned_and_decision_and_move_are_in_the_journal(run: Run, version: VersionRecord):
    run = dataclasses.replace(run, started_by="ada")
    decision = decision_on(version, run)

    move = promote(run, decision, decide_again=never)

    assert move == Move(
        None, version.name, RUN_ID, STARTED_AT, WINDOW.end, kind="promotion", by="ada", reason="2 of 2 gates passed"
    )
    champion, _ = registry.champion(run.store, CLASSIFIER)
    assert (champion.version, champion.uri, champion.digest) == (version.name, version.uri, version.digest)
    assert (champion.window_end, champion.previous, champion.run_id) == (WINDOW.end, None, RUN_ID)
    assert champion.move == move
    assert registry.champion_problems(run.store, CLASSIFIER) == []
    assert [(entry.decision, entry.move) for entry in journal.entries(run.store, CLASSIFIER)] == [
        (decision, None),
        (None, move),
    ]


def test_a_second_champion_names_the_first(run: Run, version: VersionRecord):
    first = theirs_promoted(run.store)

    move = promote(run, decision_on(version, run), decide_again=never)

    assert (move.incumbent, move.resulting) == (first.name, version.name)
    assert registry.champion(run.store, CLASSIFIER)[0].previous == first.name


def test_a_champion_from_before_pointers_carried_moves_is_replaced(run: Run, version: VersionRecord):
    first = publish_made_version(run.store, model=b"first")
    crown(run.store, first)

    move = promote(run, decision_on(version, run), decide_again=never)

    assert (move.incumbent, reigning(run.store)) == (first.name, version.name)


def test_a_re_baseline_is_told_of_in_the_move(run: Run, version: VersionRecord):
    move = promote(run, decision_on(version, run, rebaseline="its labels are others"), decide_again=never)

    assert move.reason == "re-baseline: its labels are others"


@pytest.mark.parametrize("fields", [{"approved": False, "reasons": ("it is worse",)}, {"is_dry_run": True}])
def test_what_does_not_act_is_not_promoted(run: Run, version: VersionRecord, fields: dict):
    before = dict(run.store.objects)

    with pytest.raises(ValueError, match="Expected a decision that acts"):
        promote(run, dataclasses.replace(decision_on(version, run), **fields), decide_again=never)

    assert run.store.objects == before


@pytest.mark.parametrize("name", [registry.MODEL, registry.LINEAGE, registry.CANDIDATE, MANIFEST])
@pytest.mark.parametrize("damage", ["deleted", "flipped"])
def test_a_version_that_is_not_whole_is_never_pointed_at(run: Run, version: VersionRecord, name: str, damage: str):
    decision = decision_on(version, run)
    key = f"{key_of(run.store, version.uri)}{name}"
    if damage == "deleted":
        run.store.delete(key)
    else:
        run.store.put(key, run.store.get(key)[:-1] + b"\x00")

    with pytest.raises(ArtifactIntegrityError, match="expected a whole version"):
        promote(run, decision, decide_again=never)

    assert not run.store.exists(CHAMPION)
    assert moves_of(run.store) == []


def test_a_version_whose_manifest_was_forged_after_the_decision_is_never_pointed_at(run: Run, version: VersionRecord):
    decision = dataclasses.replace(decision_on(version, run), challenger_digest="0" * 64)

    with pytest.raises(ArtifactIntegrityError, match=f"expected content {'0' * 64} as decided"):
        promote(run, decision, decide_again=never)

    assert not run.store.exists(CHAMPION)


def test_while_the_journal_is_broken_nothing_is_promoted(run: Run, version: VersionRecord):
    theirs = theirs_promoted(run.store)
    decision = decision_on(version, run)
    run.store.delete(f"{layout.history(CLASSIFIER)}00000001.json")

    with pytest.raises(ArtifactIntegrityError, match="a journal without gaps or changes"):
        promote(run, decision, decide_again=never)

    assert reigning(run.store) == theirs.name


def test_a_champion_json_that_was_deleted_does_not_make_the_next_model_a_first_one(run: Run, version: VersionRecord):
    theirs = theirs_promoted(run.store)
    run.store.delete(CHAMPION)

    with pytest.raises(ArtifactIntegrityError, match=f"to version {theirs.name} by theirs, got no object"):
        promote(run, decision_on(version, run), decide_again=never)


def test_a_champion_that_changed_after_an_approval_by_a_person_turns_it_into_a_refusal(
    run: Run, version: VersionRecord
):
    decision = decision_on(version, run)
    other = theirs_promoted(run.store)

    refusal = promote(run, decision, decide_again=None)

    assert isinstance(refusal, PromotionDecision)
    assert not refusal.acts
    assert refusal.reasons == (
        f"the champion changed from None to {other.name} after the decision: run it again to compare with it",
    )
    assert refusal.resulting == reigning(run.store) == other.name
    assert decisions_of(run.store)[-1] == refusal
    n_entries = len(journal.entries(run.store, CLASSIFIER))
    assert promote(run, decision, decide_again=None) == refusal
    assert len(journal.entries(run.store, CLASSIFIER)) == n_entries


def test_whoever_was_overtaken_decides_again_and_may_win_against_the_new_champion(run: Run, version: VersionRecord):
    decision = decision_on(version, run)
    other = theirs_promoted(run.store)

    move = promote(run, decision, decide_again=lambda: decision_on(version, run))

    assert (move.incumbent, move.resulting) == (other.name, version.name)
    assert reigning(run.store) == version.name
    assert [it.champion for it in decisions_of(run.store) if it.run_id == RUN_ID] == [other.name]


def test_whoever_was_overtaken_decides_again_and_may_stay_at_a_refusal(run: Run, version: VersionRecord):
    decision = decision_on(version, run)
    other = theirs_promoted(run.store)

    outcome = promote(run, decision, decide_again=lambda: refusal_on(version, run))

    assert outcome == refusal_on(version, run)
    assert reigning(run.store) == other.name


def test_whoever_loses_the_race_for_the_pointer_decides_again_at_once(run: Run, version: VersionRecord):
    raced = dataclasses.replace(run, store=OvertakenStore(run.store.objects, theirs_promoted))
    decided = []

    def decide_again() -> PromotionDecision:
        decided.append(reigning(raced.store))
        return decision_on(version, raced)

    move = promote(raced, decision_on(version, raced), decide_again=decide_again)

    assert isinstance(move, Move)
    assert decided == [move.incumbent]
    assert [it.resulting for it in moves_of(raced.store)] == [move.incumbent, version.name]
    assert journal.problems(raced.store, CLASSIFIER) == []


def test_a_pointer_that_was_only_touched_is_moved_without_another_decision(run: Run, version: VersionRecord):
    theirs_promoted(run.store)
    raced = dataclasses.replace(
        run, store=OvertakenStore(run.store.objects, lambda store: touch(store, CLASSIFIER, *settle(store, CLASSIFIER)))
    )

    move = promote(raced, decision_on(version, raced), decide_again=never)

    assert (move.resulting, reigning(raced.store)) == (version.name, version.name)
    assert registry.champion(raced.store, CLASSIFIER)[0].generation == 3


def test_a_retirement_that_comes_before_the_pointer_is_written_refuses_the_challenger(run: Run, version: VersionRecord):
    theirs = theirs_promoted(run.store)

    def retire(store: InMemoryStore) -> None:
        journal.append(store, CLASSIFIER, Retirement((version.name,), "ada", STARTED_AT, "it is old"))
        touch(store, CLASSIFIER, *settle(store, CLASSIFIER))

    raced = dataclasses.replace(run, store=OvertakenStore(run.store.objects, retire))

    refusal = promote(raced, decision_on(version, raced), decide_again=never)

    assert refusal.reasons == (f"no run may make {version.name} champion again: ada had it removed: it is old",)
    assert reigning(raced.store) == theirs.name


def test_where_others_never_stop_moving_the_champion_a_retry_is_asked_for(run: Run, version: VersionRecord):
    rivals = [
        lambda store, number=number: theirs_promoted(store, f"rival {number}", f"rival {number}".encode())
        for number in range(20)
    ]
    raced = dataclasses.replace(run, store=OvertakenStore(run.store.objects, *rivals))

    with pytest.raises(PointerMovedError):
        promote(raced, decision_on(version, raced), decide_again=lambda: decision_on(version, raced))


def test_of_promoters_in_parallel_each_that_decides_again_comes_to_its_turn_and_no_move_is_lost():
    store = InMemoryStore()
    runs = [make_run(store, run_id=f"run {number}") for number in range(6)]
    versions = [publish_made_version(store, model=run.run_id.encode()) for run in runs]
    together = threading.Barrier(len(runs))
    first = [decision_on(version, run) for version, run in zip(versions, runs, strict=True)]

    def race(run: Run, version: VersionRecord, decision: PromotionDecision) -> Move | PromotionDecision:
        together.wait(10)
        return promote(run, decision, decide_again=lambda: decision_on(version, run))

    with ThreadPoolExecutor(len(runs)) as threads:
        outcomes = list(threads.map(race, runs, versions, first))

    moves = moves_of(store)
    assert sorted(move.run_id for move in moves) == sorted(run.run_id for run in runs)
    assert [move.incumbent for move in moves] == [None, *(move.resulting for move in moves[:-1])]
    assert sorted(outcomes, key=moves.index) == moves
    assert journal.problems(store, CLASSIFIER) == []
    assert reigning(store) == moves[-1].resulting


def test_of_promoters_in_parallel_who_may_not_decide_again_one_wins():
    store = InMemoryStore()
    runs = [make_run(store, run_id=f"run {number}") for number in range(6)]
    versions = [publish_made_version(store, model=run.run_id.encode()) for run in runs]
    decisions = [decision_on(version, run) for version, run in zip(versions, runs, strict=True)]
    together = threading.Barrier(len(runs))

    def race(run: Run, decision: PromotionDecision) -> Move | PromotionDecision:
        together.wait(10)
        return promote(run, decision, decide_again=None)

    with ThreadPoolExecutor(len(runs)) as threads:
        outcomes = list(threads.map(race, runs, decisions))

    (move,) = [it for it in outcomes if isinstance(it, Move)]
    assert moves_of(store) == [move]
    assert sum(not it.approved for it in decisions_of(store)) == len(runs) - 1
    assert journal.problems(store, CLASSIFIER) == []


@pytest.mark.parametrize("is_overtaken", [False, True])
def test_a_promotion_that_is_killed_at_any_write_is_completed_by_its_retry(
    run: Run, version: VersionRecord, is_overtaken: bool
):
    theirs_promoted(run.store)
    decision = decision_on(version, run)
    if is_overtaken:
        theirs_promoted(run.store, "later", b"later")
    undisturbed = RememberingStore(run.store.objects)

    def promoted(store: InMemoryStore) -> Move | PromotionDecision:
        on = dataclasses.replace(run, store=store)
        return promote(on, decision, decide_again=lambda: decision_on(version, on))

    move = promoted(undisturbed)
    n_writes = len(undisturbed.states)
    assert n_writes >= 3  # the decision, the pointer, the move; and the journal's head
    for writes in range(n_writes):
        dying = DyingStore(writes, run.store.objects)
        with pytest.raises(StorageUnavailableError):
            promoted(dying)
        left = holding(dying.objects)
        assert promoted(left) == move
        assert left.objects == undisturbed.objects


def test_a_promotion_that_is_repeated_after_it_ended_changes_nothing(run: Run, version: VersionRecord):
    decision = decision_on(version, run)
    move = promote(run, decision, decide_again=never)
    before = dict(run.store.objects)

    assert promote(run, decision, decide_again=never) == move

    assert run.store.objects == before


def test_a_retry_finds_that_it_promoted_and_does_not_take_the_crown_back_from_a_later_champion(
    run: Run, version: VersionRecord
):
    decision = decision_on(version, run)
    move = promote(run, decision, decide_again=never)
    later = theirs_promoted(run.store)

    assert promote(run, decision, decide_again=never) == move

    assert reigning(run.store) == later.name


def test_a_run_that_is_done_again_from_its_start_may_promote_again(run: Run, version: VersionRecord):
    promote(run, decision_on(version, run), decide_again=never)
    later = theirs_promoted(run.store)
    again = dataclasses.replace(run, started_at=STARTED_AT + timedelta(hours=3))

    move = promote(again, decision_on(version, again), decide_again=never)

    assert (move.incumbent, move.resulting) == (later.name, version.name)


def test_the_step_records_the_move_beside_the_decision(run: Run, version: VersionRecord):
    uri = run.record(DECISION, decision_on(version, run))

    move = steps.promote_challenger(run, uri, rebaseline=False)

    assert run.recall(PROMOTION, Move) == move
    assert run.recall(DECISION, PromotionDecision).approved


def test_the_step_leaves_a_dry_run_alone(run: Run, version: VersionRecord):
    decision = decision_on(version, run, is_dry_run=True)
    uri = run.record(DECISION, decision)

    assert steps.promote_challenger(run, uri, rebaseline=False) == decision

    assert not run.store.exists(CHAMPION)


@pytest.mark.parametrize(
    ("by", "reason"), [("ada", "vetoed by ada"), ("", "nobody approved it in time")], ids=["a veto", "silence"]
)
def test_the_step_heeds_a_no_whoever_calls_it(run: Run, version: VersionRecord, by: str, reason: str):
    uri = run.record(DECISION, decision_on(version, run))
    steps.record_approval(run, approved=False, by=by, answered_at=STARTED_AT)

    outcome = steps.promote_challenger(run, uri, rebaseline=False)

    assert (outcome.acts, outcome.reasons, outcome.resulting) == (False, (reason,), None)
    assert not run.store.exists(CHAMPION)


def test_the_step_promotes_nothing_without_the_approval_that_the_recipe_requires(version: VersionRecord, run: Run):
    run = dataclasses.replace(run, config=make_config(promotion={"require_approval": True}))
    uri = run.record(DECISION, decision_on(version, run))

    outcome = steps.promote_challenger(run, uri, rebaseline=False)

    assert "the recipe requires that a person approves" in outcome.reasons[0]
    assert not run.store.exists(CHAMPION)

    uri = run.record(DECISION, decision_on(version, run))
    steps.record_approval(run, approved=True, by="ada", answered_at=STARTED_AT)
    assert isinstance(steps.promote_challenger(run, uri, rebaseline=False), Move)


def test_the_step_does_not_decide_again_about_what_a_person_approved(
    run: Run, version: VersionRecord, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(steps, "evaluate_challenger", never)
    uri = run.record(DECISION, decision_on(version, run))
    steps.record_approval(run, approved=True, by="ada", answered_at=STARTED_AT)
    other = theirs_promoted(run.store)

    refusal = steps.promote_challenger(run, uri, rebaseline=False)

    assert not refusal.acts
    assert run.recall(DECISION, PromotionDecision) == refusal
    assert reigning(run.store) == other.name
    before = dict(run.store.objects)
    assert steps.promote_challenger(run, uri, rebaseline=False) == refusal
    assert run.store.objects == before


def test_the_step_scores_the_new_champion_where_it_was_overtaken(
    run: Run, version: VersionRecord, monkeypatch: pytest.MonkeyPatch
):
    uri = run.record(DECISION, decision_on(version, run))
    theirs_promoted(run.store)
    calls = []

    def evaluate(_: Run, *uris: str) -> str:
        calls.append([uri.rpartition("/")[2] for uri in uris])
        return "evaluation"

    def decide(run: Run, evaluation: str, *, allowed: bool, rebaseline: bool) -> str:
        calls.append([evaluation, allowed, rebaseline])
        return run.record(DECISION, refusal_on(version, run))

    monkeypatch.setattr(steps, "evaluate_challenger", evaluate)
    monkeypatch.setattr(steps, "decide_promotion", decide)

    outcome = steps.promote_challenger(run, uri, rebaseline=True)

    assert outcome == refusal_on(version, run)
    assert calls == [
        ["version.json", "selection.json", "snapshot.json", "embedding.json"],
        ["evaluation", True, True],
    ]


def test_an_answer_is_in_the_journal_once_however_often_it_is_recorded(run: Run, version: VersionRecord):
    run.record(DECISION, decision_on(version, run))

    for _ in range(2):
        steps.record_approval(run, approved=True, by="ada", answered_at=STARTED_AT)

    approval = Approval(version.name, RUN_ID, approved=True, by="ada", answered_at=STARTED_AT)
    assert [entry.approval for entry in journal.entries(run.store, CLASSIFIER)] == [approval]
    assert run.recall(APPROVAL, Approval) == approval
