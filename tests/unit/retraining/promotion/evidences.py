"""Evidence for tests: what a run that met a champion, or none, knows."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from include.retraining.artifacts import ChampionPointer, EvaluationRecord, SliceMetrics
from include.retraining.promotion.evidence import Evidence
from tests.builders import LABELS, make_intake
from tests.promotions import make_difference, make_evaluation, make_scored_version


def make_evidence(evaluation: EvaluationRecord | None = None, **fields: Any) -> Evidence:
    """What is known of a run whose delivery gave no warning; the pointer still names what the evaluation met."""
    evaluation = make_evaluation() if evaluation is None else evaluation
    pointer = make_pointer(evaluation)
    evidence = Evidence(
        evaluation=evaluation,
        intake=make_intake(warnings=()),
        champion=pointer,
        champion_etag="etag" if pointer else None,
        withdrawn={},
    )
    return dataclasses.replace(evidence, **fields)


def make_pointer(evaluation: EvaluationRecord) -> ChampionPointer | None:
    """The pointer that the evaluation met."""
    incumbent = evaluation.incumbent
    return incumbent and ChampionPointer(
        version=incumbent.version,
        uri=f"s3://memory/models/flowers/versions/{incumbent.version}/",
        digest=incumbent.digest,
        window_end=incumbent.window_end,
        previous=None,
        run_id="an earlier one",
        generation=1,
    )


def make_slice(
    name: str, n_rows: Mapping[str, int] | int = 100, value: float | None = 0.8, **fields: Any
) -> SliceMetrics:
    """A slice where every metric has one value; labels without rows have no recall."""
    column, _, of = name.partition("=")
    counts = dict.fromkeys(LABELS, n_rows) if isinstance(n_rows, int) else n_rows
    found = SliceMetrics(
        column=column,
        value=of,
        n_rows=counts,
        macro_recall=value,
        minimum_recall=value,
        accuracy=value,
        ece=0.04,
        recall={label: value if count else None for label, count in counts.items()},
    )
    return dataclasses.replace(found, **fields)


def with_slices(evaluation: EvaluationRecord, *slices: SliceMetrics, estimate: float | None = 0.0) -> EvaluationRecord:
    """The same evaluation, with slices of the challenger, and differences of all of them where there is a champion."""
    challenger = dataclasses.replace(evaluation.challenger, slices=slices)
    if evaluation.champion is None:
        return dataclasses.replace(evaluation, challenger=challenger)
    metrics = ("macro_recall", "minimum_recall", "accuracy", "ece", *(f"recall:{label}" for label in LABELS))
    differences = tuple(make_difference(metric, estimate, slice=it.name) for it in slices for metric in metrics)
    return dataclasses.replace(
        evaluation,
        challenger=challenger,
        champion=make_scored_version(evaluation.champion.metrics, slices=slices),
        differences=(*evaluation.differences, *differences),
    )
