"""The page of a run as a browser would see it, for tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any

from include.retraining.artifacts import SliceMetrics
from include.retraining.reporting.report import publish_report
from include.retraining.run import (
    DECISION,
    EMBEDDING_PLAN,
    EVALUATION,
    INTAKE,
    LABEL_DOUBTS,
    PROMOTION,
    REPORT,
    RESAMPLING,
    SELECTION,
    SNAPSHOT,
    VERSION,
    Run,
)
from tests.builders import (
    LABELS,
    make_embedding,
    make_intake,
    make_label_doubts,
    make_metrics,
    make_resampling,
    make_selection,
    make_snapshot,
)
from tests.promotions import make_decision, make_evaluation, make_move, publish_made_version

VOID = {"meta", "br", "link", "img", "hr", "input", "col"}
STAGES = (
    INTAKE,
    SNAPSHOT,
    EMBEDDING_PLAN,
    LABEL_DOUBTS,
    RESAMPLING,
    SELECTION,
    VERSION,
    EVALUATION,
    DECISION,
    PROMOTION,
)


class Page(HTMLParser):
    """What a browser would see of a page: its text and its attributes; unbalanced tags are an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words += data.split()

    @property
    def text(self) -> str:
        return " ".join(self.words)


def make_slice(column: str = "camera", value: str = "north", **fields: Any) -> SliceMetrics:
    """A slice of 90 test rows on which the model is as good as anywhere."""
    part = SliceMetrics(
        column=column,
        value=value,
        n_rows=dict.fromkeys(LABELS, 30),
        macro_recall=0.8,
        minimum_recall=0.7,
        accuracy=0.81,
        ece=0.05,
        recall=dict.fromkeys(LABELS, 0.8),
    )
    return dataclasses.replace(part, **fields)


def record_until(run: Run, stages: Sequence[str]) -> None:
    records = {
        INTAKE: make_intake(),
        SNAPSHOT: make_snapshot(),
        EMBEDDING_PLAN: make_embedding(),
        LABEL_DOUBTS: make_label_doubts(),
        RESAMPLING: make_resampling(),
        SELECTION: make_selection(),
        EVALUATION: make_evaluation(champion=make_metrics(dict.fromkeys(LABELS, 0.75))),
        DECISION: make_decision(champion="20260102T0200-bbbbbbbbbbbb"),
        PROMOTION: make_move(incumbent="20260102T0200-bbbbbbbbbbbb"),
    }
    for stage in stages:
        run.record(stage, publish_made_version(run.store) if stage == VERSION else records[stage])


def report_of(run: Run) -> str:
    publish_report(run)
    return run.store.get(f"{run.prefix}{REPORT}").decode()
