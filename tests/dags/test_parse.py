from __future__ import annotations

from pathlib import Path

import pytest

from include.retraining.config import classifier_names
from tests.dags.dag_files import DAGS, read_dags

CHECK = str(DAGS / "check_recipes.py")
KINDS = ("retrain", "rollback")


def test_every_dag_file_is_read_without_an_error_or_a_warning(dag_bag):
    assert dag_bag.import_errors == {}
    assert dag_bag.captured_warnings == {}


def test_airflow_takes_every_file_in_the_folder_for_a_dag_file(dag_bag):
    # A file without the words "dag" and "airflow" is passed over in silence.
    assert {stat.file for stat in dag_bag.dagbag_stats} == {path.name for path in DAGS.glob("[!_]*.py")}


def test_each_shipped_recipe_has_a_dag_to_retrain_and_one_to_roll_back_and_nothing_else_has(dag_bag):
    assert sorted(dag_bag.dag_ids) == sorted(f"{what}_{name}" for name in classifier_names() for what in KINDS)


def test_a_new_recipe_is_all_that_its_dags_need(recipes):
    bag = read_dags()

    assert bag.import_errors == {}
    assert sorted(bag.dag_ids) == ["retrain_birds", "retrain_flowers", "rollback_birds", "rollback_flowers"]


@pytest.mark.parametrize(
    ("old", "new", "key", "cure"),
    [
        ("schedule:", "shedule:", "key shedule", "Did you mean 'schedule'?"),
        ("name: birds", "name: bees", "key name", "Rename one of them"),
        ("name: birds", "name: [", "not valid YAML", "Correct the syntax"),
    ],
)
def test_a_broken_recipe_is_an_import_error_of_the_check_and_the_other_dags_stay(
    recipes: Path, old: str, new: str, key: str, cure: str
):
    broken = recipes / "birds.yaml"
    text = broken.read_text(encoding="utf-8")
    assert old in text
    broken.write_text(text.replace(old, new), encoding="utf-8")

    bag = read_dags()

    assert sorted(bag.dag_ids) == ["retrain_flowers", "rollback_flowers"]
    assert list(bag.import_errors) == [CHECK]
    message = bag.import_errors[CHECK]
    assert str(broken) in message
    assert key in message
    assert cure in message


def test_a_folder_without_a_recipe_is_an_import_error_and_not_an_empty_list_of_dags(tmp_path, monkeypatch):
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path / "mistyped"))

    bag = read_dags()

    assert bag.dag_ids == []
    assert "RETRAIN_CLASSIFIERS" in bag.import_errors[CHECK]
