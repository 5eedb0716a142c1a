"""What the race's figures are counted by: a counter that can only say "none" would prove nothing."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from include.retraining import journal
from include.retraining.registry import MODEL, champion
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from tests.promotions import make_move
from tests.races import Schedule, compete, config_of, read_until, tally

PROMOTERS = 3
SCHEDULE = Schedule(seasons=2, rounds=2)


class Once:
    """Stops a reader after a number of looks."""

    def __init__(self, looks: int) -> None:
        self._looks = looks

    def is_set(self) -> bool:
        self._looks -= 1
        return self._looks < 0


def race(store: InMemoryStore) -> list[list[bool]]:
    together = threading.Barrier(PROMOTERS, timeout=30)
    with ThreadPoolExecutor(PROMOTERS) as pool:
        return list(pool.map(lambda number: compete(store, number, SCHEDULE, together), range(PROMOTERS)))


def test_a_race_in_memory_has_one_winner_a_round_and_a_refusal_for_every_loser():
    store = InMemoryStore()

    counted = tally(store, race(store), SCHEDULE)

    assert (counted.rounds, counted.double_wins, counted.winless_rounds) == (SCHEDULE.total, 0, 0)
    assert (counted.moves, counted.broken_links, counted.unrecorded) == (SCHEDULE.total, 0, 0)
    assert counted.journal_entries == SCHEDULE.total * 2 * PROMOTERS
    assert counted.journal_problems == ()


def test_two_winners_none_and_a_loser_without_a_refusal_are_counted():
    counted = tally(InMemoryStore(), [[True, False], [True, False], [False, False]], Schedule(1, 2))

    assert (counted.double_wins, counted.winless_rounds, counted.unrecorded) == (1, 1, 4)


def test_a_move_that_does_not_begin_where_the_last_one_ended_is_counted():
    store = InMemoryStore()
    journal.append(store, config_of(0).name, make_move("first", run_id="1"))
    journal.append(store, config_of(0).name, make_move("second", "another", run_id="2"))

    assert tally(store, [[True]], Schedule(1, 1)).broken_links == 1


LAST = config_of(SCHEDULE.seasons - 1).name


def test_a_reader_counts_its_reads_and_finds_nothing_torn_in_a_whole_champion():
    store = InMemoryStore()
    race(store)

    seen = read_until(store, Once(5))

    assert (seen.reads, seen.torn) == (5, ())
    store.delete(f"{layout.version(LAST, champion(store, LAST)[0].version)}{MODEL}")
    assert len(read_until(store, Once(5)).torn) == 5


def test_a_reader_finds_a_missing_file_a_changed_file_and_other_content_than_the_pointer_names():
    store = InMemoryStore()
    race(store)
    pointer, _ = champion(store, LAST)
    key = f"{layout.version(LAST, pointer.version)}{MODEL}"
    body = store.get(key)

    store.put(key, body + b"!")
    changed = read_until(store, Once(2)).torn
    store.delete(key)
    missing = read_until(store, Once(2)).torn
    store.put(key, body)
    store.put(layout.champion(LAST), store.get(layout.champion(LAST)).replace(b'"digest": "', b'"digest": "0'))
    other = read_until(store, Once(2)).torn

    assert "model.keras differs" in changed[0]
    assert "is missing" in missing[0]
    assert "the pointer names other content" in other[0]
