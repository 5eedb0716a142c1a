"""The gates of a decision in the order in which a reader needs them, and how many there were to judge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from include.retraining.artifacts import GateResult, PromotionDecision

MOST_SHOWN = 20
"""Checks up to which all are shown at once: a gate on every label of every slice makes hundreds."""
NEWER_DATA = "newer data"  # the gate that compares no numbers


@dataclass(frozen=True)
class GateTable:
    """What the gates of a decision said.

    Attributes:
        failed: Those that refuse.
        passed: Those that do not.
        n_gates: Gates of the recipe; None in entries of a journal from before they were kept.
    """

    failed: tuple[GateResult, ...]
    passed: tuple[GateResult, ...]
    n_gates: int | None

    @property
    def results(self) -> tuple[GateResult, ...]:
        """All of them, those that refuse first."""
        return (*self.failed, *self.passed)

    @property
    def shown(self) -> tuple[GateResult, ...]:
        """Those that are shown at once: all, or of many those that refuse."""
        return self.results if len(self.results) <= MOST_SHOWN else self.failed

    @property
    def folded(self) -> tuple[GateResult, ...]:
        """Those that are shown on demand."""
        return () if len(self.results) <= MOST_SHOWN else self.passed

    @property
    def has_numbers(self) -> bool:
        """Whether one of them compared numbers."""
        return any(it.found is not None or it.asked is not None for it in self.results)

    @property
    def sentence(self) -> str:
        """How many checks ran for how many gates, and what they came to."""
        if not self.results:
            return "No gate was checked."
        of = "" if self.n_gates is None else f" for the {_count(self.n_gates, 'gate')} of the recipe"
        sentence = (
            f"{_count(len(self.results), 'check')} ran{of}: {len(self.passed)} passed, {len(self.failed)} failed."
        )
        unjudged = sum(map(_is_unjudged, self.passed)) if self.has_numbers else 0
        if unjudged:
            verb = "has" if unjudged == 1 else "have"
            sentence += f" {unjudged} of those that passed {verb} nothing to judge; each says why."
        return sentence


def gate_table_of(decision: PromotionDecision) -> GateTable:
    """Returns the gates of a decision, those that refuse first."""
    gates = decision.policy.get("gates")
    return GateTable(
        failed=tuple(it for it in decision.gates if not it.passed),
        passed=tuple(it for it in decision.gates if it.passed),
        n_gates=len(gates) if isinstance(gates, Sequence) else None,
    )


def _is_unjudged(result: GateResult) -> bool:
    return result.found is None and result.asked is None and result.gate != NEWER_DATA


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
