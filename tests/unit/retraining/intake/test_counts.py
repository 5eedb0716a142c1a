from __future__ import annotations

import json

import pytest

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.intake.counts import read_counts
from include.retraining.intake.outcomes import DayVerdicts
from include.retraining.storage.memory import InMemoryStore

URI = "s3://memory/runs/flowers/a/intake/2026-01-02/validation.json"
JUDGED = DayVerdicts((), 9, (), (), URI, "")


def store_with(document: object) -> InMemoryStore:
    store = InMemoryStore()
    store.put(URI.removeprefix("s3://memory/"), json.dumps(document).encode())
    return store


def test_counts_add_up_to_what_was_delivered() -> None:
    document = {
        "classifier": "flowers",
        "delivered": 9,
        "outcomes": {"accepted": 4, "quarantined": 3, "skipped": 2},
        "first_reasons": {"duplicate": 1, "duplicate_of_earlier_batch": 1, "label_conflict": 1, "not_listed": 2},
        "findings": [{"rule": "readable"}],
    }

    counts = read_counts(store_with(document), JUDGED)

    assert (counts.delivered, counts.accepted) == (9, 4)
    assert sum(counts.skipped_by.values()) == 2
    assert counts.quarantined == {"label_conflict": 1, "not_listed": 2}
    assert counts.accepted + sum(counts.skipped_by.values()) + sum(counts.quarantined.values()) == counts.delivered


def test_a_document_without_counts_is_a_clear_error() -> None:
    with pytest.raises(ArtifactIntegrityError, match=r"validation\.json"):
        read_counts(store_with({"findings": []}), JUDGED)
