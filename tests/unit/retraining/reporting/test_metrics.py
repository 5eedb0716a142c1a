from __future__ import annotations

import dataclasses
import json

import pytest

from include.retraining.artifacts import PriorMetrics
from include.retraining.reporting.gather import gather
from include.retraining.reporting.metrics import metrics_json
from include.retraining.run import (
    EVALUATION,
    IMAGE_LEVEL,
    INTAKE,
    LABEL_DOUBTS,
    RECONSTRUCTION,
    RESAMPLING,
    SELECTION,
    SNAPSHOT,
)
from tests.builders import (
    LABELS,
    make_image_level,
    make_intake,
    make_label_doubts,
    make_metrics,
    make_plan,
    make_reconstruction,
    make_resampling,
    make_run,
    make_selection,
    make_snapshot,
)
from tests.promotions import make_difference, make_evaluation, make_scored_version
from tests.unit.retraining.reporting.pages import make_slice


def test_the_numbers_are_flat_and_plain() -> None:
    run = make_run()
    run.record(INTAKE, make_intake())
    run.record(SNAPSHOT, make_snapshot())
    run.record(LABEL_DOUBTS, make_label_doubts())
    run.record(RESAMPLING, make_resampling(None, make_plan(strategy="adasyn", counts_after={"orchid": 388})))
    run.record(RECONSTRUCTION, make_reconstruction())
    run.record(IMAGE_LEVEL, make_image_level())
    run.record(SELECTION, make_selection())
    run.record(EVALUATION, make_evaluation(champion=make_metrics(dict.fromkeys(LABELS, 0.75))))

    numbers = json.loads(metrics_json(gather(run)))

    undefined = {name for name, value in numbers.items() if not isinstance(value, int | float)}
    assert undefined == {"balancing.smote.noise_share.daisy", "balancing.adasyn.noise_share.daisy"}
    assert numbers["intake.quarantined"] == 12
    assert numbers["intake.quarantined.truncated_or_corrupt"] == 9
    assert numbers["intake.skipped.duplicate_of_earlier_batch"] == 5
    assert numbers["dataset.train.orchid"] == 10
    assert numbers["label_doubts.rows"] == 900
    assert numbers["label_doubts.doubted"] == numbers["label_doubts.doubted.daisy"] == 2
    assert numbers["balancing.smote.before.orchid"] == 10
    assert numbers["balancing.smote.asked.orchid"] == numbers["balancing.smote.after.orchid"] == 400
    assert numbers["balancing.adasyn.after.orchid"] == 388
    assert numbers["balancing.smote.neighbours.orchid"] == 5
    assert numbers["balancing.smote.noise_share.orchid"] == 0.125
    assert numbers["reconstruction.decoder_error"] == 0.071
    assert numbers["reconstruction.mean_image_error"] == 0.153
    assert numbers["image_level.train_images"] == 1200
    assert numbers["image_level.validation.macro_recall"] == pytest.approx(0.6)
    assert numbers["image_level.test.macro_recall"] == pytest.approx(0.6)
    assert numbers["challenger.test.macro_recall"] == pytest.approx(0.8)
    assert numbers["challenger.test.recall.poppy"] == 0.8
    assert numbers["champion.test.macro_recall"] == pytest.approx(0.75)
    assert numbers["selection.bound"] == pytest.approx(0.8 - 0.02 * 0.125**0.5)
    assert numbers["candidate.none · linear.cross_validation.mean"] == pytest.approx(0.7)
    assert numbers["candidate.none · linear.cross_validation.standard_error"] == pytest.approx(0.02 * 0.125**0.5)
    assert numbers["candidate.none · linear.temperature"] == 1.25
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


def test_an_image_level_network_that_had_no_test_rows_has_no_numbers_of_them() -> None:
    run = make_run()
    run.record(IMAGE_LEVEL, make_image_level(test=None))

    numbers = json.loads(metrics_json(gather(run)))

    assert "image_level.validation.macro_recall" in numbers
    assert not any(name.startswith("image_level.test") for name in numbers)


def test_an_evaluation_is_told_with_differences_bounds_slices_chance_and_cost() -> None:
    run = make_run()
    prior = PriorMetrics(dict.fromkeys(LABELS, 1 / 3), 0.9, 0.88, 0.02, {"daisy": None, "poppy": 0.9, "orchid": 0.7})
    scored = make_scored_version(deployment=prior, slices=(make_slice(),))
    differences = (
        make_difference("macro_recall", 0.05),
        make_difference("accuracy", 0.01, prior="deployment"),
        make_difference("recall:orchid", None, slice="camera=north"),
        make_difference("ece", 0.0, bounds=()),
    )
    record = make_evaluation(make_metrics(), make_metrics())
    run.record(EVALUATION, dataclasses.replace(record, challenger=scored, differences=differences))

    numbers = json.loads(metrics_json(gather(run)))

    assert numbers["difference.test.macro_recall.estimate"] == pytest.approx(0.05)
    assert numbers["difference.test.macro_recall.lower_95"] == pytest.approx(0.03)
    assert numbers["difference.test.macro_recall.upper_95"] == pytest.approx(0.07)
    assert numbers["difference.test.macro_recall.standard_error"] == pytest.approx(0.01)
    assert numbers["difference.deployment.accuracy.estimate"] == pytest.approx(0.01)
    assert numbers["difference.slice.camera=north.recall:orchid.estimate"] is None
    assert numbers["difference.test.ece.lower_95"] is None
    assert numbers["challenger.deployment.accuracy"] == 0.9
    assert numbers["challenger.deployment.precision.daisy"] is None
    assert numbers["challenger.slice.camera=north.rows"] == 90
    assert numbers["challenger.slice.camera=north.minimum_recall"] == 0.7
    assert numbers["chance.p_value"] == 0.001
    assert numbers["cost.size_bytes"] == 15_000_000
    assert not [name for name in numbers if name.startswith("champion.slice.")]
