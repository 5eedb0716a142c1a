from __future__ import annotations

from typing import Any

import pydantic
import pytest

from include.retraining.config import HeadSettings, Search, TrainingConfig


def training(**sections: Any) -> TrainingConfig:
    return TrainingConfig.model_validate({"heads": {"linear": {"weight_decay": 1.0}}, **sections})


def refusal_of(**sections: Any) -> str:
    with pytest.raises(pydantic.ValidationError) as caught:
        training(**sections)
    return str(caught.value)


def test_smote_competes_with_what_it_must_beat_where_a_recipe_names_no_strategy():
    assert list(training().strategies) == ["none", "class_weights", "logit_adjusted_loss", "smote"]
    assert list(training().resampling) == ["smote"]


def test_each_point_of_a_grid_is_a_candidate_that_is_named_after_it():
    heads = {"mlp": {"weight_decay": 1.0, "hidden_units": [8], "grid": {"weight_decay": [1, 10], "dropout": [0, 0.5]}}}

    candidates = training(strategies=["none"], heads=heads, learning_rate=0.1).candidates

    assert [candidate.name for candidate in candidates] == [
        "none · mlp · weight_decay=1 · dropout=0",
        "none · mlp · weight_decay=1 · dropout=0.5",
        "none · mlp · weight_decay=10 · dropout=0",
        "none · mlp · weight_decay=10 · dropout=0.5",
    ]
    assert candidates[1].settings == HeadSettings((8,), 1.0, 0.5, 0.1)
    assert {(candidate.strategy, candidate.head, candidate.search) for candidate in candidates} == {
        ("none", "mlp", None)
    }


def test_a_search_is_one_candidate_that_starts_with_the_head_s_own_settings():
    search = {"trials": 5, "weight_decay": {"low": 0.1, "high": 10}}
    (candidate,) = training(strategies=["none"], heads={"linear": {"weight_decay": 2.0, "search": search}}).candidates

    assert candidate.name == "none · linear"
    assert candidate.settings.weight_decay == 2.0
    assert candidate.search == Search.model_validate(search)


@pytest.mark.parametrize("values", [[1, 1], [0.5, 0.50000001]], ids=["equal", "equal-as-they-are-written"])
def test_a_grid_whose_candidates_could_not_be_told_apart_is_refused(values: list[float]):
    heads = {"linear": {"weight_decay": 1.0, "grid": {"weight_decay": values}}}

    assert f"a grid gives a candidate twice: none · linear · weight_decay={values[0]}" in refusal_of(
        strategies=["none"], heads=heads
    )


@pytest.mark.parametrize("name", ["Linear", "a b", "a·b", "", "_a", "a" * 42])
def test_names_that_would_not_do_as_parts_of_a_key_are_refused(name: str):
    assert "small letters, digits and _" in refusal_of(heads={name: {"weight_decay": 1.0}})
    assert "small letters, digits and _" in refusal_of(strategies={name: {"strategy": "none"}})


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"selection": {"folds": 1}}, "greater than or equal to 2"),
        ({"selection": {"rule": "worst"}}, "'one_standard_error' or 'best'"),
        ({"patience": 0}, "greater than or equal to 1"),
        ({"heads": {}}, "at least 1 item"),
        ({"mode": "pixels"}, "'vectors' or 'images'"),
        ({"mode": "images", "strategies": ["none"]}, "must name a strategy that resamples (none), got 'smote'"),
        ({"mode": "images", "images": {"strategy": "none"}}, "must name a strategy that resamples (smote), got 'none'"),
        ({"images": {"augmentation": {"zca_whitening": True}}}, "zca_whitening is refused"),
        ({"images": {"augmentation": {"rotate": 3}}}, "rotate"),
        ({"images": {"source": "dreamt"}}, "'nearest_real' or 'decoded'"),
    ],
)
def test_what_could_not_be_run_is_refused(sections: dict[str, Any], said: str):
    assert said in refusal_of(**sections)


def test_images_may_be_balanced_by_any_strategy_that_resamples():
    strategies = {"none": {}, "class_weights": {}, "logit_adjustment": {}, "few": {"strategy": "adasyn"}}

    assert training(mode="images", strategies=strategies, images={"strategy": "few"}).images.strategy == "few"


def test_the_challenger_is_the_simplest_within_one_standard_error_unless_told_otherwise():
    assert (training().selection.rule, training().selection.folds) == ("one_standard_error", 5)
    assert (training().calibration.temperature, training().calibration.thresholds) == (True, False)
