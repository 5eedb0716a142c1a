from __future__ import annotations

import json
from collections import Counter
from datetime import date

import pandas as pd
import pytest

from include.retraining.intake.drift.drift import DriftFigures, Shift
from include.retraining.intake.drift.statistics import BatchStatistics
from include.retraining.intake.summary import BatchSummary
from tests.builders import make_config
from tests.unit.retraining.intake.deliveries import DAY, facts_of

NOTHING = DriftFigures(labels=None, images={}, is_registering=False, baseline_days=())
UNDECODED = {"pixel_sha256": "", "brightness": float("nan"), "contrast": float("nan"), "sharpness": float("nan")}


@pytest.fixture(autouse=True)
def plain_pages(monkeypatch):
    """Spares these tests the rendering of Data Docs."""
    from include.retraining.intake.validation import validation

    monkeypatch.setattr(validation, "build_data_docs", lambda *_: {"index.html": b""})


def validation_of(config=None, **rules):
    from include.retraining.intake.validation.validation import DayValidation

    return DayValidation(config or make_config(expectations=rules), DAY)


def summary_of(accepted=10, skipped=0, first_reasons=None, usable=None):
    first_reasons = Counter(first_reasons or {})
    outcomes = Counter(accepted=accepted, skipped=skipped, quarantined=first_reasons.total() - skipped)
    return BatchSummary(
        outcomes=+outcomes,
        first_reasons=first_reasons,
        usable=Counter({"daisy": 4, "poppy": 4, "orchid": 4} if usable is None else usable),
        accepted=BatchStatistics(),
    )


def shift(psi, chance=0.01, kl=0.1, **rows):
    batch, baseline = rows.get("batch", {"daisy": 50, "poppy": 50}), rows.get("baseline", {"daisy": 900, "poppy": 100})
    return Shift(psi=psi, chance=chance, kl=kl, n_batch=100, n_baseline=1000, batch=batch, baseline=baseline)


def drift_of(labels=None, **images):
    days = (date(2025, 12, 30), date(2026, 1, 1))
    return DriftFigures(labels=labels, images=images, is_registering=False, baseline_days=days)


def judged(validation, summary=None, drift=NOTHING, warnings=()):
    return validation.judge_batch(summary or summary_of(), drift, warnings, b"<html>sheet</html>")


DEFECTS = [
    ({}, ()),
    ({"split": "validation", "group": "garden"}, ()),
    ({"key": "", "size_bytes": -1, "problem": "outside_batch"}, ("outside_batch",)),
    ({"size_bytes": -1, "problem": "missing_object"}, ("missing_object",)),
    ({"problem": "missing_object"}, ("missing_object",)),  # deleted since it was listed
    ({"image": "", "key": "an/object", "label": ""}, ("not_listed",)),
    ({"size_bytes": 0, "problem": "empty_object"}, ("empty_object",)),
    ({"size_bytes": 5001, "problem": "too_many_bytes"}, ("too_many_bytes",)),
    ({"format": "", "problem": "not_an_image"}, ("not_an_image",)),
    ({"format": "GIF", "problem": "format_not_allowed"}, ("format_not_allowed",)),
    ({"format": "GIF"}, ("format_not_allowed",)),
    ({"width": 7}, ("sides_out_of_bounds",)),
    ({"height": 8193, "width": 8193}, ("sides_out_of_bounds",)),
    ({"height": 8000, "width": 8000}, ("sides_out_of_bounds",)),  # more than 50 million pixels
    ({"width": 0, "height": 0, "problem": "sides_out_of_bounds"}, ("sides_out_of_bounds",)),  # a decompression bomb
    ({"width": 100, "height": 9}, ("aspect_out_of_bounds",)),
    ({"width": 90, "height": 9}, ()),
    ({"n_frames": 3, "problem": "animated"}, ("animated",)),
    ({"mode": "CMYK", "problem": "colour_not_allowed"}, ("colour_not_allowed",)),
    ({"mode": "F", "problem": "unsupported_pixels"}, ("unsupported_pixels",)),
    ({"problem": "truncated_or_corrupt"}, ("truncated_or_corrupt",)),
    ({"label": ""}, ("no_label",)),
    ({"label": "tulip"}, ("unknown_label",)),
    ({"label": "Daisy"}, ("unknown_label",)),
    ({"label": "daisy "}, ("unknown_label",)),
    ({"split": "holdout"}, ("invalid_split",)),
    ({"near_constant": True}, ("near_constant",)),
    ({"near_constant": True, "problem": "truncated_or_corrupt", **UNDECODED}, ("truncated_or_corrupt",)),
    ({"brightness": 0.0999}, ("brightness_out_of_range",)),
    ({"contrast": 0.009}, ("contrast_out_of_range",)),
    ({"sharpness": 1e6}, ("sharpness_out_of_range",)),
    ({"label": "x", "split": "y", "width": 7}, ("sides_out_of_bounds", "unknown_label", "invalid_split")),
]
STRICT = make_config(
    intake={"images": {"maximum_bytes": 5000}},
    expectations={
        "not_constant": {"severity": "row"},
        "brightness": {"minimum": 0.1},
        "contrast": {"minimum": 0.01},
        "sharpness": {"maximum": 1e5},
    },
)


def test_each_defect_has_its_reasons_and_nothing_else_is_refused():
    rows = [{**row, **UNDECODED} if row.get("problem") else row for row, _ in DEFECTS]

    refused = validation_of(STRICT).refuse_rows(facts_of(*rows))

    assert [refused.get(position, ()) for position in range(len(DEFECTS))] == [reasons for _, reasons in DEFECTS]


def test_what_was_not_measured_breaks_no_range():
    rows = facts_of({"problem": "truncated_or_corrupt", **UNDECODED})

    refused = validation_of(STRICT).refuse_rows(rows)

    assert refused == {0: ("truncated_or_corrupt",)}


def test_every_finding_about_other_rows_becomes_the_reason():
    codes = ["", "duplicate", "duplicate_of_earlier_batch", "duplicate_of_test_image", "label_conflict"]
    codes += ["group_conflict", "split_conflict", "near_duplicate_across_splits"]
    rows = facts_of(*[{}] * len(codes))

    refused = validation_of().refuse_related(rows, pd.Series(codes, index=range(100, 100 + len(codes))))

    assert refused == {position: (code,) for position, code in enumerate(codes) if code}


def test_a_warning_refuses_nothing_and_names_five():
    validation = validation_of(not_constant={"severity": "warn"})

    refused = validation.refuse_rows(facts_of({}, *[{"near_constant": True}] * 7))
    outcome = judged(validation, summary_of(accepted=8))

    assert refused == {}
    assert outcome.failures == ()
    assert outcome.warnings == (
        "7 of 8 images break expectations.not_constant (near_constant 7): "
        "'1.png', '2.png', '3.png', '4.png', '5.png', …",
    )


def test_a_rule_that_blocks_refuses_its_rows_and_the_batch():
    validation = validation_of(label_known={"severity": "block"}, new_image={"severity": "block"})
    rows = facts_of({"label": "tulip"}, {"label": ""}, {}, {})

    refused = validation.refuse_rows(rows), validation.refuse_related(rows, pd.Series(["", "", "", "duplicate"]))
    outcome = judged(validation, summary_of(accepted=4))

    assert refused == ({0: ("unknown_label",), 1: ("no_label",)}, {3: ("duplicate",)})
    assert outcome.failures == (
        "2 of 4 images break expectations.label_known, which allows none (no_label 1, unknown_label 1): "
        "'0.png', '1.png'",
        "1 of 4 images break expectations.new_image, which allows none (duplicate 1): '3.png'",
    )
    assert outcome.warnings == ()


def test_a_row_that_breaks_several_expectations_of_a_rule_is_one_row():
    validation = validation_of(within_policy={"severity": "block"})

    validation.refuse_rows(facts_of({"width": 7, "height": 7, "format": "GIF"}))
    outcome = judged(validation, summary_of(accepted=1))

    assert outcome.failures[0].startswith("1 of 1 images break expectations.within_policy")


def test_the_size_of_shards_changes_nothing():
    rows = [{}, {"width": 7}, *[row for row, _ in DEFECTS]]
    findings = ["duplicate" if position % 5 == 0 else "" for position in range(len(rows))]
    config = make_config(expectations={"brightness": {"minimum": 0.6, "severity": "warn"}})

    def documents(size):
        validation = validation_of(config)
        facts = facts_of(*rows)
        refused = []
        for start in range(0, len(rows), size):
            shard = facts.iloc[start : start + size]
            own = validation.refuse_rows(shard)
            related = validation.refuse_related(shard, pd.Series(findings[start : start + size]))
            refused += [(own.get(it, ()), related.get(it, ())) for it in range(len(shard))]
        outcome = judged(validation, summary_of(accepted=len(rows)))
        return refused, outcome.document, outcome.warnings

    whole, parts = documents(len(rows)), documents(9)

    assert whole == parts
    assert len(whole[2]) == 2


def test_the_document_says_which_images_broke_which_rule_and_names_twenty():
    validation = validation_of()
    rows = facts_of({}, *[{"label": "tulip"}] * 30, {"problem": "truncated_or_corrupt", **UNDECODED})

    validation.refuse_rows(rows)
    validation.refuse_related(rows, pd.Series([""] * len(rows)))
    document = json.loads(judged(validation, summary_of(1, 0, {"unknown_label": 30, "no_label": 1})).document)

    (finding,) = [it for it in document["findings"] if it.get("reason") == "unknown_label"]
    assert (document["delivered"], document["outcomes"]) == (32, {"accepted": 1, "quarantined": 31})
    assert document["first_reasons"] == {"no_label": 1, "unknown_label": 30}
    assert (finding["rule"], finding["severity"], finding["success"]) == ("label_known", "row", False)
    assert (finding["n_evaluated"], finding["n_missing"], finding["n_unexpected"]) == (32, 0, 30)
    assert finding["examples"] == [f"{number}.png" for number in range(1, 21)]
    assert {it["rule"] for it in document["findings"]} >= {"readable", "split_kept", "quarantined"}


def test_the_document_holds_the_shifts_and_what_they_are_against():
    document = json.loads(judged(validation_of(), drift=drift_of(labels=shift(0.2), size=shift(0.3))).document)

    assert document["baseline"] == {"days": ["2025-12-30", "2026-01-01"], "is_registering": False}
    assert document["drift"]["label"] == {
        "psi": 0.2,
        "chance": 0.01,
        "kl": 0.1,
        "n_batch": 100,
        "n_baseline": 1000,
        "batch": {"daisy": 50, "poppy": 50},
        "baseline": {"daisy": 900, "poppy": 100},
    }
    assert list(document["drift"]) == ["label", "size"]
    (finding,) = [it for it in document["findings"] if it["parameters"]["column"] == "size_psi"]
    assert (finding["observed"], finding["success"]) == (0.3, False)


def test_the_document_spells_labels_as_the_recipe_does():
    validation = validation_of(make_config(labels=("rock & roll", "<b>")))

    refused = validation.refuse_rows(facts_of({"label": "rock & roll"}, {"label": "<b>"}))
    document = json.loads(judged(validation, summary_of(usable={"rock & roll": 1})).document)

    assert refused == {}
    assert document["warnings"] == ["no image of '<b>' was delivered"]
    parameters = [it["parameters"] for it in document["findings"]]
    assert {"column": "label", "value_set": ["rock & roll", "<b>"]} in parameters
    assert {"column": "n_<b>", "min_value": 1} in parameters


def test_warnings_from_elsewhere_come_first():
    assert judged(validation_of(), summary_of(usable={}), warnings=("two pins",)).warnings == (
        "two pins",
        "no image of 'daisy', 'poppy', 'orchid' was delivered",
    )


def test_too_many_quarantined_images_refuse_the_batch_and_duplicates_are_none():
    rules = {"quarantined": {"maximum": 0.5}}

    at_the_limit = judged(validation_of(**rules), summary_of(2, 1, {"duplicate": 1, "unknown_label": 3}))
    over_it = judged(validation_of(**rules), summary_of(1, 1, {"duplicate": 1, "unknown_label": 1, "no_label": 2}))

    assert at_the_limit.failures == ()
    assert over_it.failures == (
        "3 of 5 images are quarantined (no_label 2, unknown_label 1), and expectations.quarantined allows 50%",
    )


def test_too_few_usable_images_refuse_the_batch_but_duplicates_are_usable():
    rules = {"usable_rows": {"severity": "block", "minimum": 3}, "quarantined": {"maximum": 1.0}}

    enough = judged(validation_of(**rules), summary_of(2, 1, {"duplicate": 1}))
    too_few = judged(validation_of(**rules), summary_of(2, 0, {"no_label": 1}))

    assert enough.failures == ()
    assert too_few.failures == ("2 of 3 images are usable, and expectations.usable_rows asks for 3",)


def test_nothing_new_is_said_unless_nothing_is_usable():
    rules = {"usable_rows": {"severity": "warn"}, "quarantined": {"maximum": 1.0}}

    known = judged(validation_of(**rules), summary_of(0, 2, {"duplicate_of_earlier_batch": 2}))
    broken = judged(validation_of(**rules), summary_of(0, 0, {"no_label": 2}))

    assert known.warnings == (
        "nothing new: the earlier batches hold every image that can be used, so the day gets no batch",
    )
    assert broken.warnings == (
        "0 of 2 images are usable, and expectations.usable_rows asks for 1",
        "0 of 2 images are new and usable, and expectations.new_rows asks for 1",
    )


def test_classes_that_are_missing_and_that_are_scarce_are_told_apart():
    outcome = judged(
        validation_of(every_class={"severity": "block", "minimum": 3}), summary_of(usable={"daisy": 3, "poppy": 2})
    )

    assert outcome.failures == (
        "no image of 'orchid' was delivered; "
        "fewer images than expectations.every_class asks for (3) are usable of 'poppy' (2)",
    )


def test_labels_that_moved_are_told_with_figures():
    outcome = judged(validation_of(), drift=drift_of(labels=shift(0.41, chance=0.03)))

    assert outcome.warnings == (
        "the labels' distribution moved: PSI 0.41 against the 2 batches since 2025-12-30, and "
        "expectations.label_distribution allows 0.25 (chance alone gives up to 0.03); labels that moved most: "
        "'poppy' from 10.0% to 50.0%, 'daisy' from 90.0% to 50.0%",
    )


@pytest.mark.parametrize(
    ("psi", "chance", "drifts"), [(0.25, 0.0, False), (0.26, 0.0, True), (0.9, 0.9, False), (0.91, 0.9, True)]
)
def test_a_batch_drifts_over_the_maximum_and_over_chance(psi, chance, drifts):
    outcome = judged(
        validation_of(image_statistics={"severity": "block"}), drift=drift_of(sharpness=shift(psi, chance))
    )

    assert len(outcome.failures) == drifts
    assert all("sharpness PSI" in failure and "allows 0.25" in failure for failure in outcome.failures)


def test_a_bound_on_kl_is_held_too_where_chance_does_not_explain_the_shift():
    rules = {"label_distribution": {"maximum_kl": 0.5, "severity": "block"}}

    moved = judged(validation_of(**rules), drift=drift_of(labels=shift(0.2, kl=0.6)))
    by_chance = judged(validation_of(**rules), drift=drift_of(labels=shift(0.2, chance=0.3, kl=0.6)))

    assert len(moved.failures) == 1
    assert "moved: KL 0.60 against" in moved.failures[0]
    assert "allows 0.50;" in moved.failures[0]
    assert by_chance.failures == ()


def test_nothing_drifts_where_nothing_is_compared():
    rules = {"label_distribution": {"severity": "block"}, "image_statistics": {"severity": "block"}}

    assert judged(validation_of(**rules)).failures == ()


def test_an_expectation_that_cannot_be_evaluated_lets_nothing_pass(monkeypatch):
    from great_expectations.expectations import ExpectColumnValuesToNotBeNull

    from include.retraining.intake.validation import validation
    from include.retraining.intake.validation.suite import Suite

    broken = ExpectColumnValuesToNotBeNull(column="no_such_column", meta={"rule": "readable", "severity": "row"})
    monkeypatch.setattr(validation, "build_suite", lambda config: Suite(rows=(broken,), related=(), batch=()))

    with pytest.raises(RuntimeError, match="expect_column_values_to_not_be_null was not evaluated"):
        validation_of().refuse_rows(facts_of({}))


def test_an_expectation_without_a_result_lets_nothing_pass(monkeypatch):
    from great_expectations.datasource.fluent.interfaces import Batch

    whole = Batch.validate

    def lossy(self, *arguments, **options):
        result = whole(self, *arguments, **options)
        result.results.pop()
        return result

    monkeypatch.setattr(Batch, "validate", lossy)

    with pytest.raises(RuntimeError, match="no result"):
        validation_of().refuse_rows(facts_of({}))


def test_a_recipe_may_turn_off_all_that_is_about_batches():
    names = ("every_class", "new_rows", "usable_rows", "quarantined", "label_distribution", "image_statistics")

    outcome = judged(validation_of(**{name: {"severity": "off"} for name in names}), summary_of(0, 0, {"no_label": 1}))

    assert (outcome.warnings, outcome.failures) == ((), ())
