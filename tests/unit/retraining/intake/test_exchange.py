from __future__ import annotations

from datetime import date

from include.retraining import steps
from include.retraining.intake.exchange import keep_listing_warnings, recall_listing_warnings
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_run
from tests.unit.retraining.intake.deliveries import DAY, deliver


def test_the_warnings_of_a_listing_are_recalled_by_day():
    run = make_run()
    warnings = {date(2026, 1, 3): ["one", "two"], date(2026, 1, 2): ["<script>"]}

    keep_listing_warnings(run, warnings)

    assert recall_listing_warnings(run) == {date(2026, 1, 2): ("<script>",), date(2026, 1, 3): ("one", "two")}


def test_a_listing_without_warnings_recalls_none():
    run = make_run()
    keep_listing_warnings(run, {})

    assert recall_listing_warnings(run) == {}
    assert recall_listing_warnings(make_run()) == {}


def test_listing_a_batch_keeps_what_was_noticed_and_forgets_what_an_earlier_attempt_noticed():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": b"1"})
    run = make_run(store)

    steps.list_batch(run)
    first = recall_listing_warnings(run)
    deliver(store, {"_READY": b""})
    steps.list_batch(run)

    assert "_READY is missing" in first[DAY][0]
    assert recall_listing_warnings(run) == {}
