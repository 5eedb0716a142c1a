from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from include.retraining.config import (
    CONFIDENCES,
    LABEL_METRICS,
    OVERALL_METRICS,
    SLICE_METRICS,
    ClassifierConfig,
    metric_parts,
    slice_parts,
)
from include.retraining.config.recipe import parse_classifier
from include.retraining.errors import ConfigurationError

PRIOR = {"daisy": 0.5, "poppy": 0.3, "orchid": 0.2}
FLOOR = {"gate": "floor", "metric": "macro_recall", "minimum": 0.5}
NON_INFERIOR = {"gate": "non_inferior", "metric": "macro_recall", "tolerance": 0.01}
REGRESSION = {"gate": "maximum_regression", "metric": "recall:*", "maximum": 0.1}
CALIBRATION = {"gate": "calibration", "maximum_ece": 0.1}
WHOLE = [
    FLOOR,
    NON_INFERIOR,
    REGRESSION,
    CALIBRATION,
    {"gate": "better_than_chance"},
    {"gate": "test_rows", "minimum_per_class": 10},
    {"gate": "data_checks"},
    {"gate": "model_size", "maximum_megabytes": 60},
    {"gate": "latency", "maximum_milliseconds": 500},
    {"gate": "newer_data"},
]


def parsed(*gates: dict[str, Any], **sections: Any) -> ClassifierConfig:
    document = {
        "name": "flowers",
        "labels": list(PRIOR),
        "schedule": {"start_date": "2026-01-01"},
        "training": {"heads": {"linear": {"weight_decay": 1.0}}},
        "gates": [{"gate": "newer_data"}, *gates],
        **sections,
    }
    return parse_classifier(yaml.safe_load(yaml.safe_dump(document)), Path("flowers.yaml"))


def refusal(*gates: dict[str, Any], **sections: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        parsed(*gates, **sections)
    return str(caught.value)


def test_the_whole_language_is_understood():
    config = parsed(*WHOLE)

    assert [gate.gate for gate in config.gates] == ["newer_data", *(gate["gate"] for gate in WHOLE)]
    assert ClassifierConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize("gate", [FLOOR, NON_INFERIOR, REGRESSION], ids=lambda gate: gate["gate"])
def test_every_metric_and_every_label_s_can_be_asked_for(gate: dict[str, Any]):
    metrics = [*OVERALL_METRICS, *(f"{name}:{label}" for name in LABEL_METRICS for label in (*PRIOR, "*"))]

    for metric in metrics:
        if (gate["gate"], metric) != ("floor", "ece"):
            parsed({**gate, "metric": metric})


@pytest.mark.parametrize("metric", ["beauty", "recall", "recall:", "macro_recall:daisy", "", "Recall:daisy"])
def test_a_metric_that_nobody_knows_is_refused_with_those_that_there_are(metric: str):
    said = refusal({**FLOOR, "metric": metric})

    assert "key gates.1.floor.metric" in said
    assert "expected one of macro_recall, macro_f1" in said
    assert "recall:<label>" in said


def test_a_metric_of_what_is_no_label_is_refused():
    assert "gate floor names the metric recall:rose, and rose is no label" in refusal(
        {**FLOOR, "metric": "recall:rose"}
    )


def test_a_floor_under_the_calibration_error_is_refused_with_the_gate_that_was_meant():
    assert "of ece less is better, and a floor asks for more: use the gate calibration" in refusal(
        {**FLOOR, "metric": "ece"}
    )


def test_a_slice_of_a_column_that_is_not_evaluated_is_refused_with_what_to_add():
    said = refusal({**FLOOR, "slice": "camera=*"}, evaluation={"slices": ["lens"]})

    assert "gate floor names the slice camera=*; add camera to evaluation.slices" in said


@pytest.mark.parametrize("of", ["camera=*", "camera=north", "camera=a=b"])
def test_a_slice_of_a_column_that_is_evaluated_may_be_asked_for(of: str):
    config = parsed({**FLOOR, "slice": of}, evaluation={"slices": ["camera"]})

    assert config.gates[1].slice == of  # type: ignore[union-attr]
    assert slice_parts(of) == ("camera", of.removeprefix("camera="))


@pytest.mark.parametrize("of", ["camera", "=north", "camera=", ""])
def test_a_slice_without_column_or_value_is_refused(of: str):
    assert "key gates.1.floor.slice" in refusal({**FLOOR, "slice": of}, evaluation={"slices": ["camera"]})


@pytest.mark.parametrize("metric", ["macro_f1", "geometric_mean", "precision:daisy", "precision:*"])
def test_a_metric_that_slices_do_not_have_is_refused_with_those_that_they_have(metric: str):
    said = refusal({**FLOOR, "metric": metric, "slice": "camera=*"}, evaluation={"slices": ["camera"]})

    assert f"of a slice there are {', '.join(SLICE_METRICS)}" in said


def test_a_column_is_sliced_by_once():
    assert "expected every column once" in refusal(evaluation={"slices": ["camera", "camera"]})


@pytest.mark.parametrize("gate", [{**FLOOR, "metric": "accuracy"}, CALIBRATION], ids=lambda gate: gate["gate"])
def test_the_prior_of_deployment_must_be_known(gate: dict[str, Any]):
    said = refusal({**gate, "prior": "deployment"})

    assert "a gate has prior: deployment; add evaluation.deployment_prior" in said
    parsed({**gate, "prior": "deployment"}, evaluation={"deployment_prior": PRIOR})


@pytest.mark.parametrize("metric", ["macro_recall", "geometric_mean", "minimum_recall", "recall:daisy", "recall:*"])
def test_what_does_not_depend_on_the_prior_cannot_be_asked_for_under_it(metric: str):
    said = refusal({**FLOOR, "metric": metric, "prior": "deployment"}, evaluation={"deployment_prior": PRIOR})

    assert f"{metric} does not depend on how common the classes are: leave out prior" in said


def test_a_slice_has_no_prior_of_deployment():
    gate = {**FLOOR, "metric": "accuracy", "prior": "deployment", "slice": "camera=*"}
    evaluation = {"deployment_prior": PRIOR, "slices": ["camera"]}

    assert "under its own class distribution" in refusal(gate, evaluation=evaluation)


@pytest.mark.parametrize(
    ("prior", "said"),
    [
        ({"daisy": 0.5, "poppy": 0.5}, "must give a share to each label, and to no other"),
        ({**PRIOR, "orchid": 0.1, "rose": 0.1}, "must give a share to each label, and to no other"),
        ({**PRIOR, "orchid": 0.3}, "sum to 1, they sum to 1.1"),
        ({"daisy": 0.5, "poppy": 0.5, "orchid": 0.0}, "expected shares above 0"),
        ({"daisy": 1.5, "poppy": -0.7, "orchid": 0.2}, "expected shares above 0"),
        ({**PRIOR, "orchid": float("nan")}, "expected shares above 0"),
        ({**PRIOR, "orchid": float("inf")}, "expected shares above 0"),
    ],
)
def test_a_prior_that_is_no_distribution_over_the_labels_is_refused(prior: dict[str, float], said: str):
    assert said in refusal(evaluation={"deployment_prior": prior})


@pytest.mark.parametrize("confidence", [0.5, 0.94, 1.0, 95, float("nan")])
def test_a_confidence_that_no_bound_is_kept_for_is_refused_with_those_that_are(confidence: float):
    said = refusal({**NON_INFERIOR, "confidence": confidence})

    assert "key gates.1.non_inferior.confidence" in said
    assert "expected one of 0.8, 0.9, 0.95, 0.975, 0.99" in said


@pytest.mark.parametrize("confidence", CONFIDENCES)
def test_a_confidence_that_bounds_are_kept_for_may_be_asked_for(confidence: float):
    parsed({**NON_INFERIOR, "confidence": confidence})


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf"), None, "much"])
@pytest.mark.parametrize(
    ("gate", "limit"),
    [
        ("floor", "minimum"),
        ("non_inferior", "tolerance"),
        ("maximum_regression", "maximum"),
        ("calibration", "maximum_ece"),
        ("better_than_chance", "maximum_p"),
        ("test_rows", "minimum_per_class"),
        ("data_checks", "maximum_warnings"),
        ("model_size", "maximum_megabytes"),
        ("latency", "maximum_milliseconds"),
    ],
)
def test_a_limit_that_is_no_finite_number_is_refused(gate: str, limit: str, bad: object):
    (whole,) = (it for it in WHOLE if it["gate"] == gate)

    said = refusal({**whole, limit: bad})

    assert f"key gates.1.{gate}.{limit}: " in said


@pytest.mark.parametrize(("permutations", "maximum_p"), [(1000, 0.0005), (100, 0.009)])
def test_a_test_against_chance_that_could_never_pass_is_refused_with_both_cures(permutations: int, maximum_p: float):
    gate = {"gate": "better_than_chance", "maximum_p": maximum_p}

    said = refusal(gate, evaluation={"permutations": permutations})

    assert "raise evaluation.permutations, or maximum_p" in said
    parsed({**gate, "maximum_p": 1 / (permutations + 1)}, evaluation={"permutations": permutations})


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        ("first_model", "always"),
        ("keep_predecessors", 0),
        ("approval_hours", 0),
        ("approval_hours", float("nan")),
        ("approval_hours", float("inf")),
        ("require_approval", "maybe"),
    ],
)
def test_a_policy_that_could_not_be_carried_out_is_refused(key: str, bad: object):
    assert f"key promotion.{key}: " in refusal(promotion={key: bad})


@pytest.mark.parametrize("key", ["minimum_slice_rows", "resamples", "permutations", "seed"])
@pytest.mark.parametrize("bad", [-1, float("nan"), 0.5])
def test_a_count_of_the_evaluation_must_be_one(key: str, bad: float):
    assert f"key evaluation.{key}: " in refusal(evaluation={key: bad})


def test_a_metric_and_a_slice_are_taken_apart():
    assert metric_parts("recall:a:b") == ("recall", "a:b")
    assert metric_parts("accuracy") == ("accuracy", "")
    assert slice_parts("") == ("", "")
