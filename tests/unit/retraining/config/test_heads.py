from __future__ import annotations

from typing import Any

import pydantic
import pytest

from include.retraining.config import Between, Grid, HeadConfig, HeadSettings, Search

RANGE = {"low": 0.1, "high": 10.0}


def refusal_of(**head: Any) -> str:
    with pytest.raises(pydantic.ValidationError) as caught:
        HeadConfig.model_validate({"weight_decay": 1.0, **head})
    return str(caught.value)


def test_a_head_has_the_recipe_s_learning_rate_unless_it_has_one_of_its_own():
    assert HeadConfig(weight_decay=1.0).settings(0.01) == HeadSettings((), 1.0, 0.0, 0.01)
    assert HeadConfig(weight_decay=1.0, learning_rate=0.5).settings(0.01).learning_rate == 0.5


def test_a_point_of_a_grid_changes_what_it_names():
    head = HeadConfig(weight_decay=1.0, dropout=0.5, hidden_units=(8,))

    assert head.settings(0.01, {"weight_decay": 3.0}) == HeadSettings((8,), 3.0, 0.5, 0.01)
    assert head.settings(0.01, {"learning_rate": 0.2}).learning_rate == 0.2


def test_a_grid_has_every_combination_in_the_order_in_which_values_are_written():
    grid = Grid(weight_decay=(3.0, 1.0), learning_rate=(0.1, 0.2))

    assert grid.points == [
        {"weight_decay": 3.0, "learning_rate": 0.1},
        {"weight_decay": 3.0, "learning_rate": 0.2},
        {"weight_decay": 1.0, "learning_rate": 0.1},
        {"weight_decay": 1.0, "learning_rate": 0.2},
    ]


def test_a_grid_of_more_points_than_anybody_waits_for_is_refused():
    assert len(HeadConfig(weight_decay=1.0, grid={"weight_decay": range(64)}).grid.points) == 64
    assert "the grid has 65 points, more than 64" in refusal_of(grid={"weight_decay": list(range(65))})


def test_a_search_has_the_ranges_that_are_given():
    search = Search(trials=3, dropout={"low": 0.0, "high": 0.5}, weight_decay={**RANGE, "log": True})

    assert search.ranges == {"weight_decay": Between(**RANGE, log=True), "dropout": Between(low=0.0, high=0.5)}


@pytest.mark.parametrize(
    ("head", "said"),
    [
        ({"weight_decay": -1}, "greater than or equal to 0"),
        ({"weight_decay": float("inf")}, "finite number"),
        ({"dropout": 1}, "less than 1"),
        ({"learning_rate": 0}, "greater than 0"),
        ({"hidden_units": [8, 0]}, "greater than or equal to 1"),
        ({"grid": {"dropout": [0.5, 1.5]}}, "less than 1"),
        ({"grid": {"learning_rate": [0]}}, "greater than 0"),
        ({"grid": {"weight_decay": [float("nan")]}}, "finite number"),
        ({"grid": {"hidden_units": [8]}}, "Extra inputs"),
        ({"search": {"trials": 3}}, "name at least one of weight_decay, dropout and learning_rate"),
        ({"search": {"trials": 0, "weight_decay": RANGE}}, "greater than or equal to 1"),
        ({"search": {"trials": 201, "weight_decay": RANGE}}, "less than or equal to 200"),
        ({"search": {"trials": 3, "weight_decay": {"low": 1, "high": 1}}}, "low must be below high, got 1.0 and 1.0"),
        ({"search": {"trials": 3, "weight_decay": {"low": float("nan"), "high": 1}}}, "low must be below high"),
        ({"search": {"trials": 3, "weight_decay": {"low": 0, "high": 1, "log": True}}}, "low must be above 0"),
        ({"search": {"trials": 3, "weight_decay": {"low": -1, "high": 1}}}, "greater than or equal to 0"),
        ({"search": {"trials": 3, "weight_decay": {"low": 0, "high": float("inf")}}}, "finite number"),
        ({"search": {"trials": 3, "dropout": {"low": 0, "high": 1.5}}}, "less than 1"),
        ({"search": {"trials": 3, "learning_rate": {"low": 0, "high": 0.5}}}, "greater than 0"),
        ({"search": {"trials": 3, "weight_decay": RANGE}, "grid": {"dropout": [0.1]}}, "a grid or a search, not both"),
    ],
)
def test_what_could_not_be_trained_is_refused(head: dict[str, Any], said: str):
    assert said in refusal_of(**head)
