from __future__ import annotations

from typing import Any

import pydantic
import pytest

from include.retraining.config import (
    LogitAdjustedLoss,
    ResamplingStrategy,
    Smote,
    Strategy,
    TrainingConfig,
    UpTo,
)
from include.retraining.config.strategies import missing_references, with_settings

KINDS = (
    "none",
    "class_weights",
    "logit_adjusted_loss",
    "logit_adjustment",
    "balanced_sampling",
    "random_oversampling",
    "smote",
    "smote_tomek",
    "smote_enn",
    "borderline_smote",
    "svm_smote",
    "kmeans_smote",
    "adasyn",
)
REFERENCES: dict[str, Any] = {"none": {}, "class_weights": {}, "logit_adjustment": {}}


def strategies_of(strategies: Any) -> dict[str, Strategy]:
    return TrainingConfig(heads={"linear": {"weight_decay": 1.0}}, strategies=strategies).strategies


def one(**settings: Any) -> Strategy:
    return strategies_of({**REFERENCES, "mine": settings})["mine"]


def test_every_strategy_can_be_named():
    strategies = strategies_of(list(KINDS))

    assert tuple(strategies) == tuple(strategy.strategy for strategy in strategies.values()) == KINDS


def test_those_from_random_oversampling_on_need_a_plan():
    assert [isinstance(strategy, ResamplingStrategy) for strategy in strategies_of(list(KINDS)).values()] == [
        kind in KINDS[5:] for kind in KINDS
    ]


def test_a_mapping_keeps_the_order_in_which_it_is_written():
    assert list(strategies_of({"class_weights": {}, "none": {}})) == ["class_weights", "none"]


def test_a_strategy_may_have_settings_and_a_name_of_its_own():
    strategies = strategies_of({**REFERENCES, "smote": None, "few": {"strategy": "smote", "k_neighbors": 3}})

    assert strategies["smote"] == Smote()
    assert strategies["few"] == Smote(k_neighbors=3)


def test_a_name_says_of_which_strategy_the_settings_are():
    assert strategies_of({"logit_adjusted_loss": {"tau": 2}}) == {"logit_adjusted_loss": LogitAdjustedLoss(tau=2)}


@pytest.mark.parametrize("asked", ["auto", "not majority", "not minority", "minority", "all", {"orchid": 20}])
def test_what_is_asked_of_a_class_is_written_as_in_imbalanced_learn(asked: Any):
    assert one(strategy="smote", sampling_strategy=asked).sampling_strategy == asked


def test_a_share_of_the_largest_class_may_be_asked():
    assert one(strategy="adasyn", sampling_strategy={"up_to": 0.5}).sampling_strategy == UpTo(up_to=0.5)


def test_what_is_asked_survives_being_written_and_read_again():
    for asked in ("minority", {"up_to": 0.5}, {"orchid": 20}):
        strategy = one(strategy="smote", sampling_strategy=asked)
        assert Smote.model_validate(strategy.model_dump(mode="json")) == strategy


@pytest.mark.parametrize(
    ("settings", "where", "said"),
    [
        ({"strategy": "smote", "k_neighbors": 0}, "k_neighbors", "greater than or equal to 1"),
        ({"strategy": "smote", "sampling_strategy": "some"}, "rule", "'auto', 'not majority'"),
        ({"strategy": "smote", "sampling_strategy": {"up_to": 1.5}}, "up_to", "less than or equal to 1"),
        ({"strategy": "smote", "sampling_strategy": {"up_to": 0}}, "up_to", "greater than 0"),
        ({"strategy": "smote", "sampling_strategy": {"orchid": 0}}, "orchid", "greater than or equal to 1"),
        ({"strategy": "class_weights", "beta": 1}, "beta", "less than 1"),
        ({"strategy": "class_weights", "weighting": "root"}, "weighting", "'inverse' or 'effective_number'"),
        ({"strategy": "logit_adjustment", "tau": 0}, "tau", "greater than 0"),
        ({"strategy": "svm_smote", "out_step": 0}, "out_step", "greater than 0"),
        ({"strategy": "random_oversampling", "k_neighbors": 5}, "k_neighbors", "Extra inputs"),
        ({"k_neighbors": 5}, "mine", "does not match any of the expected tags"),
    ],
)
def test_settings_that_cannot_be_are_refused_where_they_are_written(settings: dict[str, Any], where: str, said: str):
    with pytest.raises(pydantic.ValidationError) as caught:
        one(**settings)

    (mistake,) = caught.value.errors()
    assert mistake["loc"][-1] == where
    assert said in mistake["msg"]


def test_a_strategy_that_is_named_twice_in_a_list_is_refused():
    with pytest.raises(pydantic.ValidationError, match="named twice; give the second a name of its own"):
        strategies_of(["none", "none"])


@pytest.mark.parametrize("strategies", [[], {}, "smote", None])
def test_there_is_at_least_one_strategy(strategies: Any):
    with pytest.raises(pydantic.ValidationError):
        strategies_of(strategies)


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["smote"], ["none", "class_weights", "logit_adjusted_loss"]),
        (["none", "adasyn"], ["class_weights", "logit_adjusted_loss"]),
        (["none", "class_weights", "random_oversampling"], ["logit_adjusted_loss"]),
        (["none", "class_weights", "logit_adjusted_loss", "smote"], []),
        (["none", "class_weights", "logit_adjustment", "smote"], []),
        (["none"], []),
        (["balanced_sampling"], []),
    ],
)
def test_whatever_resamples_is_shown_beside_what_it_must_beat(names: list[str], missing: list[str]):
    if not missing:
        assert list(strategies_of(names)) == names
        return
    with pytest.raises(pydantic.ValidationError, match=f"simpler ones: add {', '.join(missing)} to strategies"):
        strategies_of(names)


def test_a_reference_counts_under_whichever_name_it_is_written():
    renamed = {"plain": {"strategy": "none"}, "weighted": {"strategy": "class_weights"}, "logit_adjustment": {}}

    assert missing_references(strategies_of({**renamed, "smote": {}})) == []


def test_what_is_neither_a_list_nor_a_mapping_is_left_to_be_refused():
    assert with_settings(3) == 3
