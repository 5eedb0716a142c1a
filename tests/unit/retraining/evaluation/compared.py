"""Challenger, champion and test rows to compare them on, and what a comparison needs beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from include.retraining.artifacts import (
    CandidateRecord,
    Difference,
    EvaluationRecord,
    SelectionRecord,
    ServingCost,
    SnapshotRecord,
    VersionRecord,
)
from include.retraining.embedding.scaling import Scaler
from include.retraining.evaluation.comparison import evaluate
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import publish
from include.retraining.training.head import Head, Layer
from tests.builders import WINDOW, make_candidate, make_selection
from tests.datasets import embedding_of, publish_snapshot, row, store_vectors
from tests.promotions import crown
from tests.unit.retraining.evaluation.grey import BRIGHT, DARK, MIDDLE, grey_row, publish_grey_version

# One test image of each label is judged right, and one daisy wrong.
TESTED = (
    ("a" * 64, "daisy", DARK),
    ("b" * 64, "orchid", BRIGHT),
    ("c" * 64, "poppy", MIDDLE),
    ("d" * 64, "daisy", BRIGHT),
)
LEARNED = (row("e" * 64, split="train"), row("f" * 64, split="validation"))  # no pictures: whoever scores those fails
COST = ServingCost(size_bytes=1_000, median_milliseconds=2.0, slow_milliseconds=3.0, calls=50)
EVALUATION = {"resamples": 200, "permutations": 100}


def frozen(run: Run, *others: dict[str, object], **changes: str) -> SnapshotRecord:
    """The test images, images of other splits, and their vectors."""
    rows = [grey_row(run, *one, **changes) for one in TESTED] + [*LEARNED, *others]
    vectors = np.array([[grey, 1.0] for *_, grey in TESTED] + [[0, 0]] * (2 + len(others)), np.float32)
    store_vectors(run, rows, vectors)
    return publish_snapshot(run, rows)


def older_snapshot(run: Run) -> SnapshotRecord:
    """What a champion was trained from: other images, and a test image that is one today as well."""
    return publish_snapshot(run, [row("9" * 64), row("8" * 64, split="validation"), row("a" * 64, split="test")])


def candidate(
    run: Run, name: str, kernel: list[list[float]], thresholds: tuple[float, ...] | None = None
) -> CandidateRecord:
    """A published candidate that looks at the two numbers of a vector."""
    scaler = Scaler(np.zeros(2, np.float32), np.ones(2, np.float32))
    layer = Layer(np.array(kernel, np.float32), np.zeros(3, np.float32))
    head = Head(scaler, (layer,), thresholds=None if thresholds is None else np.array(thresholds, np.float32))
    prefix = layout.candidate(run.classifier, name)
    publish(run.store, prefix, {"head.npz": head.to_npz()})
    return make_candidate(name, uri=uri_of(run.store, prefix))


def evaluated(
    run: Run, version: VersionRecord, snapshot: SnapshotRecord, selection: SelectionRecord | None = None
) -> EvaluationRecord:
    selection = selection or make_selection([candidate(run, "smote", [[0, 0, 0], [0, 0, 1]])])
    return evaluate(run, version, selection, snapshot, embedding_of(run))


def enthroned(run: Run, older: SnapshotRecord, **version: Any) -> VersionRecord:
    """A champion that was trained from an older snapshot."""
    champion = publish_grey_version(run, **{"sharpness": 5, "snapshot": older, **version})
    crown(run.store, champion, window_end=WINDOW.start)
    return champion


def difference_of(record: EvaluationRecord, metric: str, **of: str) -> Difference:
    wanted = (metric, of.get("slice", ""), of.get("prior", "test"))
    return next(it for it in record.differences if (it.metric, it.slice, it.prior) == wanted)
