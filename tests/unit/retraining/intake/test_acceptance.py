from __future__ import annotations

import dataclasses
from datetime import date

import pandas as pd
import pytest

from include.retraining import journal
from include.retraining.artifacts import BatchPointer, IntakeRecord
from include.retraining.errors import ConfigurationError, DataContractError, StorageUnavailableError
from include.retraining.intake import exchange
from include.retraining.intake.acceptance import accept_batches
from include.retraining.intake.batches import read_batch
from include.retraining.intake.outcomes import ValidationOutcome, Verdicts
from include.retraining.schemas import BATCH
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.pointers import read_pointer
from include.retraining.storage.publishing import problems_of
from include.retraining.storage.records import from_json, to_json
from include.retraining.storage.tables import to_parquet
from tests.builders import CLASSIFIER, make_run
from tests.unit.retraining.intake.deliveries import DAY, keep_verdicts_of, verdict_rows

EARLIER = date(2026, 1, 1)
CURRENT = "batches/flowers/2026-01-02/current.json"
REFUSED = {"outcome": "quarantined", "reason": "unknown_label"}
SKIPPED = {"outcome": "skipped", "reason": "duplicate_of_earlier_batch"}


class FailingStore(InMemoryStore):
    """Fails at the nth write and at all after it, as for a task that is killed there."""

    def __init__(self) -> None:
        super().__init__()
        self.writes_left = -1

    def put(self, key, body, *, content_type="application/octet-stream"):
        if self.writes_left == 0:
            raise StorageUnavailableError(f"put {key}", "killed")
        self.writes_left -= 1
        super().put(key, body, content_type=content_type)


def accept(
    store, *rows, register_baseline: bool = False, run_id: str = "scheduled__1", n_lost: int = 0, **outcome
) -> IntakeRecord:
    """Accepts a delivery in a run that was told of its verdicts."""
    run = make_run(store, run_id=run_id)
    verdicts = keep_verdicts_of(run, *rows, **outcome)
    days = {day: dataclasses.replace(it, delivered=it.delivered + n_lost) for day, it in verdicts.days.items()}
    return accept_batches(run, Verdicts(days), register_baseline=register_baseline)


def pointer_of(store):
    return read_pointer(store, CURRENT, BatchPointer)[0]


def prefix_of(store) -> str:
    return f"batches/flowers/2026-01-02/{pointer_of(store).digest}/"


def published(store) -> dict[str, bytes]:
    """All but the records that runs keep of themselves."""
    return {key: body for key, body in store.objects.items() if not key.startswith("runs/")}


def keep_document(run, verdicts: Verdicts, document: bytes, **pages: bytes) -> Verdicts:
    """The same verdicts with other evidence."""
    data_docs = {"index.html": b"index", **{f"{name}.html": body for name, body in pages.items()}}
    outcome = ValidationOutcome(warnings=(), failures=(), document=document, data_docs=data_docs)
    days = {
        day: exchange.keep_validation(run, day, outcome, it.shard_uris, it.delivered)
        for day, it in verdicts.days.items()
    }
    return Verdicts(days)


def test_the_record_counts_every_image_once_under_its_first_reason():
    duplicate = {"outcome": "skipped", "reason": "duplicate"}

    record = accept(
        InMemoryStore(), {}, {}, SKIPPED, duplicate, SKIPPED, REFUSED, {**REFUSED, "reason": "not_listed; no_label"}
    )

    assert (record.delivered, record.accepted, record.skipped) == (7, 2, 3)
    assert record.skipped_by == {"duplicate": 1, "duplicate_of_earlier_batch": 2}
    assert record.quarantined == {"not_listed": 1, "unknown_label": 1}


def test_a_row_that_got_lost_fails_the_task_before_anything_is_published():
    store = InMemoryStore()

    with pytest.raises(RuntimeError, match="2026-01-02: 3 images were delivered, and the verdicts are .*'accepted': 2"):
        accept(store, {}, {}, n_lost=1)

    assert published(store) == {}


@pytest.mark.parametrize("outcome", ["", "acepted"])
def test_a_row_without_a_known_outcome_fails_the_task_too(outcome):
    store = InMemoryStore()

    with pytest.raises(RuntimeError, match="accepted \\+ skipped \\+ quarantined must be delivered"):
        accept(store, {}, {"outcome": outcome})

    assert published(store) == {}


def test_an_accepted_batch_is_whole_and_current():
    store = InMemoryStore()

    record = accept(store, {}, {})

    prefix = prefix_of(store)
    assert pointer_of(store).revision == 1
    assert problems_of(store, prefix) == []
    assert record.batch_uris == {DAY: f"s3://memory/{prefix}"}
    assert record.unchanged == ()


def test_the_batch_holds_the_accepted_rows_of_all_shards_sorted_by_their_pixels():
    store = InMemoryStore()
    rows = [
        {"image": f"{it}.png", "pixel_sha256": f"{9 - it}", "split": "test", "assigned_split": "validation"}
        for it in range(5)
    ]

    accept(store, *rows, REFUSED, SKIPPED | {"pinned": False}, {"image": "z.png", "pixel_sha256": "a", "pinned": True})

    batch = read_batch(store, prefix_of(store))
    assert list(batch["image_id"]) == ["5", "6", "7", "8", "9", "a"]
    assert list(batch["key"].str[-5:]) == ["4.png", "3.png", "2.png", "1.png", "0.png", "z.png"]
    assert list(batch["split"]) == ["validation"] * 5 + ["train"]
    assert list(batch["pinned"]) == [False] * 5 + [True]


def test_an_accepted_row_keeps_its_attributes_and_other_attributes_make_another_revision():
    store = InMemoryStore()
    image = {"image": "a.png", "pixel_sha256": "1"}

    accept(store, image | {"attributes": '{"site":"north"}'}, SKIPPED | {"attributes": '{"site":"west"}'})
    first = prefix_of(store)
    accept(store, image | {"attributes": '{"site":"south"}'})

    assert list(read_batch(store, first)["attributes"]) == ['{"site":"north"}']
    assert prefix_of(store) != first
    assert list(read_batch(store, prefix_of(store))["attributes"]) == ['{"site":"south"}']


def test_the_batch_does_not_depend_on_how_the_verdicts_were_cut_into_shards():
    store = InMemoryStore()
    rows = [{"image": f"{it}.png", "pixel_sha256": f"{it * 7 % 10}", "label": "daisy"} for it in range(10)]

    accept(store, *rows)

    whole = verdict_rows(*rows).drop(columns="split")
    whole = whole.rename(columns={"pixel_sha256": "image_id", "assigned_split": "split"}).sort_values("image_id")
    assert store.get(f"{prefix_of(store)}manifest.parquet") == to_parquet(pd.DataFrame(whole), BATCH)


def test_the_evidence_lies_beside_the_batch_and_the_record_leads_to_the_runs_own_copy():
    store = InMemoryStore()

    record = accept(store, {}, {})

    prefix = prefix_of(store)
    assert store.get(f"{prefix}validation.json") == b"{}"
    assert store.get(f"{prefix}data_docs/index.html") == b"<html>index</html>"
    assert store.get(f"{prefix}data_docs/contact_sheet.html") == b"<html>sheet</html>"
    (uri,) = record.data_docs_uris.values()
    assert uri == "s3://memory/runs/flowers/scheduled__1/intake/2026-01-02/data_docs/index.html"
    assert store.exists(uri.removeprefix("s3://memory/"))


def test_a_second_run_over_the_same_delivery_changes_nothing_and_says_so():
    store = InMemoryStore()

    first = accept(store, {}, REFUSED)
    before = published(store)
    run = make_run(store, run_id="scheduled__2")
    rendered_later = keep_document(run, keep_verdicts_of(run, {}, REFUSED), b"{}", another=b"rendered a minute later")
    second = accept_batches(run, rendered_later, register_baseline=False)

    assert published(store) == before
    assert (first.unchanged, second.unchanged) == ((), (DAY,))
    assert second.batch_uris == first.batch_uris


def test_a_late_image_makes_a_new_revision_and_keeps_the_old_one():
    store = InMemoryStore()

    first = accept(store, {})
    second = accept(store, {}, {}, run_id="scheduled__2")

    assert pointer_of(store).revision == 2
    assert second.batch_uris[DAY] == f"s3://memory/{prefix_of(store)}"
    assert second.unchanged == ()
    assert problems_of(store, first.batch_uris[DAY].removeprefix("s3://memory/")) == []


def test_a_late_image_that_is_refused_renews_the_evidence_but_not_the_batch():
    store = InMemoryStore()

    first = accept(store, {})
    run = make_run(store, run_id="scheduled__2")
    verdicts = keep_document(run, keep_verdicts_of(run, {}, REFUSED), b"one more", gx=b"page")
    second = accept_batches(run, verdicts, register_baseline=False)

    assert second.batch_uris == first.batch_uris
    assert pointer_of(store).revision == 1
    assert store.get(f"{prefix_of(store)}validation.json") == b"one more"
    assert store.get(f"{prefix_of(store)}data_docs/index.html") == b"index"
    assert store.get(f"{prefix_of(store)}data_docs/gx.html") == b"page"


# Two days with a table, a manifest, three of evidence and a pointer each; what was before; a baseline, which is also in
# the journal, whose head moves.
N_WRITES = 16


def test_the_writes_of_the_next_test_are_all_of_them():
    store = InMemoryStore()
    verdicts = keep_verdicts_of(make_run(store), {}, {"date": EARLIER}, {})
    n_kept = len(store.objects)

    accept_batches(make_run(store), verdicts, register_baseline=True)

    assert len(store.objects) - n_kept == N_WRITES


@pytest.mark.parametrize("n_writes", range(N_WRITES))
def test_a_kill_at_any_write_is_repaired_by_the_repeat(n_writes):
    rows = ({}, {"date": EARLIER}, {})
    whole = InMemoryStore()
    record = accept_batches(make_run(whole), keep_verdicts_of(make_run(whole), *rows), register_baseline=True)
    store = FailingStore()
    verdicts = keep_verdicts_of(make_run(store), *rows)
    store.writes_left = n_writes

    with pytest.raises(StorageUnavailableError):
        accept_batches(make_run(store), verdicts, register_baseline=True)
    is_current = pointer_of(store) is not None
    assert not is_current or problems_of(store, prefix_of(store)) == [], "nobody may see half a batch"
    store.writes_left = -1
    repeated = accept_batches(make_run(store), verdicts, register_baseline=True)

    assert store.objects == whole.objects
    assert repeated == record


def test_a_refused_batch_says_why_and_publishes_nothing_of_any_day():
    store = InMemoryStore()
    store.put("quarantine/flowers/2026-01-02/reasons.jsonl", b"{}")
    before = published(store)

    with pytest.raises(DataContractError) as refusal:
        accept(store, {"date": EARLIER}, {}, failures=("3 of 4 images are quarantined (not_listed 3)",))

    assert published(store) == before
    assert str(refusal.value) == (
        "s3://memory/incoming/flowers/2026-01-01/, s3://memory/incoming/flowers/2026-01-02/ is refused: "
        "2026-01-01: 3 of 4 images are quarantined (not_listed 3); "
        "2026-01-02: 3 of 4 images are quarantined (not_listed 3); "
        "each image's reasons are in s3://memory/quarantine/flowers/2026-01-02/reasons.jsonl; "
        "the Data Docs are s3://memory/runs/flowers/scheduled__1/intake/2026-01-01/data_docs/index.html, "
        "s3://memory/runs/flowers/scheduled__1/intake/2026-01-02/data_docs/index.html. "
        "The data owner must correct the delivery and run the window again."
    )


def test_one_refused_day_refuses_the_whole_delivery_and_only_that_day_is_blamed():
    store = InMemoryStore()
    run = make_run(store)
    verdicts = keep_verdicts_of(run, {"date": EARLIER}, {})
    days = {**verdicts.days, DAY: dataclasses.replace(verdicts.days[DAY], failures=("too few",))}

    with pytest.raises(DataContractError) as refusal:
        accept_batches(run, Verdicts(days), register_baseline=True)

    assert published(store) == {}
    assert refusal.value.batch == "s3://memory/incoming/flowers/2026-01-02/"
    assert refusal.value.failed_checks[0] == "2026-01-02: too few"


def test_warnings_carry_their_day():
    record = accept(InMemoryStore(), {"date": EARLIER}, {}, warnings=("no orchid", "dark"))

    assert record.warnings == (
        "2026-01-01: no orchid",
        "2026-01-01: dark",
        "2026-01-02: no orchid",
        "2026-01-02: dark",
    )


def test_a_day_that_brings_nothing_new_gets_no_batch_but_its_evidence_is_named():
    store = InMemoryStore()

    record = accept(store, SKIPPED, SKIPPED)

    assert published(store) == {}
    assert (record.batch_uris, record.skipped, record.unchanged) == ({}, 2, ())
    assert record.data_docs_uris.keys() == {DAY}


def test_the_record_of_an_intake_survives_being_stored():
    record = accept(InMemoryStore(), {}, SKIPPED, REFUSED, register_baseline=True, warnings=("dark",))

    assert from_json(IntakeRecord, to_json(record), "s3://memory/x") == record


def test_registering_a_baseline_names_the_first_day_and_its_batch_and_is_journalled():
    store = InMemoryStore()

    record = accept(store, {"date": EARLIER}, {}, register_baseline=True)

    (entry,) = journal.entries(store, CLASSIFIER)
    assert record.baseline_registered
    assert entry.baseline.since == EARLIER
    assert entry.baseline.batch_uri == record.batch_uris[EARLIER]
    assert [found.key for found in store.list("baselines/")] == ["baselines/flowers/2026-01-01.json"]


def test_without_being_asked_no_baseline_is_registered():
    store = InMemoryStore()

    record = accept(store, {})

    assert not record.baseline_registered
    assert list(store.list("baselines/")) == list(store.list("models/")) == []


def test_a_first_day_that_is_current_already_can_begin_a_baseline():
    store = InMemoryStore()
    first = accept(store, {})

    record = accept(store, SKIPPED, register_baseline=True, run_id="manual__1")

    (entry,) = journal.entries(store, CLASSIFIER)
    assert record.baseline_registered
    assert entry.baseline.batch_uri == first.batch_uris[DAY]


def test_a_first_day_without_a_batch_cannot_begin_a_baseline_and_nothing_is_published():
    store = InMemoryStore()

    with pytest.raises(ConfigurationError) as refusal:
        accept(store, SKIPPED | {"date": EARLIER}, {}, register_baseline=True)

    assert published(store) == {}
    assert str(refusal.value) == (
        "register_baseline: 2026-01-01, the first day of the delivery in s3://memory/incoming/flowers/2026-01-01/, has "
        "no batch that a baseline could begin with, since none of its images was ever accepted. Run a window that "
        "begins with a day that brings new images, or run this one without register_baseline"
    )


def test_a_day_that_another_run_registered_stays_its_and_that_is_said():
    store = InMemoryStore()
    accept(store, {}, register_baseline=True)
    before = published(store)

    record = accept(store, {}, register_baseline=True, run_id="manual__2")

    assert published(store) == before
    assert not record.baseline_registered
    assert record.warnings == ("2026-01-02: the run scheduled__1 registered the baseline before this one",)
