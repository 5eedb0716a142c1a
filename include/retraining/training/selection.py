"""Chooses the challenger among the candidates by their cross-validation. The test split has no part in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from include.retraining.artifacts import CandidateRecord, SelectionRecord
from include.retraining.config import TrainingConfig
from include.retraining.errors import ArtifactIntegrityError


def select(records: Sequence[CandidateRecord], training: TrainingConfig) -> SelectionRecord:
    """Chooses the challenger by the recipe's rule.

    `one_standard_error`: the simplest candidate whose mean is not more than the best candidate's standard error below
    the best mean. `best`: the highest mean; of equals the simplest.

    Simpler is who has fewer parameters; then whose strategy is written first in the recipe; then the higher weight
    decay; then the first by name.

    Args:
        records: The candidates in any order.
        training: The recipe's section.

    Returns:
        The record; candidates whose mean is not a number come last and never win.

    Raises:
        ArtifactIntegrityError: If no candidate has a mean: a training that diverges leaves no record.

    References:
        Breiman et al., 1984, "Classification and Regression Trees", section 3.4.3 (the one-standard-error rule).
    """
    order = {name: number for number, name in enumerate(training.strategies)}
    simplest_first = sorted(records, key=lambda record: _complexity(record, order))
    ranked = sorted(simplest_first, key=_rank)
    if not ranked or not _is_scored(ranked[0]):
        raise ArtifactIntegrityError(
            "cross-validation of the candidates",
            "a mean of at least one of them",
            ", ".join(f"{record.name}: {record.cross_validation.mean}" for record in ranked) or "no candidate",
        )
    best = ranked[0]
    rule = training.selection.rule
    bound = best.cross_validation.mean
    if rule == "one_standard_error":
        bound -= best.cross_validation.standard_error
    winner = next(it for it in simplest_first if _is_scored(it) and it.cross_validation.mean >= bound)
    return SelectionRecord(
        challenger=winner.name,
        best=best.name,
        rule=rule,
        bound=bound,
        because=_because(winner, best, rule, bound),
        candidates=tuple(ranked),
    )


def _complexity(record: CandidateRecord, order: dict[str, int]) -> tuple[int, int, float, str]:
    return record.n_parameters, order.get(record.strategy, len(order)), -record.settings["weight_decay"], record.name


def _rank(record: CandidateRecord) -> float:
    return -record.cross_validation.mean if _is_scored(record) else math.inf


def _is_scored(record: CandidateRecord) -> bool:
    scored = record.cross_validation
    return math.isfinite(scored.mean) and math.isfinite(scored.standard_error)


def _because(winner: CandidateRecord, best: CandidateRecord, rule: str, bound: float) -> str:
    """Returns one sentence for people, with the numbers that decided."""
    highest = (
        f"the highest macro recall over {len(best.cross_validation.scores)} folds, {best.cross_validation.mean:.4f} "
        f"with a standard error of {best.cross_validation.standard_error:.4f}"
    )
    if rule == "best":
        return f"{winner.name} has {highest}."
    if winner.name == best.name:
        return f"{best.name} has {highest}, and no simpler candidate reaches {bound:.4f}."
    return (
        f"{winner.name}, with {winner.cross_validation.mean:.4f}, is the simplest candidate that reaches {bound:.4f}: "
        f"{best.name} has {highest}."
    )
