from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from embedded.stack import EmbeddedStack
from include.retraining.storage import layout
from include.retraining.storage.s3 import S3Store
from tests.integration.s3_stores import s3_store
from tests.races import Readings, Schedule, Tally, compete, config_of, read_until, tally

N_PROMOTERS = 8
SCHEDULE = Schedule(seasons=1, rounds=3)


@pytest.fixture(scope="module")
def race(seaweed_stack: EmbeddedStack) -> Iterator[tuple[Tally, Readings]]:
    """Eight promoters in threads, each with a client of its own: all that they share is the server.

    Processes would share no more than that, and cost seconds each to start; the benchmark takes processes.
    """
    together, over = threading.Barrier(N_PROMOTERS, timeout=60), threading.Event()
    with ExitStack() as opened, ThreadPoolExecutor(N_PROMOTERS + 1) as pool:
        stores = [opened.enter_context(s3_store(seaweed_stack)) for _ in range(N_PROMOTERS + 1)]
        reading = pool.submit(read_until, stores[-1], over)
        try:
            racing = [pool.submit(_promoter, stores[it], it, together) for it in range(N_PROMOTERS)]
            won = [promoter.result() for promoter in racing]
        finally:
            over.set()
        yield tally(stores[-1], won, SCHEDULE), reading.result()
        for season in range(SCHEDULE.seasons):
            for found in list(stores[-1].list(layout.models(config_of(season).name))):
                stores[-1].delete(found.key)


def _promoter(store: S3Store, number: int, together: threading.Barrier) -> list[bool]:
    try:
        return compete(store, number, SCHEDULE, together)
    except BaseException:
        together.abort()  # or the others would wait for this one
        raise


def test_of_promoters_at_once_exactly_one_wins_every_round(race: tuple[Tally, Readings]):
    counted, _ = race

    assert (counted.rounds, counted.winless_rounds, counted.double_wins) == (SCHEDULE.total, 0, 0)


def test_the_journal_of_a_race_is_linear_and_has_each_move_once(race: tuple[Tally, Readings]):
    counted, _ = race

    assert counted.journal_problems == ()
    assert (counted.moves, counted.broken_links) == (SCHEDULE.total, 0)


def test_every_loser_decided_again_and_its_refusal_is_in_the_journal(race: tuple[Tally, Readings]):
    counted, _ = race

    assert counted.unrecorded == 0
    # Of each round all approvals, the refusals of the losers, and one move.
    assert counted.journal_entries == SCHEDULE.total * (N_PROMOTERS + N_PROMOTERS - 1 + 1)


def test_a_reader_never_sees_a_model_that_does_not_verify(race: tuple[Tally, Readings]):
    _, seen = race

    assert seen.torn == ()
    assert seen.reads > SCHEDULE.total
