from __future__ import annotations

import logging
import posixpath
import re
import tempfile
from collections import Counter
from datetime import date
from html.parser import HTMLParser

import pandas as pd
import pytest

from include.retraining.intake.drift.drift import DriftFigures, Shift
from include.retraining.intake.drift.statistics import BatchStatistics
from include.retraining.intake.summary import BatchSummary
from tests.builders import make_config
from tests.unit.retraining.intake.deliveries import DAY, facts_of

HOSTILE = "<script>alert('x')</script>{{7*7}}${label}%s\" onload=\"x"
SHEET = b"<html>sheet</html>"
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, body: bytes) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(body.decode())

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.attributes += [(tag, name, value) for name, value in attrs]


def pages_of(*rows, labels=("daisy", "poppy", "<b onclick=x>"), findings=None, failures=True):
    from include.retraining.intake.validation.validation import DayValidation

    rules = {"brightness": {"minimum": 0.1, "severity": "block" if failures else "row"}}
    validation = DayValidation(make_config(labels=labels, expectations=rules), DAY)
    facts = facts_of(*rows)
    refused = validation.refuse_rows(facts)
    validation.refuse_related(facts, pd.Series(findings or [""] * len(facts)))
    summary = BatchSummary(
        outcomes=Counter(accepted=len(facts) - len(refused), quarantined=len(refused)),
        first_reasons=Counter(reasons[0].value for reasons in refused.values()),
        usable=Counter({"daisy": 1, "<b onclick=x>": 2}),
        accepted=BatchStatistics(),
    )
    shift = Shift(
        0.7, 0.1, 0.2, 20, 200, batch={"<b onclick=x>": 20, "daisy": 1}, baseline={"<b onclick=x>": 1, "daisy": 9}
    )
    drift = DriftFigures(labels=shift, images={}, is_registering=False, baseline_days=(date(2026, 1, 1),))
    return validation.judge_batch(summary, drift, (f"said of {HOSTILE}",), SHEET).data_docs


@pytest.fixture(scope="module")
def pages():
    """The pages of a delivery that has everything: hostile names and values, failures, warnings, drift."""
    rows = [{"image": HOSTILE, "label": HOSTILE}, {"split": HOSTILE}, {"format": HOSTILE}, {}, {"brightness": 0.01}]
    return pages_of(*rows, findings=["", "", "", "duplicate", ""])


def validation_page(pages):
    (name,) = [name for name in pages if name.startswith("validations/")]
    return pages[name].decode()


def test_a_day_has_an_index_a_contact_sheet_one_validation_and_one_suite(pages):
    assert {name.partition("/")[0] for name in pages} == {
        "index.html",
        "contact_sheet.html",
        "expectations",
        "validations",
    }
    assert len(pages) == 4
    assert pages["contact_sheet.html"] == SHEET


def test_the_pages_load_and_run_nothing(pages):
    for name in pages.keys() - {"contact_sheet.html"}:
        page = Page(pages[name])

        assert not page.tags.keys() & {"script", "link", "img", "iframe", "object", "embed", "b"}
        assert not [it for it in page.attributes if it[1].startswith("on") or it[1] == "src"]
        assert not re.search(r"url\(|@import", pages[name].decode())
        assert ("meta", "content", POLICY) in page.attributes


def test_links_lead_from_page_to_page(pages):
    links = {
        (name, posixpath.normpath(posixpath.join(posixpath.dirname(name), target)))
        for name, body in pages.items()
        for tag, attribute, target in Page(body).attributes
        if tag == "a" and attribute == "href" and not str(target).startswith("#")
    }

    names = sorted(pages)
    contact_sheet, suite, index, validation = names
    assert links == {
        (index, contact_sheet),
        (index, suite),
        (index, validation),
        (suite, index),
        (validation, index),
        (validation, suite),
    }


def test_links_inside_a_page_lead_somewhere(pages):
    for body in pages.values():
        page = Page(body)
        targets = {str(value)[1:] for _, name, value in page.attributes if name == "href" and str(value)[0] == "#"}

        assert targets <= {value for _, name, value in page.attributes if name == "id"}


def test_hostile_names_and_labels_are_shown_as_text(pages):
    assert not any(b"<script" in body for body in pages.values())
    assert "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;{{7*7}}" in validation_page(pages)


def test_the_validation_page_names_rule_severity_values_and_images(pages):
    page = validation_page(pages)

    assert "brightness is at least 0.1 [expectations.brightness: block → brightness_out_of_range]" in page
    assert re.search(r"0\.01\b(?s:.){0,400}4\.png", page)
    assert re.search(r"duplicate\b(?s:.){0,400}3\.png", page)
    assert "≈0.7" in page or "0.7" in page


def test_the_index_tells_the_outcome_before_it_leads_further(pages):
    index = pages["index.html"].decode()

    assert "✕ refused" in index
    assert "1 of 5 images break expectations.brightness, which allows none" in index
    assert "brightness_out_of_range" in index
    assert index.index("contact_sheet.html") < index.index("validations/")
    assert "✓ taken in" in pages_of({}, failures=False)["index.html"].decode()


def test_nothing_is_hidden_that_only_a_script_would_show(pages):
    assert not any('class="collapse' in body.decode() or "display:none" in body.decode() for body in pages.values())


def test_equal_deliveries_have_equal_pages_of_a_moderate_size():
    first, second = (pages_of({}, {"label": "tulip"}) for _ in range(2))

    assert first == second
    assert sum(len(body) for body in first.values()) < 200_000


def test_a_page_that_was_not_rendered_is_an_error(monkeypatch):
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer

    def fail(*_, **__):
        raise ValueError("a defect of theirs")

    monkeypatch.setattr(ValidationResultsPageRenderer, "render", fail)

    with pytest.raises(RuntimeError, match="Expected one page of a validation"):
        pages_of({})


def test_validation_leaves_no_file_and_no_output_behind(tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))

    with caplog.at_level(logging.WARNING):
        pages_of({}, {"label": "tulip"})

    assert list(tmp_path.iterdir()) == []
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
