from __future__ import annotations

import dataclasses
import json
from datetime import date

import pytest

from include.retraining.artifacts import BatchPointer
from include.retraining.errors import DataContractError, StorageUnavailableError
from include.retraining.intake.acceptance import accept_batches, quarantine_images
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.pointers import read_pointer
from include.retraining.storage.publishing import problems_of
from tests.builders import make_run
from tests.unit.retraining.intake.deliveries import DAY, deliver, png, verdicts_of

CURRENT = "batches/flowers/2026-01-02/current.json"
REASONS = "quarantine/flowers/2026-01-02/reasons.jsonl"
REFUSED = {"outcome": "quarantined", "reason": "unknown_label"}
SKIPPED = {"outcome": "skipped", "reason": "duplicate_of_earlier_batch"}


class FailingStore(InMemoryStore):
    """Fails at the nth write and at all after it, as for a task that is killed there."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.writes_left = writes

    def put(self, key, body, *, content_type="application/octet-stream"):
        if self.writes_left == 0:
            raise StorageUnavailableError(f"put {key}", "killed")
        self.writes_left -= 1
        super().put(key, body, content_type=content_type)


def pointer_of(store):
    return read_pointer(store, CURRENT, BatchPointer)[0]


def reasons_of(store):
    return [json.loads(line) for line in store.get(REASONS).splitlines()]


def test_the_record_counts_every_image_once_under_its_first_reason():
    verdicts = verdicts_of({}, {}, SKIPPED, REFUSED, {**REFUSED, "reason": "not_listed; invalid_split"})

    record = accept_batches(make_run(), verdicts)

    assert (record.delivered, record.accepted, record.skipped) == (5, 2, 1)
    assert record.quarantined == {"not_listed": 1, "unknown_label": 1}
    assert record.accepted + record.skipped + sum(record.quarantined.values()) == record.delivered


def test_an_accepted_batch_is_whole_and_current():
    store = InMemoryStore()

    record = accept_batches(make_run(store), verdicts_of({}, {}))

    pointer = pointer_of(store)
    prefix = f"batches/flowers/2026-01-02/{pointer.digest}/"
    assert pointer.revision == 1
    assert problems_of(store, prefix) == []
    assert record.batch_uris == {DAY: f"s3://memory/{prefix}"}
    assert record.data_docs_uris == {DAY: f"s3://memory/{prefix}data_docs/index.html"}
    assert store.exists(f"{prefix}data_docs/index.html")
    assert store.get(f"{prefix}validation.json") == b"{}"


def test_a_repeat_changes_nothing_although_data_docs_never_come_out_the_same():
    store = InMemoryStore()
    verdicts = verdicts_of({}, REFUSED)
    outcome = dataclasses.replace(verdicts.outcomes[DAY], data_docs={"index.html": b"rendered a minute later"})
    again = dataclasses.replace(verdicts, outcomes={DAY: outcome})

    first = accept_batches(make_run(store), verdicts)
    before = dict(store.objects)
    second = accept_batches(make_run(store), again)

    assert store.objects == before
    assert second == first


def test_a_late_image_makes_a_new_revision_and_keeps_the_old_one():
    store = InMemoryStore()

    first = accept_batches(make_run(store), verdicts_of({}))
    second = accept_batches(make_run(store), verdicts_of({}, {}))

    assert pointer_of(store).revision == 2
    assert second.batch_uris[DAY] == f"s3://memory/batches/flowers/2026-01-02/{pointer_of(store).digest}/"
    assert problems_of(store, first.batch_uris[DAY].removeprefix("s3://memory/")) == []


def test_a_late_image_that_is_refused_renews_the_evidence_but_not_the_batch():
    store = InMemoryStore()

    first = accept_batches(make_run(store), verdicts_of({}))
    second = accept_batches(make_run(store), verdicts_of({}, REFUSED, document=b"one more"))

    assert second.batch_uris == first.batch_uris
    assert pointer_of(store).revision == 1
    assert store.get(f"batches/flowers/2026-01-02/{pointer_of(store).digest}/validation.json") == b"one more"


@pytest.mark.parametrize("writes", range(6))
def test_a_kill_at_any_write_is_repaired_by_the_repeat(writes):
    whole = InMemoryStore()
    record = accept_batches(make_run(whole), verdicts_of({}, {}))
    assert len(whole.objects) == 6, "one case for each write"
    store = FailingStore(writes)

    with pytest.raises(StorageUnavailableError):
        accept_batches(make_run(store), verdicts_of({}, {}))
    assert pointer_of(store) is None, "nobody may see half a batch"
    store.writes_left = -1
    repeated = accept_batches(make_run(store), verdicts_of({}, {}))

    assert store.objects == whole.objects
    assert repeated == record


def test_a_refused_batch_says_why_and_publishes_nothing_of_any_day():
    store = InMemoryStore()
    verdicts = verdicts_of({"date": date(2026, 1, 1)}, {}, failures=("3 of 4 images are quarantined (not_listed 3)",))

    with pytest.raises(DataContractError) as refusal:
        accept_batches(make_run(store), verdicts)

    assert store.objects == {}
    assert str(refusal.value) == (
        "s3://memory/incoming/flowers/2026-01-01/, s3://memory/incoming/flowers/2026-01-02/ is refused: "
        "2026-01-01: 3 of 4 images are quarantined (not_listed 3); "
        "2026-01-02: 3 of 4 images are quarantined (not_listed 3); "
        "each image's reasons are in reasons.jsonl under "
        "s3://memory/quarantine/flowers/2026-01-01/, s3://memory/quarantine/flowers/2026-01-02/. "
        "The data owner must correct the delivery and run the window again."
    )


def test_a_day_that_brings_nothing_new_gets_no_batch_but_a_warning():
    store = InMemoryStore()

    record = accept_batches(make_run(store), verdicts_of(SKIPPED, SKIPPED))

    assert store.objects == {}
    assert (record.batch_uris, record.skipped) == ({}, 2)
    assert record.warnings == (
        "2026-01-02: nothing new: the earlier batches hold every image that can be used, so the day gets no batch",
    )


def test_a_refused_image_is_copied_with_its_reasons_and_stays_where_it_was():
    store = InMemoryStore()
    deliver(store, {"x/bad.png": png(1), "good.png": png(2)})
    refused = {"image": "x/bad.png", "label": "tulip", "reason": "unknown_label; invalid_split"}

    quarantine_images(make_run(store), verdicts_of({"image": "good.png"}, REFUSED | refused))

    (line,) = reasons_of(store)
    assert (line["image"], line["label"]) == ("x/bad.png", "tulip")
    assert [reason["code"] for reason in line["reasons"]] == ["unknown_label", "invalid_split"]
    assert line["reasons"][0]["meaning"] == "The label is not one of the classifier's, letter for letter."
    assert line["copy"].startswith("quarantine/flowers/2026-01-02/images/")
    assert line["copy"].endswith("-bad.png")
    assert store.get(line["copy"]) == store.get("incoming/flowers/2026-01-02/x/bad.png") == png(1)


def test_a_hostile_name_is_made_harmless_and_stays_unique():
    names = ["<script>alert(1)</script>.png", "line\nbreak.png", "line\tbreak.png", "x/../y.png", "é" * 300 + ".png"]
    store = InMemoryStore()
    deliver(store, {name: name.encode() for name in names})

    quarantine_images(make_run(store), verdicts_of(*(REFUSED | {"image": name} for name in names)))

    lines = reasons_of(store)
    copies = [line["copy"].removeprefix("quarantine/flowers/2026-01-02/images/") for line in lines]
    assert len(set(copies)) == len(names)
    assert all(copy.isascii() and len(copy) < 150 and not set(copy) & set("<>/\n\t ") for copy in copies)
    assert {line["image"]: store.get(line["copy"]) for line in lines} == {name: name.encode() for name in names}


def test_what_is_missing_or_too_large_is_explained_but_not_copied():
    store = InMemoryStore()
    deliver(store, {"large.png": b"large"})
    missing = REFUSED | {"image": "gone.png", "reason": "missing_object"}
    outside = REFUSED | {"image": "../x", "key": "", "reason": "outside_batch"}
    large = REFUSED | {"image": "large.png", "reason": "too_many_bytes"}

    quarantine_images(make_run(store), verdicts_of(missing, outside, large))

    assert [(line["image"], line["copy"]) for line in reasons_of(store)] == [
        ("../x", ""),
        ("gone.png", ""),
        ("large.png", ""),
    ]
    assert [key for key in store.objects if key.startswith("quarantine/")] == [REASONS]


def test_quarantining_twice_changes_nothing():
    store = InMemoryStore()
    deliver(store, {"0.png": png(0)})
    verdicts = verdicts_of(REFUSED)

    quarantine_images(make_run(store), verdicts)
    before = dict(store.objects)
    quarantine_images(make_run(store), verdicts)

    assert store.objects == before


def test_a_corrected_delivery_empties_the_reasons_but_keeps_the_copies():
    store = InMemoryStore()
    deliver(store, {"0.png": png(0)})

    quarantine_images(make_run(store), verdicts_of(REFUSED))
    (line,) = reasons_of(store)
    quarantine_images(make_run(store), verdicts_of({}))

    assert reasons_of(store) == []
    assert store.exists(line["copy"])
