"""What a decision is made of, gathered once: after it nothing is read, so that a decision can be taken again.

Here too is how a number is looked up. One that is not there, undefined, NaN or infinite is None: missing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from include.retraining import journal
from include.retraining.artifacts import (
    ChampionPointer,
    ClassificationMetrics,
    Difference,
    EvaluationRecord,
    IntakeRecord,
    PriorMetrics,
    ScoredVersion,
    SliceMetrics,
)
from include.retraining.config import metric_parts
from include.retraining.journal import JournalEntry
from include.retraining.promotion.champion import settle
from include.retraining.promotion.retention import retired_versions
from include.retraining.run import INTAKE, Run


@dataclass(frozen=True)
class Evidence:
    """All that gates and rules look at.

    Attributes:
        evaluation: Challenger and champion on the same test rows.
        intake: What became of the run's delivery; None where the run recorded none.
        champion: The pointer as it is now, or None.
        champion_etag: Its tag; the move later compares with it.
        withdrawn: Versions that no run may make champion again, each with the reason as a sentence.
    """

    evaluation: EvaluationRecord
    intake: IntakeRecord | None
    champion: ChampionPointer | None
    champion_etag: str | None
    withdrawn: Mapping[str, str]

    @property
    def is_overtaken(self) -> bool:
        """Whether the champion is another by now than the one that was met, by name or by digest."""
        met, now = self.evaluation.incumbent, self.champion
        return (met and (met.version, met.digest)) != (now and (now.version, now.digest))

    @property
    def unscored(self) -> str:
        """Why the champion that was met cannot be compared with; empty where it can, and where there is none."""
        incumbent = self.evaluation.incumbent
        if incumbent is None:
            return ""
        if incumbent.problem or self.evaluation.champion is not None:
            return incumbent.problem
        return "the evaluation has no numbers of it"


def gather_evidence(run: Run, evaluation: EvaluationRecord) -> Evidence:
    """Returns what a run's decision is made of, with the champion and the journal as they are now.

    Side effects: a move whose mover was killed before the journal had it is entered there.
    """
    pointer, etag = settle(run.store, run.classifier)
    # The journal after the pointer: whoever withdraws a version writes it there before the pointer changes.
    return Evidence(
        evaluation=evaluation,
        intake=run.recall_if_any(INTAKE, IntakeRecord),
        champion=pointer,
        champion_etag=etag,
        withdrawn=withdrawn_versions(journal.entries(run.store, run.classifier)),
    )


def withdrawn_versions(entries: Sequence[JournalEntry]) -> Mapping[str, str]:
    """Returns the versions that no run may make champion again, each with the reason as a sentence.

    Those that a rollback left, unless somebody made them champion again later; and for good, those that retention
    removed.

    Args:
        entries: The journal, oldest first.
    """
    withdrawn: dict[str, str] = {}
    for move in (entry.move for entry in entries if entry.move is not None):
        withdrawn.pop(move.resulting, None)
        if move.kind == "rollback" and move.incumbent is not None:
            withdrawn[move.incumbent] = f"{move.by or move.run_id} rolled back from it: {move.reason}"
    retired = retired_versions(entries)
    return withdrawn | {name: f"{it.by} had it removed: {it.reason}" for name, it in retired.items()}


def metric_of(scored: ScoredVersion | None, metric: str, slice_name: str = "", prior: str = "test") -> float | None:
    """Returns how a version does in a metric; None where that is missing.

    Args:
        scored: The version on the test rows.
        metric: As a gate names it, with its label: `macro_recall`, `recall:coat`.
        slice_name: `column=value`; empty over all test rows.
        prior: `test` or `deployment`.
    """
    metrics = _metrics_of(scored, slice_name, prior)
    name, label = metric_parts(metric)
    value = getattr(metrics, name, None)
    return finite(value.get(label) if isinstance(value, Mapping) else value)


def difference_of(
    evaluation: EvaluationRecord, metric: str, slice_name: str = "", prior: str = "test"
) -> Difference | None:
    """Returns how much the challenger differs from the champion in a metric; None where nobody computed it."""
    asked = (metric, slice_name, prior)
    return next((it for it in evaluation.differences if (it.metric, it.slice, it.prior) == asked), None)


def slice_of(scored: ScoredVersion, slice_name: str) -> SliceMetrics | None:
    """Returns a slice of the test rows by its name, or None where no test row is in it."""
    return next((it for it in scored.slices if it.name == slice_name), None)


def finite(value: object) -> float | None:
    """Returns a number; None for what is none, and for NaN and infinity: no gate may take them for one."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _metrics_of(
    scored: ScoredVersion | None, slice_name: str, prior: str
) -> ClassificationMetrics | PriorMetrics | SliceMetrics | None:
    if scored is None:
        return None
    if slice_name:
        return slice_of(scored, slice_name)
    return scored.deployment if prior == "deployment" else scored.metrics
