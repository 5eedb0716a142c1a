from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from include.retraining import journal
from include.retraining.artifacts import Approval, BaselineRegistration, Retirement
from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256
from include.retraining.storage.records import from_json, to_json
from tests.builders import CLASSIFIER, RUN_ID, STARTED_AT, make_metrics
from tests.promotions import make_decision, make_move
from tests.stores import DyingStore, holding

HISTORY = "models/flowers/history/"
FIRST, SECOND, THIRD = (f"{HISTORY}{number:08d}.json" for number in (1, 2, 3))
HEAD = "models/flowers/journal_head.json"

BASELINE = BaselineRegistration(
    since=date(2026, 1, 2),
    batch_uri="s3://memory/batches/flowers/2026-01-02/ab12/",
    run_id=RUN_ID,
    registered_at=STARTED_AT,
)


class LostAnswerStore(InMemoryStore):
    """Writes what it is asked to, but its client hears nothing, asks again, and is told that it came too late."""

    def replace(self, key, body, *, etag, content_type="application/json"):
        assert len(self.objects) < 9, "it is written again and again"
        super().replace(key, body, etag=etag)
        return super().replace(key, body, etag=etag)


APPROVAL = Approval("20260103T0200-aaaaaaaaaaaa", RUN_ID, approved=True, by="ada", answered_at=STARTED_AT)
RETIREMENT = Retirement(("20260101T0200-bbbbbbbbbbbb",), by="ada", retired_at=STARTED_AT, reason="no longer needed")


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


@pytest.fixture
def five(store: InMemoryStore) -> InMemoryStore:
    """A journal of five moves."""
    for number in range(1, 6):
        journal.append(store, CLASSIFIER, make_move(f"v{number}"))
    return store


def key(number: int) -> str:
    return f"{HISTORY}{number:08d}.json"


def head_of(store: InMemoryStore) -> journal.JournalHead:
    return from_json(journal.JournalHead, store.get(HEAD), HEAD)


def write_old_journal(store: InMemoryStore, n_entries: int) -> None:
    """Writes a journal as it was before the chain: entries without `previous`, and no head."""
    for number in range(1, n_entries + 1):
        entry = json.loads(to_json(journal.JournalEntry(number, move=make_move(f"old{number}"))))
        store.put(key(number), json.dumps({name: entry[name] for name in ("number", "decision", "move")}).encode())


def test_entries_are_numbered_from_one_in_the_order_in_which_they_came(store: InMemoryStore):
    journal.append(store, CLASSIFIER, make_decision("it is worse"))
    journal.append(store, CLASSIFIER, make_decision())
    last = journal.append(store, CLASSIFIER, make_move())
    entries = journal.entries(store, CLASSIFIER)
    assert [entry.number for entry in entries] == [1, 2, 3]
    assert entries[-1] == last
    assert [entry.decision for entry in entries] == [make_decision("it is worse"), make_decision(), None]
    assert [entry.move for entry in entries] == [None, None, make_move()]
    assert [found.key for found in store.list("models/")][:2] == [FIRST, SECOND]


def test_a_repeat_of_an_entry_finds_it_and_writes_nothing(store: InMemoryStore):
    first = journal.append(store, CLASSIFIER, make_decision())
    journal.append(store, CLASSIFIER, make_move())
    before = dict(store.objects)
    assert journal.append(store, CLASSIFIER, make_decision()) == first
    assert store.objects == before


def test_the_same_decision_of_another_run_is_another_entry(store: InMemoryStore):
    journal.append(store, CLASSIFIER, make_decision())
    assert journal.append(store, CLASSIFIER, make_decision(run_id="manual__2")).number == 2


def test_no_entry_is_ever_changed(store: InMemoryStore):
    journal.append(store, CLASSIFIER, make_decision())
    body = store.get(FIRST)
    for number in range(3):
        journal.append(store, CLASSIFIER, make_decision(run_id=f"manual__{number}"))
    assert store.get(FIRST) == body


def test_journals_of_classifiers_are_apart(store: InMemoryStore):
    journal.append(store, CLASSIFIER, make_decision())
    assert journal.append(store, "flowers_2", make_decision()).number == 1
    assert len(journal.entries(store, CLASSIFIER)) == 1


def test_writers_that_race_leave_no_gap_and_lose_no_entry(store: InMemoryStore):
    def write(writer: int) -> None:
        for number in range(5):
            journal.append(store, CLASSIFIER, make_move(f"{writer}-{number}"))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))

    entries = journal.entries(store, CLASSIFIER)
    assert [entry.number for entry in entries] == list(range(1, 21))
    assert [found.key[-13:-5] for found in store.list(HISTORY)] == [f"{number:08d}" for number in range(1, 21)]
    assert journal.problems(store, CLASSIFIER) == []
    assert head_of(store).number == 20
    assert {entry.move.resulting for entry in entries} == {f"{writer}-{n}" for writer in range(4) for n in range(5)}


def test_the_loser_of_a_race_takes_the_next_number():
    class OvertakenStore(InMemoryStore):
        """Another writer is faster once."""

        def replace(self, key, body, *, etag, content_type="application/json"):
            if not self.exists(FIRST):
                other = journal.JournalEntry(number=1, previous="", move=make_move("theirs"))
                super().replace(FIRST, journal.to_json(other), etag=None)
            return super().replace(key, body, etag=etag)

    store = OvertakenStore()
    assert journal.append(store, CLASSIFIER, make_move("ours")).number == 2
    assert [entry.move.resulting for entry in journal.entries(store, CLASSIFIER)] == ["theirs", "ours"]
    assert journal.problems(store, CLASSIFIER) == []


def test_a_write_whose_answer_was_lost_is_not_written_under_a_second_number():
    store = LostAnswerStore()
    assert journal.append(store, CLASSIFIER, make_decision()).number == 1
    assert journal.append(store, CLASSIFIER, make_move()).number == 2
    assert len(journal.entries(store, CLASSIFIER)) == 2


def test_the_last_decision_is_the_newest_whatever_moved_since(store: InMemoryStore):
    assert journal.last_decision(store, CLASSIFIER) is None
    journal.append(store, CLASSIFIER, make_move())
    assert journal.last_decision(store, CLASSIFIER) is None
    journal.append(store, CLASSIFIER, make_decision("it is worse"))
    journal.append(store, CLASSIFIER, make_decision())
    journal.append(store, CLASSIFIER, make_move("another"))
    assert journal.last_decision(store, CLASSIFIER) == make_decision()


def test_undefined_metrics_do_not_make_a_repeat_a_second_entry(store: InMemoryStore):
    undefined = make_decision("floor", metrics={"macro_recall": None, "ece": make_metrics().ece})
    journal.append(store, CLASSIFIER, undefined)
    assert journal.append(store, CLASSIFIER, undefined).number == 1


def test_an_entry_that_cannot_be_read_is_an_error(store: InMemoryStore):
    journal.append(store, CLASSIFIER, make_decision())
    store.put(FIRST, b"{")
    with pytest.raises(ArtifactIntegrityError, match=FIRST):
        journal.entries(store, CLASSIFIER)


def test_a_new_baseline_is_an_entry_of_its_own_that_comes_back_as_it_was(store: InMemoryStore):
    journal.append(store, CLASSIFIER, make_decision())

    journal.append(store, CLASSIFIER, BASELINE)

    entry = journal.entries(store, CLASSIFIER)[-1]
    assert entry == journal.JournalEntry(number=2, previous=sha256(store.get(FIRST)), baseline=BASELINE)


def test_a_repeat_of_a_new_baseline_writes_nothing(store: InMemoryStore):
    journal.append(store, CLASSIFIER, BASELINE)
    journal.append(store, CLASSIFIER, make_decision())
    before = dict(store.objects)

    assert journal.append(store, CLASSIFIER, BASELINE).number == 1

    assert store.objects == before


def test_a_new_baseline_is_no_decision(store: InMemoryStore):
    journal.append(store, CLASSIFIER, make_decision())
    journal.append(store, CLASSIFIER, BASELINE)

    assert journal.last_decision(store, CLASSIFIER) == make_decision()


def test_an_entry_of_the_time_before_baselines_can_be_read(store: InMemoryStore):
    entry = journal.append(store, CLASSIFIER, make_move())
    document = json.loads(store.get(FIRST))

    store.put(FIRST, json.dumps({name: document[name] for name in ("number", "decision", "move")}).encode())

    assert journal.entries(store, CLASSIFIER) == [dataclasses.replace(entry, previous=None)]


def test_a_decision_from_before_recalls_were_kept_is_still_read(store: InMemoryStore):
    journal.append(store, CLASSIFIER, make_decision(recall={"daisy": 0.9}))
    document = json.loads(store.objects[FIRST])
    assert document["decision"].pop("recall") == {"daisy": 0.9}
    store.put(FIRST, json.dumps(document).encode())

    [entry] = journal.entries(store, CLASSIFIER)

    assert entry.decision == make_decision(recall={})


@pytest.mark.parametrize(
    "what", [APPROVAL, RETIREMENT, BASELINE, make_move(), make_decision()], ids=lambda it: type(it).__name__
)
def test_whatever_is_written_comes_back_as_it_was_and_is_found_again(store: InMemoryStore, what: journal.Entry):
    journal.append(store, CLASSIFIER, make_move("first"))

    written = journal.append(store, CLASSIFIER, what)

    entry = journal.entries(store, CLASSIFIER)[-1]
    assert entry == written
    assert [it for it in (entry.decision, entry.move, entry.baseline, entry.approval, entry.retirement) if it] == [what]
    assert journal.append(store, CLASSIFIER, what).number == 2


def test_a_policy_with_tuples_in_it_is_found_again_though_it_is_read_as_lists(store: InMemoryStore):
    decision = make_decision(policy={"gates": ({"gate": "newer_data"},)})
    journal.append(store, CLASSIFIER, decision)

    assert journal.append(store, CLASSIFIER, decision).number == 1


def test_every_entry_holds_the_digest_of_the_bytes_of_the_one_before_it(five: InMemoryStore):
    entries = journal.entries(five, CLASSIFIER)

    assert [entry.previous for entry in entries] == ["", *(sha256(five.get(key(number))) for number in range(1, 5))]
    assert head_of(five) == journal.JournalHead(5, sha256(five.get(key(5))))
    assert journal.problems(five, CLASSIFIER) == []


def test_a_journal_that_nobody_wrote_to_has_no_problem(store: InMemoryStore):
    assert journal.problems(store, CLASSIFIER) == []
    assert journal.entries(store, CLASSIFIER) == []


def test_eight_writers_of_the_same_at_once_write_it_once(store: InMemoryStore):
    together = threading.Barrier(8)

    def write(_: int) -> int:
        together.wait()
        return journal.append(store, CLASSIFIER, make_move()).number

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(write, range(8)))

    assert numbers == [1] * 8
    assert len(journal.entries(store, CLASSIFIER)) == 1


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_writer_that_is_killed_at_any_write_leaves_a_whole_journal_and_a_repeat_completes_it(
    five: InMemoryStore, writes: int
):
    dying = DyingStore(writes, five.objects)
    if writes < 2:
        with pytest.raises(StorageUnavailableError):
            journal.append(dying, CLASSIFIER, make_decision())
    else:
        journal.append(dying, CLASSIFIER, make_decision())
    left = holding(dying.objects)
    assert journal.problems(left, CLASSIFIER) == []

    entry = journal.append(left, CLASSIFIER, make_decision())

    assert entry.number == 6
    assert [it.number for it in journal.entries(left, CLASSIFIER)] == [1, 2, 3, 4, 5, 6]
    assert head_of(left) == journal.JournalHead(6, sha256(left.get(key(6))))


def test_a_head_that_a_killed_writer_left_behind_is_moved_on_by_the_next_one(five: InMemoryStore):
    five.put(HEAD, to_json(journal.JournalHead(3, sha256(five.get(key(3))))))
    assert journal.problems(five, CLASSIFIER) == []

    journal.append(five, CLASSIFIER, make_decision())

    assert head_of(five).number == 6
    assert journal.entries(five, CLASSIFIER)[-1].previous == sha256(five.get(key(5)))


def test_the_chain_begins_behind_the_entries_of_an_old_journal(store: InMemoryStore):
    write_old_journal(store, 3)
    assert journal.problems(store, CLASSIFIER) == []

    journal.append(store, CLASSIFIER, make_decision())
    journal.append(store, CLASSIFIER, make_move())

    assert [entry.previous for entry in journal.entries(store, CLASSIFIER)] == [
        None,
        None,
        None,
        sha256(store.get(key(3))),
        sha256(store.get(key(4))),
    ]
    assert journal.problems(store, CLASSIFIER) == []


def test_what_is_in_an_old_journal_is_not_written_a_second_time(store: InMemoryStore):
    write_old_journal(store, 3)

    assert journal.append(store, CLASSIFIER, make_move("old2")).number == 2


def test_the_last_entry_of_an_old_journal_is_held_by_the_first_of_the_chain(store: InMemoryStore):
    write_old_journal(store, 3)
    journal.append(store, CLASSIFIER, make_decision())

    store.put(key(3), store.get(key(3)).replace(b"old3", b"new3"))

    (problem,) = journal.problems(store, CLASSIFIER)
    assert problem.startswith(f"s3://memory/{key(3)}: expected sha256 ")


def unchain(store: InMemoryStore, number: int) -> None:
    """Makes an entry look as if it were from before the chain."""
    document = json.loads(store.get(key(number)))
    store.put(key(number), json.dumps(document | {"previous": None}).encode())


def swap(store: InMemoryStore, first: int, second: int) -> None:
    store.objects[key(first)], store.objects[key(second)] = store.objects[key(second)], store.objects[key(first)]


def edit(store: InMemoryStore, number: int) -> None:
    """Changes what an entry says; it stays an entry."""
    store.put(key(number), store.get(key(number)).replace(b'"resulting": "v', b'"resulting": "w'))


TAMPERING = [
    pytest.param(lambda store: store.delete(key(1)), [key(1)], id="first entry removed"),
    pytest.param(lambda store: store.delete(key(3)), [key(3)], id="middle entry removed"),
    pytest.param(lambda store: store.delete(key(5)), [key(5)], id="last entry removed"),
    pytest.param(lambda store: (store.delete(key(4)), store.delete(key(5))), [key(4)], id="end cut off"),
    pytest.param(lambda store: [store.delete(key(n)) for n in range(1, 6)], [key(1)], id="all entries removed"),
    pytest.param(lambda store: edit(store, 1), [key(1)], id="first entry edited"),
    pytest.param(lambda store: edit(store, 3), [key(3)], id="middle entry edited"),
    pytest.param(lambda store: edit(store, 5), [key(5)], id="last entry edited"),
    pytest.param(lambda store: store.put(key(3), b"{"), [key(3)], id="no JSON"),
    pytest.param(lambda store: store.put(key(3), store.get(key(2))), [key(3)], id="another entry in its place"),
    pytest.param(lambda store: swap(store, 2, 3), [key(2), key(3)], id="two entries swapped"),
    pytest.param(lambda store: unchain(store, 3), [key(3)], id="taken out of the chain"),
    pytest.param(lambda store: store.put(key(7), store.get(key(5))), [key(6), key(7)], id="an entry too far on"),
    pytest.param(lambda store: store.put(f"{HISTORY}note.txt", b""), [f"{HISTORY}note.txt"], id="something else"),
    pytest.param(lambda store: store.put(f"{HISTORY}3.json", b""), [f"{HISTORY}3.json"], id="a short name"),
    pytest.param(lambda store: store.put(HEAD, b"{"), [HEAD], id="head is no JSON"),
    pytest.param(lambda store: store.put(HEAD, to_json(journal.JournalHead(9, "0" * 64))), [key(6)], id="head too far"),
]


@pytest.mark.parametrize(("tamper", "named"), TAMPERING)
def test_what_was_tampered_with_is_named_and_stays_so_when_the_journal_is_written_on(
    five: InMemoryStore, tamper: Callable[[InMemoryStore], object], named: list[str]
):
    tamper(five)

    before = journal.problems(five, CLASSIFIER)
    written = [journal.append(five, CLASSIFIER, make_move(f"late{number}")) for number in range(3)]
    after = journal.problems(five, CLASSIFIER)

    for problems in (before, after):
        assert all(problem.startswith("s3://memory/models/flowers/") for problem in problems)
        assert [it for it in named if not any(f"s3://memory/{it}" in problem for problem in problems)] == []
    assert [entry.move.resulting for entry in journal.readable_entries(five, CLASSIFIER)][-3:] == [
        "late0",
        "late1",
        "late2",
    ]
    assert len({entry.number for entry in written}) == 3


@pytest.mark.parametrize("number", [1, 3, 5])
@pytest.mark.parametrize("damage", [InMemoryStore.delete, lambda store, key: edit(store, int(key[-13:-5]))])
def test_an_entry_that_is_restored_makes_the_chain_whole_again_whatever_was_written_since(
    five: InMemoryStore, number: int, damage: Callable[[InMemoryStore, str], object]
):
    body = five.get(key(number))
    damage(five, key(number))
    journal.append(five, CLASSIFIER, make_decision())
    assert journal.problems(five, CLASSIFIER) != []

    five.put(key(number), body)

    assert journal.problems(five, CLASSIFIER) == []
    assert len(journal.entries(five, CLASSIFIER)) == 6


def test_a_head_that_names_another_content_is_a_problem(five: InMemoryStore):
    five.put(HEAD, to_json(journal.JournalHead(3, "0" * 64)))

    (problem,) = journal.problems(five, CLASSIFIER)

    assert problem.startswith(f"s3://memory/{key(3)}: expected sha256 {'0' * 64} as s3://memory/{HEAD} says")


def test_a_gap_of_many_entries_is_one_problem(five: InMemoryStore):
    five.put(HEAD, to_json(journal.JournalHead(1_000_000, "0" * 64)))

    (problem,) = journal.problems(five, CLASSIFIER)

    assert problem.startswith(f"s3://memory/{key(6)}: expected entries 6 to 1000000, got nothing")
    assert journal.append(five, CLASSIFIER, make_decision()).number == 1_000_001


def test_a_head_without_sense_gives_no_entry_a_number_without_sense(store: InMemoryStore):
    store.put(HEAD, to_json(journal.JournalHead(-5, "")))

    assert journal.append(store, CLASSIFIER, make_decision()).number == 1


def test_entries_that_a_listing_lacks_are_asked_for_by_name(five: InMemoryStore):
    class ForgetfulStore(InMemoryStore):
        """Lists what was there some moments ago."""

        def list(self, prefix):
            return (found for found in super().list(prefix) if found.key not in (key(3), key(5)))

    forgetful = ForgetfulStore()
    forgetful.objects.update(five.objects)

    assert journal.problems(forgetful, CLASSIFIER) == []
    assert journal.append(forgetful, CLASSIFIER, make_move("v5")).number == 5
    assert journal.append(forgetful, CLASSIFIER, make_decision()).number == 6
    assert forgetful.get(key(5)) == five.get(key(5))


def test_what_can_be_read_of_a_damaged_journal_is_read_where_the_whole_of_it_is_an_error(five: InMemoryStore):
    five.put(key(2), b"{")

    assert [entry.number for entry in journal.readable_entries(five, CLASSIFIER)] == [1, 3, 4, 5]
    with pytest.raises(ArtifactIntegrityError, match=key(2)):
        journal.entries(five, CLASSIFIER)


def test_a_repeat_reads_only_the_end_of_a_long_journal(store: InMemoryStore, monkeypatch: pytest.MonkeyPatch):
    write_old_journal(store, 400)
    journal.append(store, CLASSIFIER, make_decision())
    asked: list[str] = []
    get = InMemoryStore.get
    monkeypatch.setattr(InMemoryStore, "get", lambda self, key: asked.append(key) or get(self, key))

    journal.append(store, CLASSIFIER, make_decision())

    assert len(asked) < 100


def test_an_entry_without_the_chain_behind_the_chain_is_a_problem(five: InMemoryStore):
    five.put(key(6), to_json(journal.JournalEntry(6, move=make_move("planted"))))

    (problem,) = journal.problems(five, CLASSIFIER)

    assert problem.startswith(f"s3://memory/{key(6)}: expected the digest of entry 5 in it, got none")
