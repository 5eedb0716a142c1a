from __future__ import annotations

import json

import pytest

from include.retraining.reporting.gather import gather
from include.retraining.reporting.metrics import metrics_json
from include.retraining.run import EVALUATION, INTAKE, LABEL_DOUBTS, RESAMPLING, SELECTION, SNAPSHOT
from tests.builders import (
    LABELS,
    make_evaluation,
    make_intake,
    make_label_doubts,
    make_metrics,
    make_resampling,
    make_run,
    make_selection,
    make_snapshot,
)


def test_the_numbers_are_flat_and_plain() -> None:
    run = make_run()
    run.record(INTAKE, make_intake())
    run.record(SNAPSHOT, make_snapshot())
    run.record(LABEL_DOUBTS, make_label_doubts())
    run.record(RESAMPLING, make_resampling())
    run.record(SELECTION, make_selection())
    run.record(EVALUATION, make_evaluation(champion=make_metrics(dict.fromkeys(LABELS, 0.75))))

    numbers = json.loads(metrics_json(gather(run)))

    assert all(isinstance(value, int | float) for value in numbers.values())
    assert numbers["intake.quarantined"] == 12
    assert numbers["intake.quarantined.truncated_or_corrupt"] == 9
    assert numbers["intake.skipped.duplicate_of_earlier_batch"] == 5
    assert numbers["dataset.train.orchid"] == 10
    assert numbers["label_doubts.rows"] == 900
    assert numbers["label_doubts.doubted"] == numbers["label_doubts.doubted.daisy"] == 2
    assert numbers["balancing.after.orchid"] == 400
    assert numbers["challenger.test.macro_recall"] == pytest.approx(0.8)
    assert numbers["challenger.test.recall.poppy"] == 0.8
    assert numbers["champion.test.macro_recall"] == pytest.approx(0.75)
    assert numbers["candidate.none · linear.validation.macro_recall"] == pytest.approx(0.7)
    assert numbers["candidate.none · linear.test.macro_recall"] == pytest.approx(0.65)


def test_without_a_champion_there_are_no_numbers_of_one() -> None:
    run = make_run()
    run.record(EVALUATION, make_evaluation())

    assert not any(name.startswith("champion.") for name in json.loads(metrics_json(gather(run))))


def test_an_undefined_metric_is_null() -> None:
    run = make_run()
    run.record(EVALUATION, make_evaluation(make_metrics(confusion=((4, 0, 0), (0, 4, 0), (0, 0, 0)))))

    numbers = json.loads(metrics_json(gather(run)))

    assert numbers["challenger.test.macro_recall"] is None
    assert numbers["challenger.test.recall.orchid"] is None
    assert numbers["challenger.test.recall.daisy"] == 1.0


def test_a_run_without_records_has_no_numbers() -> None:
    assert json.loads(metrics_json(gather(make_run()))) == {}
