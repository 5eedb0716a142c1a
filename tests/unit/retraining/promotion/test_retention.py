from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from include.retraining import journal
from include.retraining.artifacts import Approval, Move, Retirement, VersionRecord
from include.retraining.errors import ArtifactIntegrityError, PointerMovedError, StorageUnavailableError
from include.retraining.promotion.audit import audit
from include.retraining.promotion.champion import move_champion, settle
from include.retraining.promotion.evidence import withdrawn_versions
from include.retraining.promotion.promotion import promote
from include.retraining.promotion.retention import Kept, RetentionPlan, carry_out, plan, retired_versions
from include.retraining.registry import MODEL, champion, version_names
from include.retraining.run import DECISION, VERSION, Run
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.memory import START, InMemoryStore
from include.retraining.storage.publishing import MANIFEST, read_manifest
from tests.builders import STARTED_AT, make_config, make_run
from tests.promotions import make_decision
from tests.races import GATES, decide_about, make_entrant
from tests.stores import DyingStore, RememberingStore, holding

NAME = "race"
CONFIG = make_config(NAME, gates=GATES, promotion={"keep_predecessors": 2})
NOW = START + timedelta(days=30)
UPLOAD = "20260105T0200-0123456789ab"


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


def enter(store: ObjectStore, day: int) -> tuple[Run, VersionRecord]:
    return make_entrant(store, f"day{day}", day, config=CONFIG, n_bytes=50)


def promoted(store: ObjectStore, *days: int) -> list[str]:
    """Makes versions champion, one after the other; returns their names."""
    names = []
    for day in days:
        run, version = enter(store, day)
        assert isinstance(promote(run, decide_about(run, version), decide_again=None), Move)
        names.append(version.name)
    return names


def refused(store: ObjectStore, day: int) -> str:
    """Publishes a version that is too old to replace the champion; returns its name."""
    run, version = enter(store, day)
    assert not decide_about(run, version).approved
    return version.name


def kept(plan: RetentionPlan) -> dict[str, str]:
    return {it.version: it.because for it in plan.keep}


def collect(store: ObjectStore, **fields: object) -> Retirement | None:
    return carry_out(CONFIG, store, plan(CONFIG, store, now=NOW), **{"by": "ada", "at": NOW, **fields})


def keys_of(store: InMemoryStore, name: str) -> list[str]:
    return [found.key for found in store.list(layout.version(NAME, name))]


def roll_back_to(store: ObjectStore, name: str) -> None:
    """Moves the champion as a rollback does, without the loading of models."""
    pointer, etag = settle(store, NAME)
    move = Move(
        pointer.version, name, "rollback__1", STARTED_AT, pointer.window_end, kind="rollback", by="ada", reason="bad"
    )
    move_champion(store, NAME, move, digest=digest_of(store, name), pointer=pointer, etag=etag)
    settle(store, NAME)


def digest_of(store: ObjectStore, name: str) -> str:
    return read_manifest(store, layout.version(NAME, name)).digest


def test_the_champion_and_the_last_champions_before_it_stay_and_older_ones_go(store: InMemoryStore):
    first, second, third, fourth, fifth = promoted(store, 0, 1, 2, 3, 4)

    planned = plan(CONFIG, store, now=NOW)

    assert planned == RetentionPlan(
        keep=(
            Kept(fifth, "it is the champion"),
            Kept(fourth, "a former champion that a rollback can go back to"),
            Kept(third, "a former champion that a rollback can go back to"),
        ),
        remove=(second, first),
        unfinished=(),
    )


def test_a_plan_writes_nothing(store: InMemoryStore):
    promoted(store, 0, 1, 2, 3)

    plan(CONFIG, DyingStore(0, store.objects), now=NOW)


def test_after_a_rollback_the_version_that_was_left_is_one_of_the_former_champions(store: InMemoryStore):
    first, second, third, fourth = promoted(store, 0, 1, 2, 3)
    roll_back_to(store, second)

    planned = plan(CONFIG, store, now=NOW)

    assert [it.version for it in planned.keep] == [fourth, third, second]
    assert planned.remove == (first,)


def test_a_champion_by_turns_counts_once(store: InMemoryStore):
    first, second, third = promoted(store, 0, 1, 2)
    for name in (second, third, second, third):
        roll_back_to(store, name)

    planned = plan(CONFIG, store, now=NOW)

    assert [it.version for it in planned.keep] == [third, second, first]
    assert planned.remove == ()


def test_what_was_refused_goes_and_what_nobody_decided_about_stays(store: InMemoryStore):
    (current,) = promoted(store, 5)
    old = refused(store, 1)
    _, undecided = enter(store, 2)

    planned = plan(CONFIG, store, now=NOW)

    assert kept(planned) == {current: "it is the champion", undecided.name: "nobody decided about it yet"}
    assert planned.remove == (old,)


def test_while_there_is_no_champion_everything_stays(store: InMemoryStore):
    run, version = enter(store, 0)
    journal.append(store, NAME, dataclasses.replace(make_decision("it is bad"), challenger=version.name))

    assert kept(plan(CONFIG, store, now=NOW)) == {version.name: "there is no champion yet"}
    assert collect(store) is None


@pytest.mark.parametrize("is_dry_run", [False, True], ids=["approval", "dry run"])
def test_what_was_approved_against_this_champion_stays_until_a_veto_or_a_move(store: InMemoryStore, is_dry_run: bool):
    promoted(store, 0)
    run, version = enter(store, 1)
    decision = decide_about(run, version)
    if is_dry_run:
        journal.append(store, NAME, dataclasses.replace(decision, is_dry_run=True))
    assert kept(plan(CONFIG, store, now=NOW))[version.name] == "the gates approved it against this champion"
    vetoed, moved = holding(store.objects), holding(store.objects)

    journal.append(vetoed, NAME, Approval(version.name, run.run_id, approved=False, by="ada", answered_at=STARTED_AT))
    promoted(moved, 2)

    assert plan(CONFIG, vetoed, now=NOW).remove == (version.name,)
    assert plan(CONFIG, moved, now=NOW).remove == (version.name,)


def test_an_approval_is_no_veto(store: InMemoryStore):
    promoted(store, 0)
    run, version = enter(store, 1)
    decide_about(run, version)

    journal.append(store, NAME, Approval(version.name, run.run_id, approved=True, by="ada", answered_at=STARTED_AT))

    assert plan(CONFIG, store, now=NOW).remove == ()


def test_what_a_run_made_anew_and_did_not_decide_about_stays_though_an_earlier_run_refused_it(store: InMemoryStore):
    promoted(store, 5)
    old = refused(store, 1)
    run = make_run(store, CONFIG, run_id="manual__again")
    run.record(VERSION, VersionRecord(old, "s3://memory/", "0" * 64, 0.0))

    assert kept(plan(CONFIG, store, now=NOW))[old] == "run manual__again made it and did not decide yet"
    run.record(DECISION, make_decision("it is old", challenger=old))
    assert plan(CONFIG, store, now=NOW).remove == (old,)


def test_runs_of_another_classifier_keep_nothing(store: InMemoryStore):
    promoted(store, 5)
    old = refused(store, 1)
    make_run(store, make_config("race_2")).record(VERSION, VersionRecord(old, "s3://memory/", "0" * 64, 0.0))

    assert plan(CONFIG, store, now=NOW).remove == (old,)


def test_an_upload_goes_a_day_after_its_last_write_and_not_before(store: InMemoryStore):
    promoted(store, 0)
    store.now = START + timedelta(days=10)
    store.put(f"{layout.version(NAME, UPLOAD)}{MODEL}", b"half")
    day = timedelta(days=1)

    assert plan(CONFIG, store, now=store.now + day).unfinished == ()
    assert plan(CONFIG, store, now=store.now + day + timedelta(seconds=1)).unfinished == (UPLOAD,)


def test_an_upload_that_still_goes_on_stays_however_early_it_began(store: InMemoryStore):
    promoted(store, 0)
    store.put(f"{layout.version(NAME, UPLOAD)}{MODEL}", b"half")
    store.now = NOW - timedelta(hours=1)
    store.put(f"{layout.version(NAME, UPLOAD)}labels.json", b"[]")

    assert plan(CONFIG, store, now=NOW).unfinished == ()


def test_an_upload_that_went_on_since_the_plan_stays(store: InMemoryStore):
    promoted(store, 0)
    key = f"{layout.version(NAME, UPLOAD)}{MODEL}"
    store.put(key, b"half")
    planned = plan(CONFIG, store, now=NOW)
    store.now = NOW
    store.put(f"{layout.version(NAME, UPLOAD)}labels.json", b"[]")

    carry_out(CONFIG, store, planned, by="ada", at=NOW)

    assert planned.unfinished == (UPLOAD,)
    assert store.exists(key)


def test_an_old_upload_is_removed_without_an_entry_and_without_touching_the_champion(store: InMemoryStore):
    promoted(store, 0)
    before = dict(store.objects)
    store.put(f"{layout.version(NAME, UPLOAD)}{MODEL}", b"half")

    assert collect(store) is None

    assert store.objects == before


def test_what_is_left_of_a_needed_version_is_no_unfinished_upload(store: InMemoryStore):
    former, current = promoted(store, 0, 1)
    for name in (former, current):
        store.delete(f"{layout.version(NAME, name)}{MANIFEST}")

    planned = plan(CONFIG, store, now=NOW)

    assert (planned.remove, planned.unfinished) == ((), ())


def test_what_is_called_as_no_version_is_never_removed(store: InMemoryStore):
    promoted(store, 0)
    store.put(f"{layout.version(NAME, 'backup')}{MANIFEST}", b"{}")
    store.put(f"{layout.version(NAME, 'notes')}{MODEL}", b"half")

    planned = plan(CONFIG, store, now=NOW)

    assert kept(planned)["backup"] == "its name is not one of this registry's"
    assert (planned.remove, planned.unfinished) == ((), ())


def damaged_pointer(store: InMemoryStore) -> None:
    store.put(layout.champion(NAME), b"{")


def other_pointer(store: InMemoryStore) -> None:
    other = version_names(store, NAME)[0]
    document = json.loads(store.get(layout.champion(NAME)))
    store.put(layout.champion(NAME), json.dumps(document | {"version": other}).encode())


def damaged_journal(store: InMemoryStore) -> None:
    store.delete(f"{layout.history(NAME)}00000002.json")


@pytest.mark.parametrize("damage", [damaged_pointer, other_pointer, damaged_journal])
def test_where_pointer_or_journal_are_damaged_nothing_is_removed(
    store: InMemoryStore, damage: Callable[[InMemoryStore], None]
):
    promoted(store, 0, 1, 2, 3)
    planned = plan(CONFIG, store, now=NOW)
    damage(store)
    before = dict(store.objects)

    with pytest.raises(ArtifactIntegrityError):
        plan(CONFIG, store, now=NOW)
    with pytest.raises(ArtifactIntegrityError):
        carry_out(CONFIG, store, planned, by="ada", at=NOW)

    assert store.objects == before


def test_what_is_removed_is_gone_and_written_down_and_nothing_else_changes(store: InMemoryStore):
    first, second, third = promoted(store, 0, 1, 2)[:3]
    fourth = promoted(store, 3)[0]
    before, pointer = dict(store.objects), champion(store, NAME)[0]

    retirement = collect(store)

    assert retirement.versions == (first,)
    assert (retirement.by, retirement.retired_at) == ("ada", NOW)
    assert "the last 2 before it" in retirement.reason
    assert journal.entries(store, NAME)[-1].retirement == retirement
    assert version_names(store, NAME) == [second, third, fourth]
    assert champion(store, NAME)[0] == dataclasses.replace(pointer, generation=pointer.generation + 1)
    gone = before.keys() - store.objects.keys()
    assert gone == {key for key in before if key.startswith(layout.version(NAME, first))}
    changed = {key for key, body in store.objects.items() if before.get(key) != body}
    assert len(changed) == 3, "the pointer, the entry and the head"
    assert audit(store, NAME).problems == ()
    assert first in withdrawn_versions(journal.entries(store, NAME))


def test_where_there_is_nothing_to_remove_nothing_is_written(store: InMemoryStore):
    promoted(store, 0, 1)

    assert collect(DyingStore(0, store.objects)) is None


def test_only_what_the_plan_says_is_removed(store: InMemoryStore):
    first, second, *_ = promoted(store, 0, 1, 2, 3, 4)
    planned = dataclasses.replace(plan(CONFIG, store, now=NOW), remove=(second,))

    assert carry_out(CONFIG, store, planned, by="ada", at=NOW).versions == (second,)

    assert first in version_names(store, NAME)


def test_what_became_champion_since_the_plan_stays(store: InMemoryStore):
    first, *_ = promoted(store, 0, 1, 2, 3)
    planned = plan(CONFIG, store, now=NOW)
    assert planned.remove == (first,)
    roll_back_to(store, first)

    assert carry_out(CONFIG, store, planned, by="ada", at=NOW) is None

    assert champion(store, NAME)[0].version == first
    assert audit(store, NAME).problems == ()


def test_a_manifest_goes_before_the_files_that_it_lists():
    store = RememberingStore()
    first, *_ = promoted(store, 0, 1, 2, 3)
    prefix = layout.version(NAME, first)
    whole = {key for key in store.objects if key.startswith(prefix)}
    n_before = len(store.states)

    collect(store)

    partly = [state for state in store.states[n_before:] if 0 < len(whole & state.keys()) < len(whole)]
    assert partly
    assert all(f"{prefix}{MANIFEST}" not in state for state in partly)


@pytest.mark.parametrize("writes", range(12))
def test_a_retention_that_is_killed_at_any_write_is_completed_by_the_next_one(store: InMemoryStore, writes: int):
    first, second, *others = promoted(store, 0, 1, 2, 3, 4)
    dying = DyingStore(writes, store.objects)
    with pytest.raises(StorageUnavailableError):
        collect(dying)
    left = holding(dying.objects)
    assert audit(left, NAME).problems == ()

    planned = plan(CONFIG, left, now=NOW)
    collect(left, by="grace")

    assert set(planned.remove) >= {name for name in (first, second) if keys_of(left, name)}
    assert version_names(left, NAME) == others
    assert not [key for name in (first, second) for key in keys_of(left, name)]
    retired = [entry.retirement.versions for entry in journal.entries(left, NAME) if entry.retirement]
    assert retired == [(second, first)]
    assert audit(left, NAME).problems == ()


def test_before_an_interrupted_retention_is_completed_the_pointer_is_rewritten_once_more(store: InMemoryStore):
    first, *_ = promoted(store, 0, 1, 2, 3)
    dying = DyingStore(2, store.objects)  # the entry and the head
    with pytest.raises(StorageUnavailableError):
        collect(dying)
    left = holding(dying.objects)
    pointer, etag = champion(left, NAME)
    assert (retired_versions(journal.entries(left, NAME)).keys(), bool(keys_of(left, first))) == ({first}, True)

    assert collect(left) is None

    assert keys_of(left, first) == []
    with pytest.raises(PointerMovedError):
        move_champion(left, NAME, pointer.move, digest="0" * 64, pointer=pointer, etag=etag)


class RacingStore(InMemoryStore):
    """Somebody does something as soon as the journal has a retirement, before the pointer is rewritten."""

    meanwhile: Callable[[], object] | None = None

    def replace(self, key, body, *, etag, content_type="application/json"):
        done = super().replace(key, body, etag=etag, content_type=content_type)
        if self.meanwhile is not None and b'"retired_at"' in body:
            meanwhile, self.meanwhile = self.meanwhile, None
            meanwhile()
        return done


def test_a_mover_that_read_the_journal_before_the_retirement_and_wins_keeps_its_version():
    store = RacingStore()
    first, second, *_ = promoted(store, 0, 1, 2, 3, 4)
    pointer, etag = settle(store, NAME)
    move = Move(pointer.version, first, "rollback__1", STARTED_AT, pointer.window_end, kind="rollback", by="grace")
    digest = digest_of(store, first)
    store.meanwhile = lambda: move_champion(store, NAME, move, digest=digest, pointer=pointer, etag=etag)

    collect(store)

    assert champion(store, NAME)[0].version == first
    assert keys_of(store, second) == []
    assert audit(store, NAME).problems == ()
    entries = journal.entries(store, NAME)
    assert retired_versions(entries).keys() == {second}
    assert [entry.move for entry in entries if entry.move][-1] == move


def test_a_mover_that_read_the_pointer_before_and_comes_later_loses_and_then_sees_the_retirement():
    store = InMemoryStore()
    first, *_ = promoted(store, 0, 1, 2, 3)
    pointer, etag = settle(store, NAME)
    move = Move(pointer.version, first, "rollback__1", STARTED_AT, pointer.window_end, kind="rollback", by="grace")
    digest = digest_of(store, first)

    collect(store)

    with pytest.raises(PointerMovedError):
        move_champion(store, NAME, move, digest=digest, pointer=pointer, etag=etag)
    settle(store, NAME)
    assert first in withdrawn_versions(journal.entries(store, NAME))


def test_a_pointer_that_is_moved_again_and_again_ends_it_with_nothing_removed():
    class RestlessStore(InMemoryStore):
        """The pointer is never what it was when it was read."""

        is_restless = False

        def replace(self, key, body, *, etag, content_type="application/json"):
            if self.is_restless and key == layout.champion(NAME):
                return False
            return super().replace(key, body, etag=etag, content_type=content_type)

    store = RestlessStore()
    first, *_ = promoted(store, 0, 1, 2, 3)
    store.is_restless = True

    with pytest.raises(PointerMovedError):
        collect(store)

    assert first in version_names(store, NAME)
    retirements = [entry.retirement for entry in journal.entries(store, NAME) if entry.retirement]
    assert [it.versions for it in retirements] == [(first,)]


def test_two_at_once_remove_the_same_once(store: InMemoryStore):
    first, second, *others = promoted(store, 0, 1, 2, 3, 4)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda by: collect(store, by=by), ("ada", "grace", "alan", "edsger")))

    assert version_names(store, NAME) == others
    assert keys_of(store, first) + keys_of(store, second) == []
    assert audit(store, NAME).problems == ()


def test_a_version_that_was_retired_and_made_anew_is_removed_again_without_a_second_entry(store: InMemoryStore):
    first, *_ = promoted(store, 0, 1, 2, 3)
    collect(store)
    enter(store, 0)
    assert first in version_names(store, NAME)

    assert plan(CONFIG, store, now=NOW).remove == (first,)
    assert collect(store) is None

    assert first not in version_names(store, NAME)
