from __future__ import annotations

import re

import pytest

from include.orchestration.retries import RETRIES
from include.retraining import errors
from include.retraining.errors import RetrainingError
from include.retraining.intake.quarantine import REASONS
from tests.docs.documents import read

RUNBOOK = read("docs/runbook.md")
# The tree on top of errors.py: class, and who acts.
ACTS = dict(re.findall(r"(\w+Error)\s+act: ([a-z ]+?)\s*(?:\(|,|$)", errors.__doc__ or "", re.MULTILINE))


def leaves(error: type[RetrainingError]) -> set[str]:
    below = error.__subclasses__()
    return {name for child in below for name in leaves(child)} if below else {error.__name__}


def section(name: str) -> str:
    found = re.search(rf"^## [^\n]*`{name}`\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert found is not None, f"docs/runbook.md has no section on {name}"
    return found[1]


def test_every_error_that_the_project_raises_has_a_section_and_no_other_has():
    assert set(re.findall(r"^## .*`(\w+)`$", RUNBOOK, re.MULTILINE)) == leaves(RetrainingError)


def test_the_tree_of_errors_says_of_each_who_acts():
    assert ACTS.keys() == leaves(RetrainingError)


@pytest.mark.parametrize("name", sorted(ACTS))
def test_a_section_says_what_it_looks_like_and_that_the_same_people_act_as_the_code_says(name: str):
    text = section(name)

    assert "**Looks like**" in text
    acts = re.search(r"\*\*Acts\*\*: (.+)", text)
    assert acts is not None
    assert ACTS[name] in acts[1]
    assert "**Do**" in text or ACTS[name] == "nobody"


@pytest.mark.parametrize("name", sorted(ACTS))
def test_the_table_of_symptoms_leads_to_every_section(name: str):
    assert f"[`{name}`](#" in RUNBOOK


def test_numbers_and_names_are_those_of_the_code():
    assert {3: "three times", 4: "four attempts"}[RETRIES] in RUNBOOK
    assert {4: "four attempts"}[RETRIES + 1] in RUNBOOK
    assert f"/{REASONS}`" in RUNBOOK
