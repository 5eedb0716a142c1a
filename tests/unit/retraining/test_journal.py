from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest

from include.retraining import journal
from include.retraining.artifacts import BaselineRegistration
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage.memory import InMemoryStore
from tests.builders import CLASSIFIER, RUN_ID, STARTED_AT, make_decision, make_metrics, make_move

FIRST, SECOND = "models/flowers/history/00000001.json", "models/flowers/history/00000002.json"

BASELINE = BaselineRegistration(
    since=date(2026, 1, 2),
    batch_uri="s3://memory/batches/flowers/2026-01-02/ab12/",
    run_id=RUN_ID,
    registered_at=STARTED_AT,
)


class LostAnswerStore(InMemoryStore):
    """Writes what it is asked to, but its client hears nothing, asks again, and is told that it came too late."""

    def replace(self, key, body, *, etag):
        assert len(self.objects) < 9, "it is written again and again"
        super().replace(key, body, etag=etag)
        return super().replace(key, body, etag=etag)


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


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
    assert [found.key[-13:-5] for found in store.list("models/")] == [f"{number:08d}" for number in range(1, 21)]
    assert {entry.move.resulting for entry in entries} == {f"{writer}-{n}" for writer in range(4) for n in range(5)}


def test_the_loser_of_a_race_takes_the_next_number():
    class OvertakenStore(InMemoryStore):
        """Another writer is faster once."""

        def replace(self, key, body, *, etag):
            if not self.exists(FIRST):
                other = journal.JournalEntry(number=1, move=make_move("theirs"))
                super().replace(FIRST, journal.to_json(other), etag=None)
            return super().replace(key, body, etag=etag)

    store = OvertakenStore()
    assert journal.append(store, CLASSIFIER, make_move("ours")).number == 2
    assert [entry.move.resulting for entry in journal.entries(store, CLASSIFIER)] == ["theirs", "ours"]


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
    assert entry == journal.JournalEntry(number=2, baseline=BASELINE)


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
    old = journal.to_json(entry).replace(b',\n  "baseline": null', b"")
    assert old != store.get(FIRST)

    store.put(FIRST, old)

    assert journal.entries(store, CLASSIFIER) == [entry]


def test_a_decision_from_before_recalls_were_kept_is_still_read(store: InMemoryStore):
    journal.append(store, CLASSIFIER, make_decision(recall={"daisy": 0.9}))
    document = json.loads(store.objects[FIRST])
    assert document["decision"].pop("recall") == {"daisy": 0.9}
    store.put(FIRST, json.dumps(document).encode())

    [entry] = journal.entries(store, CLASSIFIER)

    assert entry.decision == make_decision(recall={})
