from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import UTC, date, datetime

import pandas as pd
import pytest

from include.retraining.artifacts import Window
from include.retraining.errors import DataContractError
from include.retraining.intake.acceptance import accept_batches, quarantine_images
from include.retraining.intake.batches import earlier_images
from include.retraining.intake.inspection import inspect
from include.retraining.intake.listing import list_delivery
from include.retraining.intake.reasons import Reason
from include.retraining.intake.verdicts import judge
from include.retraining.schemas import VERDICTS
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.tables import from_parquet, to_parquet
from tests.builders import make_config, make_run
from tests.unit.retraining.intake.deliveries import DAY, deliver, encoded, facts_of, picture, png

# Great Expectations imports a module of the standard library that Python 3.11 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:module 'sre_:DeprecationWarning")


@pytest.fixture(autouse=True)
def plain_pages(monkeypatch):
    """Spares most tests the rendering of Data Docs, which takes half of the time."""
    from include.retraining.intake import expectations

    monkeypatch.setattr(expectations, "build_data_docs", lambda context: {"index.html": b"<html></html>"})


@pytest.fixture
def real_pages(plain_pages, monkeypatch):
    from include.retraining.intake import data_docs, expectations

    monkeypatch.setattr(expectations, "build_data_docs", data_docs.build_data_docs)


LENIENT = make_config(intake={"maximum_quarantined_fraction": 1.0, "maximum_image_bytes": 5000})
NOTHING_EARLIER = earlier_images(InMemoryStore(), "flowers", DAY)


def verdicts_on(*rows, config=LENIENT, earlier=NOTHING_EARLIER):
    return judge(make_run(config=config), facts_of(*rows), earlier)


def take_in(store, window=None, config=LENIENT):
    """The whole stage, as the pipeline runs it."""
    run = make_run(store, config) if window is None else make_run(store, config, window)
    facts = inspect(run, list_delivery(run))
    verdicts = judge(run, facts, earlier_images(store, run.classifier, facts["date"].min()))
    quarantine_images(run, verdicts)
    return accept_batches(run, verdicts)


def days(first, last):
    return Window(datetime(2026, 1, first, tzinfo=UTC), datetime(2026, 1, last + 1, tzinfo=UTC))


DEFECTS = [
    ({}, ""),
    ({"split": "validation", "group": "garden"}, ""),
    ({"key": "", "size_bytes": -1, "problem": "outside_batch"}, "outside_batch"),
    ({"size_bytes": -1, "problem": "missing_object"}, "missing_object"),
    ({"problem": "missing_object"}, "missing_object"),  # deleted since it was listed
    ({"image": "", "key": "an/object", "label": ""}, "not_listed"),
    ({"size_bytes": 5001, "problem": "too_many_bytes"}, "too_many_bytes"),
    ({"format": "", "problem": "not_an_image"}, "not_an_image"),
    ({"format": "GIF", "problem": "format_not_allowed"}, "format_not_allowed"),
    ({"width": 7}, "sides_out_of_bounds"),
    ({"height": 8193}, "sides_out_of_bounds"),
    ({"width": 0, "height": 0, "problem": "sides_out_of_bounds"}, "sides_out_of_bounds"),  # a decompression bomb
    ({"problem": "truncated_or_corrupt"}, "truncated_or_corrupt"),
    ({"label": ""}, "no_label"),
    ({"label": "tulip"}, "unknown_label"),
    ({"label": "Daisy"}, "unknown_label"),
    ({"label": "daisy "}, "unknown_label"),
    ({"split": "holdout"}, "invalid_split"),
    ({"label": "x", "split": "y", "width": 1}, "sides_out_of_bounds; unknown_label; invalid_split"),
]


def test_each_defect_has_its_reason_and_nothing_else_is_refused():
    rows = [{"group": reason, **changes} for changes, reason in DEFECTS]  # the group travels, so it can tell them apart
    rows = [{**row, "pixel_sha256": ""} if row.get("problem") else row for row in rows]

    judged = verdicts_on(*rows).rows

    given = list(zip(judged["reason"], judged["outcome"], strict=True))
    assert given == [
        (reason, "quarantined" if reason else "accepted") for reason in judged["group"].replace("garden", "")
    ]
    assert len(judged) == len(DEFECTS)
    assert from_parquet(to_parquet(judged, VERDICTS), VERDICTS, "")["reason"].tolist() == judged["reason"].tolist()


def test_duplicates_are_found_among_the_rows_that_have_no_other_reason():
    verdicts = verdicts_on(
        {"image": "a.png", "pixel_sha256": "same", "label": "tulip"},
        {"image": "b.png", "pixel_sha256": "same", "split": "holdout"},
        {"image": "c.png", "pixel_sha256": "same"},
        {"image": "d.png", "pixel_sha256": "same", "split": "test"},
    )

    assert verdicts.rows[["outcome", "split", "reason"]].to_numpy().tolist() == [
        ["quarantined", "", "unknown_label"],
        ["quarantined", "holdout", "invalid_split"],
        ["accepted", "test", ""],
        ["skipped", "test", "duplicate"],
    ]


def test_the_order_of_the_facts_does_not_matter():
    facts = facts_of({}, {"pixel_sha256": "same"}, {"pixel_sha256": "same"}, {"label": "tulip"})

    first, second = (judge(make_run(config=LENIENT), rows, NOTHING_EARLIER) for rows in (facts, facts.iloc[::-1]))

    pd.testing.assert_frame_equal(first.rows, second.rows)
    assert first.outcomes[DAY].document == second.outcomes[DAY].document


def test_a_class_without_images_is_a_warning_alone():
    verdicts = verdicts_on({"label": "daisy"}, {"label": "poppy"}, {"label": "orchid", "problem": "not_an_image"})

    assert verdicts.warnings == ("2026-01-02: no image of 'orchid' was delivered",)
    assert verdicts.outcomes[DAY].failures == ()


def test_too_many_quarantined_images_refuse_the_batch():
    config = make_config(intake={"maximum_quarantined_fraction": 0.5})

    at_the_limit = verdicts_on({}, {}, {"label": "x"}, {"label": "y"}, config=config)
    over_it = verdicts_on({}, {"label": "x"}, {"split": "y"}, config=config)

    assert at_the_limit.outcomes[DAY].failures == ()
    assert over_it.outcomes[DAY].failures == (
        "2 of 3 images are quarantined (invalid_split 1, unknown_label 1), "
        "and intake.maximum_quarantined_fraction allows 50%",
    )


def test_too_few_images_refuse_the_batch_but_duplicates_count_as_delivered():
    config = make_config(intake={"minimum_accepted_rows": 2, "maximum_quarantined_fraction": 1.0})
    earlier = pd.DataFrame({"label": ["daisy"], "split": [""]}, index=["old"])

    too_few = verdicts_on({}, {"label": "tulip"}, config=config)
    enough = verdicts_on({}, {"pixel_sha256": "old"}, config=config, earlier=earlier)

    assert too_few.outcomes[DAY].failures == ("1 of 2 images are usable, and intake.minimum_accepted_rows asks for 2",)
    assert enough.outcomes[DAY].failures == ()


def test_a_batch_without_a_single_usable_image_is_refused_not_crashed():
    verdicts = verdicts_on({"label": "tulip"}, {"problem": "not_an_image"})

    assert verdicts.outcomes[DAY].failures == ("0 of 2 images are usable, and intake.minimum_accepted_rows asks for 1",)


def test_the_validation_document_says_which_images_broke_which_rule():
    document = json.loads(verdicts_on({}, {"label": "tulip"}, {"label": "tulip"}).outcomes[DAY].document)

    (finding,) = [finding for finding in document["findings"] if finding.get("reason") == "unknown_label"]
    assert (document["delivered"], document["outcomes"]) == (3, {"accepted": 1, "quarantined": 2})
    assert document["first_reasons"] == {"unknown_label": 2}
    assert (finding["n_evaluated"], finding["n_unexpected"], finding["examples"]) == (3, 2, ["1.png", "2.png"])
    assert {finding["severity"] for finding in document["findings"]} == {"warning", "critical", "info"}


def test_data_docs_show_hostile_names_and_labels_as_text(real_pages):
    hostile = "<script>alert('x')</script>{{7*7}}${label}%s"
    verdicts = verdicts_on({"image": hostile, "label": hostile}, {"split": hostile}, {"format": hostile})

    pages = verdicts.outcomes[DAY].data_docs
    rows = next(page.decode() for name, page in pages.items() if name.startswith("validations/rows/"))

    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;{{7*7}}" in rows
    assert not any(b"<script>alert" in page for page in pages.values())
    assert {"index.html", "expectations/rows.html", "expectations/batch.html"} <= set(pages)


def test_a_label_with_markup_in_it_is_still_known():
    config = make_config(labels=("rock & roll", "<b>"))

    verdicts = verdicts_on({"label": "rock & roll"}, {"label": "<b>"}, config=config)

    assert verdicts.rows["outcome"].tolist() == ["accepted", "accepted"]
    assert verdicts.warnings == ()


def test_validation_leaves_no_file_and_no_output_behind(real_pages, tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with caplog.at_level(logging.WARNING):
        verdicts_on({}, {"label": "tulip"})

    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_an_expectation_that_cannot_be_evaluated_lets_nothing_pass(monkeypatch):
    from great_expectations.expectations import ExpectColumnValuesToNotBeNull

    from include.retraining.intake import expectations

    monkeypatch.setattr(
        expectations, "row_expectations", lambda config: [ExpectColumnValuesToNotBeNull(column="no_such_column")]
    )

    with pytest.raises(RuntimeError, match="expect_column_values_to_not_be_null was not evaluated"):
        verdicts_on({})


def test_a_lost_image_is_an_error_not_a_smaller_count(monkeypatch):
    from include.retraining.intake import verdicts

    whole = verdicts._verdicts
    monkeypatch.setattr(verdicts, "_verdicts", lambda *arguments: whole(*arguments).iloc[1:])

    with pytest.raises(RuntimeError, match=r"3 images were delivered, and .* judged"):
        verdicts_on({}, {}, {})


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
        "stray.png": png(10),
        "strange.png": png(11),
        "nameless.png": png(12),
    }
    lines = [f"{name},{label}" for name, label in zip(files, ["daisy", "poppy", "orchid"] * 2, strict=True)]
    lines += ["cut.png,daisy", "text.png,daisy", "twin.png,poppy,,test", "two-faced.png,daisy", "tiny.png,daisy"]
    lines += ["picture.gif,daisy", "huge.png,daisy", "strange.png,tulip", "nameless.png,", "gone.png,daisy"]
    lines += ["../x.png,daisy"]
    deliver(store, {**files, **trouble}, lines)

    record = take_in(store)

    assert (record.delivered, record.accepted, record.skipped) == (18, 5, 1)
    assert record.quarantined == {
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
    told = Counter(json.loads(line)["reasons"][0]["code"] for line in lines)
    assert told == record.quarantined
    assert earlier_images(store, "flowers", date(2026, 1, 3))["split"].tolist().count("test") == 1


def test_taking_in_the_same_delivery_again_changes_nothing():
    store = InMemoryStore()
    deliver(store, {"daisy/a.png": png(1), "daisy/b.png": png(1), "tulip/c.png": png(2)})

    first = take_in(store)
    before = dict(store.objects)

    assert take_in(store) == first
    assert store.objects == before


def test_delivering_a_batch_again_under_a_later_day_adds_nothing_and_says_so():
    store = InMemoryStore()
    files = {"daisy/a.png": png(1), "poppy/b.png": png(2), "orchid/c.png": b"broken"}
    deliver(store, files, day=date(2026, 1, 1))
    deliver(store, files, day=date(2026, 1, 2))

    take_in(store, days(1, 1))
    record = take_in(store, days(2, 2))

    assert (record.accepted, record.skipped, record.quarantined) == (0, 2, {"not_an_image": 1})
    assert record.batch_uris == {}
    assert any("nothing new" in warning for warning in record.warnings)


def test_a_window_of_two_days_accepts_what_two_windows_of_a_day_accept():
    apart, together = InMemoryStore(), InMemoryStore()
    for store in (apart, together):
        deliver(store, {"daisy/a.png": png(1), "poppy/b.png": png(2)}, day=date(2026, 1, 1))
        deliver(store, {"poppy/a.png": png(1), "poppy/b.png": png(2), "orchid/c.png": png(3)}, day=date(2026, 1, 2))

    take_in(apart, days(1, 1))
    take_in(apart, days(2, 2))
    record = take_in(together, days(1, 2))

    assert (record.accepted, record.skipped, record.quarantined) == (3, 1, {"label_conflict": 1})
    docs = re.compile(r"/data_docs/")  # they hold times
    kept = [{key: body for key, body in store.objects.items() if not docs.search(key)} for store in (apart, together)]
    assert kept[0] == kept[1]


def test_a_refused_delivery_is_quarantined_before_the_error_names_it():
    store = InMemoryStore()
    deliver(store, {"tulip/a.png": png(1), "daisy/b.png": png(2)})

    with pytest.raises(DataContractError) as refusal:
        take_in(store, config=make_config(intake={"maximum_quarantined_fraction": 0.2}))

    assert "s3://memory/incoming/flowers/2026-01-02/ is refused: 2026-01-02: 1 of 2 images are quarantined" in str(
        refusal.value
    )
    assert store.exists("quarantine/flowers/2026-01-02/reasons.jsonl")
    assert not any(key.startswith("batches/") for key in store.objects)


def test_every_reason_has_a_meaning_and_a_code_that_can_be_parted():
    assert all(reason.meaning.endswith(".") and re.fullmatch(r"[a-z_]+", reason) for reason in Reason)


def test_great_expectations_is_loaded_by_who_judges_only():
    program = (
        "import sys; from include.retraining.intake import acceptance, batches, inspection, listing, verdicts; "
        "sys.exit('great_expectations' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
