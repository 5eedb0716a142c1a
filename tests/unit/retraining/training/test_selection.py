from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from include.retraining.artifacts import CandidateRecord, CrossValidation
from include.retraining.config import TrainingConfig
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.training.selection import select
from tests.builders import LABELS, make_candidate, make_metrics

ONE_STANDARD_ERROR = TrainingConfig(heads={"linear": {"weight_decay": 1.0}, "mlp": {"weight_decay": 1.0}})
BEST = TrainingConfig(heads={"linear": {"weight_decay": 1.0}}, selection={"rule": "best"})


def scored(
    strategy: str, mean: float, error: float = 0.01, *, n_parameters: int = 10, decay: float = 1.0, **fields: Any
) -> CandidateRecord:
    return make_candidate(
        strategy,
        n_parameters=n_parameters,
        cross_validation=CrossValidation((mean,) * 5, mean, error),
        settings={"weight_decay": decay, "dropout": 0.0, "learning_rate": 0.001},
        **fields,
    )


def test_the_simplest_within_one_standard_error_of_the_best_is_chosen():
    records = [
        scored("smote", 0.90, 0.02, n_parameters=99),
        scored("class_weights", 0.885, 0.5, n_parameters=50),
        scored("none", 0.87, n_parameters=10),
    ]

    selection = select(records, ONE_STANDARD_ERROR)

    assert selection.best == "smote · linear"
    assert selection.challenger == "class_weights · linear"
    assert selection.bound == pytest.approx(0.88)
    assert selection.rule == "one_standard_error"
    assert selection.because == (
        "class_weights · linear, with 0.8850, is the simplest candidate that reaches 0.8800: smote · linear has the "
        "highest macro recall over 5 folds, 0.9000 with a standard error of 0.0200."
    )


def test_whoever_is_exactly_one_standard_error_below_is_within_it():
    selection = select([scored("smote", 0.75, 0.25, n_parameters=99), scored("none", 0.5)], ONE_STANDARD_ERROR)

    assert selection.challenger == "none · linear"


def test_the_best_is_chosen_where_nothing_simpler_comes_near():
    selection = select([scored("none", 0.80), scored("smote", 0.90, 0.02, n_parameters=99)], ONE_STANDARD_ERROR)

    assert selection.challenger == selection.best == "smote · linear"
    assert selection.winner.strategy == "smote"
    assert selection.because == (
        "smote · linear has the highest macro recall over 5 folds, 0.9000 with a standard error of 0.0200, and no "
        "simpler candidate reaches 0.8800."
    )


def test_the_error_that_counts_is_that_of_the_best():
    records = [scored("smote", 0.90, 0.001, n_parameters=99), scored("none", 0.89, 0.2)]

    assert select(records, ONE_STANDARD_ERROR).challenger == "smote · linear"


@pytest.mark.parametrize(
    ("simpler", "other"),
    [
        (scored("smote", 0.8, n_parameters=9), scored("none", 0.8, n_parameters=10)),
        (scored("none", 0.8, decay=0.1), scored("class_weights", 0.8, decay=9.0)),
        (scored("class_weights", 0.8), scored("logit_adjusted_loss", 0.8)),
        (scored("none", 0.8, decay=2.0, name="z"), scored("none", 0.8, decay=1.0, name="a")),
        (scored("none", 0.8, name="a"), scored("none", 0.8, name="b")),
        (scored("smote", 0.8), scored("of an older recipe", 0.8)),
    ],
    ids=["parameters", "strategy", "order-in-the-recipe", "weight-decay", "name", "unknown-strategy"],
)
def test_of_equals_the_simpler_wins_under_either_rule_and_whatever_the_order(
    simpler: CandidateRecord, other: CandidateRecord
):
    for training, records in itertools.product((ONE_STANDARD_ERROR, BEST), ([simpler, other], [other, simpler])):
        selection = select(records, training)
        assert selection.challenger == selection.best == simpler.name
        assert selection.candidates == (simpler, other)


def test_the_rule_best_takes_the_highest_mean_however_close_a_simpler_one_is():
    selection = select([scored("none", 0.8999), scored("smote", 0.9, 0.1, n_parameters=99)], BEST)

    assert selection.challenger == "smote · linear"
    assert (selection.rule, selection.bound) == ("best", 0.9)
    assert selection.because == (
        "smote · linear has the highest macro recall over 5 folds, 0.9000 with a standard error of 0.1000."
    )


def test_candidates_are_listed_by_their_mean():
    records = [scored("none", 0.5), scored("smote", 0.9), scored("class_weights", 0.7)]

    listed = select(records, ONE_STANDARD_ERROR).candidates

    assert [record.cross_validation.mean for record in listed] == [0.9, 0.7, 0.5]


@pytest.mark.parametrize("training", [ONE_STANDARD_ERROR, BEST], ids=["one_standard_error", "best"])
@pytest.mark.parametrize("damage", [{"mean": math.nan}, {"mean": math.inf}, {"mean": 0.99, "error": math.nan}])
def test_a_mean_that_is_no_number_never_wins_and_comes_last(training: TrainingConfig, damage: dict[str, float]):
    damaged, whole = scored("none", **damage, n_parameters=1), scored("smote", 0.3)

    for records in ([damaged, whole], [whole, damaged]):
        selection = select(records, training)
        assert selection.challenger == selection.best == "smote · linear"
        assert selection.candidates == (whole, damaged)


@pytest.mark.parametrize(
    ("records", "said"), [([scored("none", math.nan)], "none · linear: nan"), ([], "no candidate")], ids=["nan", "none"]
)
def test_a_contest_without_any_mean_is_refused(records: list[CandidateRecord], said: str):
    with pytest.raises(ArtifactIntegrityError, match=f"a mean of at least one of them, got {said}"):
        select(records, ONE_STANDARD_ERROR)


def test_what_came_of_the_test_split_and_of_the_validation_split_alone_has_no_part_in_it():
    perfect = make_metrics(dict.fromkeys(LABELS, 1.0))
    records = [scored("smote", 0.9), scored("none", 0.5, validation=perfect)]

    assert select(records, ONE_STANDARD_ERROR).challenger == "smote · linear"
