from __future__ import annotations

from pathlib import Path

import pytest

from include.orchestration.assets import champion_asset
from include.orchestration.classifiers import check_classifiers, valid_classifiers
from include.retraining.config import classifier_names
from include.retraining.errors import ConfigurationError
from tests.builders import make_config
from tests.recipes import write_recipe


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path))
    for name in ("poppies", "birds"):
        write_recipe(tmp_path, make_config(name))
    return tmp_path


def test_the_shipped_recipes_are_valid():
    check_classifiers()

    assert [config.name for config in valid_classifiers()] == classifier_names()


def test_valid_recipes_come_in_the_order_of_their_names(recipes):
    assert valid_classifiers() == [make_config("birds"), make_config("poppies")]


def test_a_broken_recipe_is_left_out_and_the_check_names_it(recipes):
    (recipes / "cats.yaml").write_text("name: cats\n")

    assert [config.name for config in valid_classifiers()] == ["birds", "poppies"]
    with pytest.raises(ConfigurationError, match=r"cats\.yaml, key labels: missing"):
        check_classifiers()


def test_of_two_broken_recipes_the_first_is_named(recipes):
    for name in ("owls", "ants"):
        (recipes / f"{name}.yaml").write_text("[]")

    with pytest.raises(ConfigurationError, match=r"ants\.yaml"):
        check_classifiers()


def test_a_folder_without_recipes_is_refused_with_the_variable_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path / "mistyped"))

    assert valid_classifiers() == []
    with pytest.raises(ConfigurationError, match=r"RETRAIN_CLASSIFIERS: there is no recipe in .*mistyped"):
        check_classifiers()


def test_the_champion_asset_is_the_pointer_that_a_promotion_moves(monkeypatch):
    monkeypatch.setenv("RETRAIN_BUCKET", "images")

    asset = champion_asset("flowers")

    assert (asset.name, asset.uri) == ("champion_flowers", "s3://images/models/flowers/champion.json")
