from __future__ import annotations

import pandas as pd

from include.retraining.intake.duplicates import find_duplicates
from include.retraining.intake.reasons import Reason
from tests.unit.retraining.intake.deliveries import facts_of

SAME = {"pixel_sha256": "same"}


def earlier_of(**images: tuple[str, str]) -> pd.DataFrame:
    frame = pd.DataFrame(images.values(), columns=["label", "split"], index=pd.Index(images), dtype=str)
    return frame.rename_axis("image_id")


NOTHING_EARLIER = earlier_of()


def test_different_pictures_are_no_duplicates():
    findings = find_duplicates(facts_of({}, {}, {"label": "poppy"}), earlier_of(other=("daisy", "")))

    assert (findings.reasons, findings.splits, findings.warnings) == ({}, {}, ())


def test_the_first_by_key_stays_whatever_the_order_of_the_rows():
    rows = facts_of({"image": "c.png", **SAME}, {"image": "a.png", **SAME}, {"image": "b.png", **SAME})

    assert find_duplicates(rows, NOTHING_EARLIER).reasons == {0: Reason.DUPLICATE, 2: Reason.DUPLICATE}


def test_a_key_that_is_listed_twice_is_a_duplicate_of_itself():
    rows = facts_of({"image": "a.png", **SAME}, {"image": "a.png", **SAME})

    assert find_duplicates(rows, NOTHING_EARLIER).reasons == {1: Reason.DUPLICATE}


def test_the_one_that_stays_takes_over_the_pin_of_the_others():
    rows = facts_of(SAME, {**SAME, "split": "test"}, SAME, {})

    findings = find_duplicates(rows, NOTHING_EARLIER)

    assert findings.splits == {0: "test"}
    assert findings.reasons == {1: Reason.DUPLICATE, 2: Reason.DUPLICATE}


def test_two_pins_of_one_picture_quarantine_all_of_them():
    rows = facts_of({**SAME, "split": "train"}, SAME, {**SAME, "split": "test"})

    findings = find_duplicates(rows, NOTHING_EARLIER)

    assert findings.reasons == dict.fromkeys(range(3), Reason.SPLIT_CONFLICT)
    assert findings.splits == {}


def test_one_picture_under_two_labels_is_quarantined_wherever_it_occurs():
    rows = facts_of(SAME, {**SAME, "label": "poppy"}, SAME)

    assert find_duplicates(rows, NOTHING_EARLIER).reasons == dict.fromkeys(range(3), Reason.LABEL_CONFLICT)


def test_a_picture_of_an_earlier_batch_is_skipped_every_time_that_it_comes():
    findings = find_duplicates(facts_of(SAME, SAME, {}), earlier_of(same=("daisy", "")))

    assert findings.reasons == dict.fromkeys(range(2), Reason.DUPLICATE_OF_EARLIER_BATCH)
    assert findings.warnings == ()


def test_a_picture_that_an_earlier_batch_has_under_another_label_is_quarantined():
    findings = find_duplicates(facts_of(SAME), earlier_of(same=("poppy", "")))

    assert findings.reasons == {0: Reason.LABEL_CONFLICT}


def test_a_pin_against_the_earlier_batch_is_skipped_with_a_warning():
    rows = facts_of({**SAME, "split": "test"}, {"pixel_sha256": "pinned", "split": "test"})

    findings = find_duplicates(rows, earlier_of(same=("daisy", ""), pinned=("daisy", "test")))

    assert findings.reasons == dict.fromkeys(range(2), Reason.DUPLICATE_OF_EARLIER_BATCH)
    assert findings.splits == {}
    (warning,) = findings.warnings
    assert warning.startswith("1 duplicates of earlier images pin another split")
    assert warning.endswith("'0.png'")


def test_a_warning_names_a_few_images_only():
    rows = facts_of(*({"pixel_sha256": "same", "split": "test"} for _ in range(500)))

    (warning,) = find_duplicates(rows, earlier_of(same=("daisy", "train"))).warnings

    assert warning.startswith("500 ")
    assert len(warning) < 300
