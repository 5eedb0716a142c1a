from __future__ import annotations

import json
from types import SimpleNamespace

import pytest


def finding_of(**arguments):
    from great_expectations.expectations import ExpectColumnValuesToBeBetween

    from include.retraining.intake.validation.findings import Finding

    meta = {"rule": "brightness", "severity": "row", "reason": "brightness_out_of_range"}
    return Finding(ExpectColumnValuesToBeBetween(column="brightness", max_value=0.9, meta=meta, **arguments))


def result(unexpected, n_rows=10, n_missing=0):
    """What Great Expectations finds in a shard: values by position."""
    return SimpleNamespace(
        result={
            "element_count": n_rows,
            "missing_count": n_missing,
            "unexpected_count": len(unexpected),
            "unexpected_index_list": list(unexpected),
            "unexpected_list": list(unexpected.values()),
        }
    )


NAMES = [f"{number}.png" for number in range(10)]


def test_shards_add_up():
    finding = finding_of()

    finding.add(result({3: 0.95, 4: 1.0}, n_missing=2), NAMES)
    finding.add(result({}), NAMES)
    finding.add(result({0: 0.91}), [f"later {name}" for name in NAMES])

    found = finding.to_result()
    assert (found.success, found.result["element_count"], found.result["missing_count"]) == (False, 30, 2)
    assert found.result["unexpected_percent"] == pytest.approx(100 * 3 / 28)
    assert found.result["unexpected_percent_total"] == pytest.approx(10)
    assert finding.to_document()["examples"] == ["3.png", "4.png", "later 0.png"]


def test_no_more_than_twenty_rows_are_kept_of_any_number():
    finding = finding_of()

    for _ in range(5):
        finding.add(result(dict.fromkeys(range(8), 1.0)), NAMES)

    assert (finding.n_unexpected, len(finding.examples)) == (40, 20)


@pytest.mark.parametrize(("n_unexpected", "success"), [(1, True), (2, True), (3, False)])
def test_a_share_of_the_known_rows_may_break_an_expectation_that_says_so(n_unexpected, success):
    finding = finding_of(mostly=0.8)

    finding.add(result(dict.fromkeys(range(n_unexpected), 1.0), n_rows=15, n_missing=5), NAMES)

    assert finding.success is success
    assert finding.to_result().success is success


def test_an_expectation_that_is_about_no_row_holds():
    finding = finding_of()

    finding.add(result({}, n_rows=0), [])

    assert finding.success
    assert finding.to_result().result["unexpected_percent"] is None


def test_names_are_escaped_for_pages_and_as_delivered_in_the_document():
    finding = finding_of()

    finding.add(result({0: 1.0}), ["<b>\n.png"])

    (row,) = finding.to_result().result["unexpected_index_list"]
    assert row == {"brightness": "1", "image": "&lt;b&gt;\\n.png"}
    assert finding.to_document()["examples"] == ["<b>\n.png"]


def test_values_that_no_person_could_read_are_shown_on_pages_as_names_are():
    finding = finding_of()

    finding.add(result({0: "daisy\n", 1: "&lt;b&gt;" + "d" * 5000}), NAMES)

    shown = finding.to_result().result
    (first, second) = (row["value"] for row in shown["partial_unexpected_counts"])
    assert first == "daisy\\n"
    assert second.startswith("&lt;b&gt;ddd")
    assert len(second) < 150
    assert [row["brightness"] for row in shown["unexpected_index_list"]] == [first, second]


def test_the_document_of_a_finding_is_plain_json():
    import numpy as np

    finding = finding_of()
    finding.add(result({0: np.float64(0.95)}), NAMES)

    document = finding.to_document()

    assert json.loads(json.dumps(document)) == document
    assert document["parameters"] == {"column": "brightness", "max_value": 0.9}


def test_a_day_succeeds_if_all_findings_do():
    from include.retraining.intake.validation.findings import to_suite_result

    good, bad = finding_of(), finding_of()
    good.add(result({}), NAMES)
    bad.add(result({0: 1.0}), NAMES)

    assert to_suite_result("flowers", [good, good], {}).success
    day = to_suite_result("flowers", [good, bad], {})
    assert not day.success
    assert day.statistics["unsuccessful_expectations"] == 1
