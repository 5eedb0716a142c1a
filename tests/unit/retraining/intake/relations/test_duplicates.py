from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from include.retraining.intake.reasons import Reason
from include.retraining.intake.relations.duplicates import DuplicateFindings, find_duplicates
from tests.unit.retraining.intake.deliveries import facts_of

SAME = {"pixel_sha256": "same"}


def earlier_of(**images: tuple[str, str]) -> pd.DataFrame:
    rows = [(label, split, f"key of {image}") for image, (label, split) in images.items()]
    return pd.DataFrame(rows, columns=["label", "split", "key"], index=pd.Index(images, name="image_id"), dtype=str)


NOTHING_EARLIER = earlier_of()


def reasons(findings: DuplicateFindings) -> Mapping[int, Reason]:
    return {index: finding.reason for index, finding in findings.findings.items()}


def test_different_pictures_are_no_duplicates():
    findings = find_duplicates(facts_of({}, {}, {"label": "poppy"}), earlier_of(other=("daisy", "train")))

    assert findings == DuplicateFindings({}, {}, {}, {}, ())


def test_the_first_stays_and_the_others_name_it():
    rows = facts_of({"image": "a.png", **SAME}, {}, {"image": "a.png", **SAME}, {"image": "b.png", **SAME})

    findings = find_duplicates(rows, NOTHING_EARLIER)

    assert reasons(findings) == {2: Reason.DUPLICATE, 3: Reason.DUPLICATE}
    assert findings.kept == {2: 0, 3: 0}
    assert {finding.related for finding in findings.findings.values()} == {rows["key"][0]}


def test_the_one_that_stays_takes_over_the_pin_and_the_group_of_the_others():
    rows = facts_of(SAME, {**SAME, "split": "test"}, {**SAME, "group": "g"}, {})

    findings = find_duplicates(rows, NOTHING_EARLIER)

    assert (findings.splits, findings.groups) == ({0: "test"}, {0: "g"})
    assert reasons(findings) == {1: Reason.DUPLICATE, 2: Reason.DUPLICATE}


def test_two_pins_of_one_picture_quarantine_all_of_them():
    rows = facts_of({**SAME, "split": "train"}, SAME, {**SAME, "split": "test"})

    findings = find_duplicates(rows, NOTHING_EARLIER)

    assert reasons(findings) == dict.fromkeys(range(3), Reason.SPLIT_CONFLICT)
    assert (findings.splits, findings.kept) == ({}, {})


def test_two_groups_of_one_picture_quarantine_all_of_them():
    rows = facts_of({**SAME, "group": "g"}, {**SAME, "group": "h"}, SAME)

    findings = find_duplicates(rows, NOTHING_EARLIER)

    assert reasons(findings) == dict.fromkeys(range(3), Reason.GROUP_CONFLICT)
    assert [findings.findings[index].related for index in range(3)] == [rows["key"][index] for index in (1, 0, 0)]


def test_one_picture_under_two_labels_is_quarantined_wherever_it_occurs():
    rows = facts_of(SAME, {**SAME, "label": "poppy", "group": "h"}, {**SAME, "group": "g", "split": "test"})

    assert reasons(find_duplicates(rows, NOTHING_EARLIER)) == dict.fromkeys(range(3), Reason.LABEL_CONFLICT)


def test_a_picture_of_an_earlier_batch_is_skipped_every_time_that_it_comes():
    findings = find_duplicates(facts_of(SAME, SAME, {}), earlier_of(same=("daisy", "train")))

    assert reasons(findings) == dict.fromkeys(range(2), Reason.DUPLICATE_OF_EARLIER_BATCH)
    assert findings.findings[1].related == "key of same"
    assert findings.warnings == ()


def test_a_picture_of_the_test_split_is_called_so():
    findings = find_duplicates(facts_of(SAME), earlier_of(same=("daisy", "test")))

    assert reasons(findings) == {0: Reason.DUPLICATE_OF_TEST_IMAGE}


def test_a_picture_that_an_earlier_batch_has_under_another_label_is_quarantined():
    findings = find_duplicates(facts_of(SAME), earlier_of(same=("poppy", "train")))

    assert reasons(findings) == {0: Reason.LABEL_CONFLICT}
    assert findings.findings[0].related == "key of same"


def test_a_pin_against_the_earlier_batch_is_skipped_with_a_warning():
    rows = facts_of({**SAME, "split": "test"}, {"pixel_sha256": "pinned", "split": "test"})

    findings = find_duplicates(rows, earlier_of(same=("daisy", "train"), pinned=("daisy", "test")))

    assert reasons(findings) == {0: Reason.DUPLICATE_OF_EARLIER_BATCH, 1: Reason.DUPLICATE_OF_TEST_IMAGE}
    assert findings.splits == {}
    (warning,) = findings.warnings
    assert warning.startswith("1 duplicates of earlier images pin another split")
    assert warning.endswith("'0.png'")


def test_a_warning_names_a_few_images_only():
    rows = facts_of(*({"pixel_sha256": "same", "split": "test"} for _ in range(500)))

    (warning,) = find_duplicates(rows, earlier_of(same=("daisy", "train"))).warnings

    assert warning.startswith("500 ")
    assert len(warning) < 300
