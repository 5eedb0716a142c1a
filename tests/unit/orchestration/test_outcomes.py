from __future__ import annotations

import dataclasses

import pytest

from include.orchestration.outcomes import approval_text, why_not_promoted
from include.retraining.artifacts import GateResult
from tests.promotions import CHALLENGER, CHAMPION, make_decision


def table_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("|")]


def test_a_refusal_gives_all_its_reasons():
    assert why_not_promoted(make_decision("recall fell", "too few rows")) == "Not promoted: recall fell; too few rows"


def test_a_refusal_in_a_dry_run_is_a_refusal_first():
    assert why_not_promoted(make_decision("recall fell", is_dry_run=True)) == "Not promoted: recall fell"


def test_a_dry_run_says_what_it_is():
    assert why_not_promoted(make_decision(is_dry_run=True)).startswith("Not promoted: dry run: the run was asked")


def test_whoever_is_asked_to_approve_sees_both_versions_and_every_gate_with_its_numbers():
    gates = (
        GateResult("floor macro_recall", True, "it is 0.8", found=0.8, asked=0.5),
        GateResult("test_rows", True, "enough", found=100.0, asked=None),
    )

    text = approval_text(make_decision(champion=CHAMPION, gates=gates))

    assert text.startswith(f"The gates approved `{CHALLENGER}` instead of `{CHAMPION}`.\n\n|")
    assert table_of(text) == [
        "| gate | passed | found | asked | |",
        "|---|---|---|---|---|",
        r"| floor macro\_recall | yes | 0.8 | 0.5 | it is 0.8 |",
        r"| test\_rows | yes | 100 |  | enough |",
    ]
    assert "Re-baseline" not in text


def test_a_first_champion_and_a_re_baseline_are_named_as_what_they_are():
    text = approval_text(make_decision(rebaseline="its labels\nare others"))

    assert "as the first champion" in text
    assert "**Re-baseline:** the champion cannot be scored: its labels are others" in text


@pytest.mark.parametrize(
    "hostile",
    [
        "camera=a|b",
        "camera=a\n\n# Approve now",
        "<img src=x onerror=alert(1)>",
        "[here](https://example.org)",
        "`a` **b**",
    ],
)
def test_what_came_in_a_manifest_is_shown_as_text(hostile: str):
    gate = GateResult(f"floor macro_recall {hostile}", True, hostile, 0.8, 0.5)

    (row,) = table_of(approval_text(dataclasses.replace(make_decision(), gates=(gate,))))[2:]

    bare = row.replace("\\|", "").replace("\\`", "").replace("\\*", "").replace("\\[", "").replace("\\]", "")
    assert bare.count("|") == 6
    assert not set("<`*[]#") & set(bare.replace("\\#", ""))
