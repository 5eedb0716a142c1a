"""What a decision says to people in Airflow: why nothing was promoted, and what a person is asked to approve."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from include.retraining.artifacts import GateResult, PromotionDecision


def why_not_promoted(decision: PromotionDecision) -> str:
    """Returns why a decision moves nothing."""
    from include.retraining.promotion.decision import why_not_carried_out

    return "Not promoted: " + ("; ".join(decision.reasons) or f"dry run: {why_not_carried_out(decision)}")


def approval_text(decision: PromotionDecision) -> str:
    """Returns what a person reads before answering, in Markdown: the versions, and every gate with its numbers.

    Names of gates hold labels and slices, which come from manifests; they are shown as text whatever they contain.
    """
    champion = f"instead of `{decision.champion}`" if decision.champion else "as the first champion"
    lines = [f"The gates approved `{decision.challenger}` {champion}.", ""]
    if decision.rebaseline:
        lines += [f"**Re-baseline:** the champion cannot be scored: {_text(decision.rebaseline)}", ""]
    lines += ["| gate | passed | found | asked | |", "|---|---|---|---|---|", *map(_row, decision.gates)]
    return "\n".join(lines)


def _row(gate: GateResult) -> str:
    return "| " + " | ".join(_cells(gate)) + " |"


def _cells(gate: GateResult) -> Iterable[str]:
    return (
        _text(gate.gate),
        "yes" if gate.passed else "no",
        _number(gate.found),
        _number(gate.asked),
        _text(gate.sentence),
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"


def _text(text: str) -> str:
    """Returns text that Markdown shows as it is: no markup, no further cell, no further line."""
    escaped = html.escape(" ".join(text.split()))
    return "".join(f"\\{character}" if character in "\\`*_[]|~#!" else character for character in escaped)
