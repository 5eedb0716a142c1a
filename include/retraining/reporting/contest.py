"""The contest between the candidates, as the report shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from include.retraining.artifacts import CandidateRecord, ClassificationMetrics, ImageLevelRecord, SelectionRecord
from include.retraining.reporting.plots import (
    Panel,
    Whisker,
    WhiskerPlot,
    loss_panels,
    recall_panels,
    whisker_plot,
)

MOST_SHOWN = 12
"""Candidates whose dots and curves are shown at once; of more, the best of each strategy."""


@dataclass(frozen=True)
class CurvesView:
    """Training curves.

    Attributes:
        title: Whose.
        n_epochs: How many epochs there are.
        recall: Macro recall on validation over epochs.
        loss: Training loss over epochs.
    """

    title: str
    n_epochs: int
    recall: Panel | None
    loss: Panel | None


@dataclass(frozen=True)
class CandidateRow:
    """A candidate.

    Attributes:
        record: What training recorded.
        test: Its metrics on the test rows, or None where the run was not evaluated.
        whisker: Its cross-validated mean on the common axis.
        curves: Its training curves.
        is_challenger: Whether it was chosen.
        is_shown: Whether its dot and curves are shown at once.
        is_last_within: Whether it is the last one that reaches the bound, with others below it.
    """

    record: CandidateRecord
    test: ClassificationMetrics | None
    whisker: Whisker
    curves: CurvesView
    is_challenger: bool
    is_shown: bool
    is_last_within: bool


@dataclass(frozen=True)
class Contest:
    """All candidates side by side.

    Attributes:
        rows: Highest cross-validated mean first.
        plot: The common axis of their dots.
        image_level: The image-level CNN, for comparison, with its curves; None where there is none.
        is_folded: Whether there are so many that some are shown on demand only.
    """

    rows: tuple[CandidateRow, ...]
    plot: WhiskerPlot
    image_level: tuple[ImageLevelRecord, CurvesView] | None
    is_folded: bool

    @property
    def searched(self) -> list[CandidateRecord]:
        """The candidates whose settings were searched for."""
        return [row.record for row in self.rows if row.record.trials]


def contest_of(
    selection: SelectionRecord, tested: Mapping[str, ClassificationMetrics], image_level: ImageLevelRecord | None
) -> Contest:
    """Lays out a contest.

    Args:
        selection: The candidates, and which of them was chosen.
        tested: Metrics on the test rows by name of the candidate; empty where the run was not evaluated.
        image_level: What is shown beside the candidates.
    """
    candidates = selection.candidates
    plot = whisker_plot(candidates, selection.bound)
    curves = _curves([*candidates, image_level] if image_level else candidates)
    shown = _shown(candidates, selection.challenger)
    n_within = sum(whisker.reaches_bound for whisker in plot.rows)
    rows = tuple(
        CandidateRow(
            record=record,
            test=tested.get(record.name),
            whisker=whisker,
            curves=own,
            is_challenger=record.name == selection.challenger,
            is_shown=record.name in shown,
            is_last_within=place == n_within < len(candidates),
        )
        for place, (record, whisker, own) in enumerate(zip(candidates, plot.rows, curves, strict=False), start=1)
    )
    beside = (image_level, curves[-1]) if image_level else None
    return Contest(rows, plot, beside, is_folded=len(shown) < len(candidates))


def _shown(candidates: Sequence[CandidateRecord], challenger: str) -> set[str]:
    if len(candidates) <= MOST_SHOWN:
        return {candidate.name for candidate in candidates}
    best: dict[str, str] = {}
    for candidate in candidates:  # highest mean first
        best.setdefault(candidate.strategy, candidate.name)
    return {challenger, *best.values()}


def _curves(trained: Sequence[CandidateRecord | ImageLevelRecord]) -> list[CurvesView]:
    return [
        CurvesView(
            title="image-level CNN" if isinstance(it, ImageLevelRecord) else it.name,
            n_epochs=len(it.validation_macro_recall),
            recall=recall,
            loss=loss,
        )
        for it, recall, loss in zip(trained, recall_panels(trained), loss_panels(trained), strict=True)
    ]
