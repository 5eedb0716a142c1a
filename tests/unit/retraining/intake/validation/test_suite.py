from __future__ import annotations

import pytest

from include.retraining.config import ExpectationsConfig
from include.retraining.intake.reasons import Reason
from include.retraining.intake.validation.suite import AGAINST_POLICY, RELATED, UNREADABLE, build_suite
from tests.builders import make_config

BOUNDS = {key: {"minimum": 0.1, "maximum": 0.4} for key in ("brightness", "contrast", "sharpness")}
RULES = tuple(ExpectationsConfig.model_fields)


def suite_with(labels=("daisy", "poppy"), images=None, **rules):
    config = make_config(labels=labels, expectations=rules, intake={"images": images or {}})
    return build_suite(config)


def of_rule(suite, rule):
    return [it for it in suite.expectations if it.meta["rule"] == rule]


@pytest.mark.parametrize("rule", RULES)
def test_every_key_of_the_recipe_gives_expectations_that_name_it(rule):
    expectations = of_rule(suite_with(**BOUNDS), rule)

    assert expectations
    assert all(f"expectations.{rule}: " in it.description for it in expectations)


def test_no_expectation_comes_from_anything_but_a_key_of_the_recipe():
    assert {it.meta["rule"] for it in suite_with(**BOUNDS).expectations} == set(RULES)


def test_every_reason_to_refuse_a_row_is_given_by_an_expectation():
    given = {
        code
        for it in suite_with(**BOUNDS).expectations
        for code in [it.meta.get("reason"), *it.meta.get("reasons", [])]
        if code
    }

    assert given == {reason.value for reason in Reason}


def test_a_problem_is_either_unreadable_or_against_the_policy():
    assert not set(UNREADABLE) & set(AGAINST_POLICY)
    assert all(not set(codes) & {*UNREADABLE, *AGAINST_POLICY} for codes in RELATED.values())


@pytest.mark.parametrize(("ours", "theirs"), [("block", "critical"), ("row", "warning"), ("warn", "info")])
def test_severities_have_their_counterparts(ours, theirs):
    (expectation,) = of_rule(suite_with(not_constant={"severity": ours}), "not_constant")

    assert (expectation.meta["severity"], expectation.severity) == (ours, theirs)


def test_a_rule_that_is_off_gives_no_expectation():
    off = {"severity": "off"}
    suite = suite_with(not_constant=off, every_class=off, label_distribution=off, brightness={**off, "minimum": 0.1})

    left = {it.meta["rule"] for it in suite.expectations}

    assert not left & {"not_constant", "every_class", "label_distribution", "brightness"}
    assert {"readable", "new_rows", "image_statistics"} <= left


def test_a_range_without_bounds_gives_no_expectation_and_one_bound_is_enough():
    suite = suite_with(contrast={"minimum": 0.0})

    assert of_rule(suite, "brightness") == []
    (contrast,) = of_rule(suite, "contrast")
    assert (contrast.min_value, contrast.max_value) == (0.0, None)


def test_the_figures_of_the_recipe_are_in_the_suite():
    suite = suite_with(
        images={"maximum_bytes": 7777, "minimum_side_pixels": 9, "maximum_side_pixels": 99, "formats": ["WEBP"]},
        quarantined={"maximum": 0.37},
        every_class={"severity": "warn", "minimum": 4},
        label_distribution={"maximum_psi": 0.31, "maximum_kl": 0.7},
    )

    words = " ".join(it.description for it in suite.expectations)

    assert "size_bytes is at most 7,777 [expectations.within_policy: row → too_many_bytes]" in words
    assert "width is at least 9 and at most 99" in words
    assert "format is WEBP" in words
    assert "quarantined_fraction is at most 0.37" in words
    assert "n_poppy is at least 4 [expectations.every_class: warn]" in words
    assert "label_psi is at most 0.31, or chance explains it" in words
    assert "label_kl is at most 0.7, or chance explains it" in words


def test_type_column_and_rule_tell_all_expectations_apart():
    suite = suite_with(labels=("a", "A", "<a>", "a & b"), **BOUNDS, label_distribution={"maximum_kl": 1.0})

    identities = [(it.configuration.type, it.column, it.meta["rule"]) for it in suite.expectations]

    assert len(set(identities)) == len(identities)


def test_labels_are_escaped_since_pages_show_them():
    suite = suite_with(labels=("<b>", "x"))

    assert all("<" not in it.description and "<" not in it.column for it in suite.expectations)
