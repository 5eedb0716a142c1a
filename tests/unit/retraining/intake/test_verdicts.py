from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from datetime import UTC, date, datetime

import pandas as pd
import pytest

from include.retraining import steps
from include.retraining.artifacts import IntakeRecord, Window
from include.retraining.errors import DataContractError
from include.retraining.intake import exchange
from include.retraining.intake.reasons import Reason
from include.retraining.intake.verdicts import judge
from include.retraining.schemas import LISTING
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_config, make_run
from tests.unit.retraining.intake.deliveries import DAY, deliver, encoded, facts_of, picture, png

PAGES = {"index.html": b"<html>index</html>", "contact_sheet.html": b"<html>sheet</html>"}
EARLIER = date(2026, 1, 1)


@pytest.fixture(autouse=True)
def plain_pages(monkeypatch):
    """Spares these tests the rendering of Data Docs, which takes half of the time."""
    from include.retraining.intake.validation import validation

    monkeypatch.setattr(validation, "build_data_docs", lambda *_: PAGES)


def config_with(shard_images=2000, images=None, **rules):
    """A recipe that refuses no batch for its quarantined images, unless a rule says so."""
    return make_config(
        intake={"shard_images": shard_images, "images": {"maximum_bytes": 5000, **(images or {})}},
        expectations={"quarantined": {"maximum": 1.0}, **rules},
        dataset={"near_duplicate_bits": None},
    )


LENIENT = config_with()


def judged(*rows, config=LENIENT, store=None, reverse=False):
    """Judges facts as tasks left them; returns the day's verdicts, and the rows in key order."""
    run = make_run(store, config)
    facts = facts_of(*rows)
    uris = []
    for number, listing_uri in enumerate(exchange.keep_listings(run, facts[LISTING.names])):
        shard = facts.iloc[number * config.intake.shard_images :][: config.intake.shard_images]
        uris.append(exchange.keep_facts(run, listing_uri, shard))
    verdicts = judge(run, uris[::-1] if reverse else uris, register_baseline=False)
    day = verdicts.days[DAY]
    return day, pd.concat([exchange.recall_verdicts(run, uri) for uri in day.shard_uris], ignore_index=True)


def document_of(store, day):
    return json.loads(store.get(key_of(store, day.document_uri)))


def take_in(store, window=None, config=LENIENT, register_baseline=False, run_id="manual__1"):
    """The whole stage, task by task."""
    run = make_run(store, config, window or days(2, 2), run_id=run_id)
    facts = [steps.inspect_images(run, uri) for uri in steps.list_batch(run)]
    verdicts = steps.quarantine_images(run, steps.validate_batch(run, facts, register_baseline=register_baseline))
    return run.load(steps.accept_batch(run, verdicts, register_baseline=register_baseline), IntakeRecord)


def days(first, last):
    return Window(datetime(2026, 1, first, tzinfo=UTC), datetime(2026, 1, last + 1, tzinfo=UTC))


def evidence_apart(store, prefix):
    return {key: body for key, body in store.objects.items() if key.startswith(prefix)}


def test_a_row_without_reasons_is_accepted_and_has_a_split():
    _, rows = judged({}, {"label": "tulip"}, {"pixel_sha256": "", "problem": "not_an_image", "split": "test"})

    assert rows["outcome"].tolist() == ["accepted", "quarantined", "quarantined"]
    assert rows["reason"].tolist() == ["", "unknown_label", "not_an_image"]
    assert rows["assigned_split"].tolist()[1:] == ["", ""]
    assert rows["assigned_split"][0] in ("train", "validation", "test")
    assert rows["split"].tolist() == ["", "", "test"]


def test_duplicates_are_found_across_shards_among_the_rows_that_have_no_other_reason():
    _, rows = judged(
        {"image": "a.png", "pixel_sha256": "same", "label": "tulip"},
        {"image": "b.png", "pixel_sha256": "same", "split": "holdout"},
        {"image": "c.png", "pixel_sha256": "same"},
        {"image": "d.png", "pixel_sha256": "same", "split": "test", "group": "garden"},
        {"image": "e.png"},
        config=config_with(shard_images=2),
    )

    assert rows[["outcome", "reason", "assigned_split", "pinned", "group"]].to_numpy().tolist()[:4] == [
        ["quarantined", "unknown_label", "", False, ""],
        ["quarantined", "invalid_split", "", False, ""],
        ["accepted", "", "test", True, "garden"],
        ["skipped", "duplicate", "", False, "garden"],
    ]
    assert rows["related"].tolist() == ["", "", "", rows["key"][2], ""]
    assert rows["outcome"][4] == "accepted"


ROWS = [
    {},
    {"pixel_sha256": "same"},
    {"label": "tulip"},
    {"pixel_sha256": "same"},
    {"near_constant": True},
    {"pixel_sha256": "two faces"},
    {"pixel_sha256": "two faces", "label": "poppy"},
]


def test_neither_the_size_of_the_shards_nor_their_order_matters(monkeypatch):
    stores = InMemoryStore(), InMemoryStore()

    whole, rows_of_whole = judged(*ROWS, store=stores[0])
    monkeypatch.setattr("include.retraining.intake.verdicts.ROWS_AT_ONCE", 3)
    parts, rows_of_parts = judged(*ROWS, config=config_with(shard_images=3), store=stores[1], reverse=True)

    pd.testing.assert_frame_equal(rows_of_whole, rows_of_parts)
    assert document_of(stores[0], whole) == document_of(stores[1], parts)
    assert (len(whole.shard_uris), len(parts.shard_uris)) == (1, 3)
    assert whole.warnings == parts.warnings
    assert (
        rows_of_whole["outcome"].tolist()
        == ["accepted", "accepted", "quarantined", "skipped", "accepted"] + ["quarantined"] * 2
    )


def test_a_rule_that_warns_holds_nothing_back_and_one_that_blocks_refuses_the_batch():
    row = {"near_constant": True}

    warned, warned_rows = judged(row, {}, config=config_with(not_constant={"severity": "warn"}))
    blocked, blocked_rows = judged(row, {}, config=config_with(not_constant={"severity": "block"}))

    assert warned_rows["outcome"].tolist() == ["accepted", "accepted"]
    assert (warned.failures, len([it for it in warned.warnings if "not_constant" in it])) == ((), 1)
    assert blocked_rows["reason"].tolist() == ["near_constant", ""]
    assert blocked.failures == (
        "1 of 2 images break expectations.not_constant, which allows none (near_constant 1): '0.png'",
    )


def test_a_class_without_images_is_a_warning_alone():
    day, _ = judged({"label": "daisy"}, {"label": "poppy"}, {"label": "orchid", "problem": "not_an_image"})

    assert day.warnings == ("no image of 'orchid' was delivered",)
    assert day.failures == ()


def test_a_batch_without_a_single_usable_image_is_refused_not_crashed():
    day, rows = judged({"label": "tulip"}, {"problem": "not_an_image"})

    assert day.failures == ("0 of 2 images are usable, and expectations.usable_rows asks for 1",)
    assert rows["outcome"].tolist() == ["quarantined", "quarantined"]


def test_a_lost_image_is_an_error_not_a_smaller_count(monkeypatch):
    from include.retraining.intake import verdicts

    whole = verdicts._verdicts
    monkeypatch.setattr(verdicts, "_verdicts", lambda *arguments: whole(*arguments).iloc[1:])

    with pytest.raises(RuntimeError, match=r"3 images were delivered, and .* judged"):
        judged({}, {}, {})


def test_every_kind_of_trouble_is_named_and_the_counts_add_up():
    store = InMemoryStore()
    files = {f"{number}.png": png(number) for number in range(6)}
    trouble = {
        "cut.png": png(7)[:-30],
        "text.png": b"no image",
        "twin.png": png(1),
        "two-faced.png": png(2),
        "tiny.png": png(8, side=3),
        "picture.gif": encoded(picture(9), "GIF"),
        "huge.png": bytes(5001),
        "empty.png": b"",
        "stray.png": png(10),
        "strange.png": png(11),
        "nameless.png": png(12),
    }
    lines = [f"{name},{label}" for name, label in zip(files, ["daisy", "poppy", "orchid"] * 2, strict=True)]
    lines += ["cut.png,daisy", "text.png,daisy", "twin.png,poppy,,test", "two-faced.png,daisy", "tiny.png,daisy"]
    lines += ["picture.gif,daisy", "huge.png,daisy", "empty.png,daisy", "strange.png,tulip", "nameless.png,"]
    lines += ["gone.png,daisy", "../x.png,daisy"]
    deliver(store, {**files, **trouble}, lines)

    record = take_in(store)

    assert (record.delivered, record.accepted, record.skipped) == (19, 5, 1)
    assert record.quarantined == {
        "empty_object": 1,
        "format_not_allowed": 1,
        "label_conflict": 2,
        "missing_object": 1,
        "no_label": 1,
        "not_an_image": 1,
        "not_listed": 1,
        "outside_batch": 1,
        "sides_out_of_bounds": 1,
        "too_many_bytes": 1,
        "truncated_or_corrupt": 1,
        "unknown_label": 1,
    }
    lines = store.get("quarantine/flowers/2026-01-02/reasons.jsonl").splitlines()
    assert Counter(json.loads(line)["reasons"][0]["code"] for line in lines) == record.quarantined


def test_taking_in_the_same_delivery_again_changes_nothing():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": png(1), "daisy/b.png": png(1), "tulip/c.png": png(2)})

    first = take_in(store)
    before = evidence_apart(store, "batches/"), evidence_apart(store, "quarantine/")
    again = take_in(store, run_id="manual__2")

    assert (first.unchanged, again.unchanged) == ((), (DAY,))
    assert (again.accepted, again.skipped, again.quarantined) == (1, 1, {"unknown_label": 1})
    assert (evidence_apart(store, "batches/"), evidence_apart(store, "quarantine/")) == before


def test_delivering_a_batch_again_under_a_later_day_adds_nothing_and_says_so():
    store = InMemoryStore()
    files = {"daisy/a.png": png(1), "poppy/b.png": png(2), "orchid/c.png": b"broken"}
    deliver(store, files, day=EARLIER)
    deliver(store, files)

    take_in(store, days(1, 1))
    record = take_in(store)

    assert (record.accepted, record.skipped, record.quarantined) == (0, 2, {"not_an_image": 1})
    assert record.batch_uris == {}
    assert any("nothing new" in warning for warning in record.warnings)


def test_a_window_of_two_days_accepts_what_two_windows_of_a_day_accept():
    apart, together = InMemoryStore(), InMemoryStore()
    for store in (apart, together):
        deliver(store, {"daisy/a.png": png(1), "poppy/b.png": png(2)}, day=EARLIER)
        deliver(store, {"poppy/a.png": png(1), "poppy/b.png": png(2), "orchid/c.png": png(3)})

    take_in(apart, days(1, 1))
    take_in(apart)
    record = take_in(together, days(1, 2))

    assert (record.accepted, record.skipped, record.quarantined) == (3, 1, {"label_conflict": 1})
    assert evidence_apart(apart, "batches/") == evidence_apart(together, "batches/")
    assert evidence_apart(apart, "quarantine/") == evidence_apart(together, "quarantine/")


def of_labels(**counts):
    number, files = iter(range(10_000)), {}
    for label, count in counts.items():
        files |= {f"{label}/{it}.png": png(next(number)) for it in range(count)}
    return files


def test_labels_that_moved_are_a_warning_unless_the_day_begins_a_new_baseline():
    store, other = InMemoryStore(), InMemoryStore()
    for each in (store, other):
        deliver(each, of_labels(daisy=60, poppy=5, orchid=5), day=EARLIER)
        deliver(each, {f"orchid/x{number}.png": png(20_000 + number) for number in range(60)})
        take_in(each, days(1, 1))

    compared = take_in(store)
    registered = take_in(other, register_baseline=True)

    moved = [warning for warning in compared.warnings if "the labels' distribution moved" in warning]
    assert len(moved) == 1
    assert "against the batch of 2026-01-01" in moved[0]
    assert "'orchid' from 7.1% to 100.0%" in moved[0]
    assert not any("moved" in warning for warning in registered.warnings)
    assert registered.baseline_registered


def test_a_refused_delivery_is_quarantined_before_the_error_names_it():
    store = InMemoryStore()
    deliver(store, {"tulip/a.png": png(1), "daisy/b.png": png(2)})

    with pytest.raises(DataContractError) as refusal:
        take_in(store, config=config_with(quarantined={"maximum": 0.2}))

    assert "s3://memory/incoming/flowers/2026-01-02/ is refused: 2026-01-02: 1 of 2 images are quarantined" in str(
        refusal.value
    )
    assert store.exists("quarantine/flowers/2026-01-02/reasons.jsonl")
    assert not any(key.startswith("batches/") for key in store.objects)


def test_the_pages_lie_beside_the_batch_and_the_index_is_what_the_record_names():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": png(1)})

    record = take_in(store)

    kept = {key.rpartition("data_docs/")[2]: body for key, body in store.objects.items() if "data_docs/" in key}
    assert kept == PAGES
    assert store.get(key_of(store, record.data_docs_uris[DAY])) == PAGES["index.html"]
    assert any(key.startswith("batches/") and key.endswith("data_docs/contact_sheet.html") for key in store.objects)


def test_every_reason_has_a_meaning_and_a_code_that_can_be_parted():
    assert all(reason.meaning.endswith(".") and re.fullmatch(r"[a-z_]+", reason) for reason in Reason)


def test_great_expectations_is_loaded_by_who_judges_only():
    program = (
        "import sys; from include.retraining.intake import acceptance, batches, verdicts; "
        "from include.retraining.intake.delivery import listing; "
        "from include.retraining.intake.inspection import inspection; "
        "sys.exit('great_expectations' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
