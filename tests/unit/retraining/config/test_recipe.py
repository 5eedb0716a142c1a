from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

from include.retraining.config import DIRECTORY, ClassifierConfig, classifier_names, load_classifier
from include.retraining.errors import ConfigurationError

RECIPE: dict[str, Any] = {
    "name": "flowers",
    "labels": ["daisy", "poppy", "orchid"],
    "schedule": {"start_date": "2026-01-01"},
    "training": {
        "strategies": ["none", "class_weights", "logit_adjusted_loss", "smote"],
        "heads": {"linear": {"weight_decay": 1.0}, "mlp": {"weight_decay": 0}},
    },
    "gates": [
        {"gate": "floor", "metric": "macro_recall", "minimum": 0.5},
        {"gate": "non_inferior", "metric": "macro_f1", "tolerance": 0.01},
        {"gate": "calibration", "maximum_ece": 0.1},
        {"gate": "test_rows", "minimum_per_class": 10},
    ],
}
MISSING = object()


def changed(key: str, value: Any) -> dict[str, Any]:
    """The recipe with one key set, or taken out; the key is dotted, numbers index lists."""
    document = copy.deepcopy(RECIPE)
    *parents, last = (int(part) if part.isdigit() else part for part in key.split("."))
    node: Any = document
    for part in parents:
        node = node.setdefault(part, {}) if isinstance(node, dict) else node[part]
    if value is MISSING:
        del node[last]
    else:
        node[last] = value
    return document


def load(directory: Path, document: Any, name: str = "flowers") -> ClassifierConfig:
    text = document if isinstance(document, str) else yaml.safe_dump(document)
    (directory / f"{name}.yaml").write_text(text, encoding="utf-8")
    return load_classifier(name, directory)


def refusal_of(directory: Path, document: Any) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        load(directory, document)
    return caught.value


@pytest.mark.parametrize("name", classifier_names())
def test_a_shipped_recipe_is_valid(name: str):
    config = load_classifier(name)
    assert config.name == name
    assert config.gates


def test_the_demo_s_recipe_is_shipped():
    assert "fashion_mnist" in classifier_names()
    assert DIRECTORY.name == "classifiers"


def test_a_recipe_is_read_with_defaults_for_what_it_does_not_say(tmp_path: Path):
    config = load(tmp_path, RECIPE)
    assert config.labels == ("daisy", "poppy", "orchid")
    assert (config.balancing.random_streams, config.embedding.image_size) == ("per_class", 96)
    assert [type(gate).__name__ for gate in config.gates] == [
        "FloorGate",
        "NonInferiorGate",
        "CalibrationGate",
        "TestRowsGate",
    ]


def test_the_candidates_are_every_strategy_with_every_head(tmp_path: Path):
    assert [candidate.name for candidate in load(tmp_path, RECIPE).candidates] == [
        "none · linear",
        "none · mlp",
        "class_weights · linear",
        "class_weights · mlp",
        "logit_adjusted_loss · linear",
        "logit_adjusted_loss · mlp",
        "smote · linear",
        "smote · mlp",
    ]


def test_a_recipe_cannot_be_changed_after_it_was_read(tmp_path: Path):
    config = load(tmp_path, RECIPE)
    with pytest.raises(pydantic.ValidationError):
        config.training.epochs = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "known"),
    [
        ("colour", "labels"),
        ("intake.images.colour", "minimum_side_pixels"),
        ("training.heads.linear.colour", "hidden_units"),
        ("training.selection.colour", "folds"),
        ("gates.0.colour", "minimum"),
    ],
)
def test_an_unknown_key_is_refused_with_those_that_are_known_there(tmp_path: Path, key: str, known: str):
    error = refusal_of(tmp_path, changed(key, 1))
    assert error.where.startswith(f"{tmp_path / 'flowers.yaml'}, key {key.split('.')[0]}")
    assert error.where.endswith("colour")
    assert error.problem == "unknown key"
    assert error.cure.startswith("Remove it; known keys here: ")
    assert known in error.cure.removeprefix("Remove it; known keys here: ").split(", ")


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("lables", "labels"),
        ("embedding.imagesize", "image_size"),
        ("training.epoch", "epochs"),
        ("training.heads.linear.weight_dacay", "weight_decay"),
        ("training.calibration.temprature", "temperature"),
        ("training.heads.linear.search.trails", "trials"),
        ("gates.1.tolerence", "tolerance"),
        ("gates.3.minimum_per_clas", "minimum_per_class"),
    ],
)
def test_a_misspelt_key_is_refused_with_the_one_that_was_meant(tmp_path: Path, key: str, meant: str):
    assert refusal_of(tmp_path, changed(key, 1)).cure == f"Did you mean {meant!r}?"


@pytest.mark.parametrize(
    ("key", "where"),
    [
        ("labels", "labels"),
        ("schedule.start_date", "schedule.start_date"),
        ("training.heads.linear.weight_decay", "training.heads.linear.weight_decay"),
        ("gates", "gates"),
    ],
)
def test_a_missing_key_is_named(tmp_path: Path, key: str, where: str):
    error = refusal_of(tmp_path, changed(key, MISSING))
    assert error.where == f"{tmp_path / 'flowers.yaml'}, key {where}"
    assert error.problem == "missing"
    assert error.cure == f"Add {key.split('.')[-1]!r}"


@pytest.mark.parametrize(
    ("key", "missing"),
    [
        ("gates.0.minimum", "gates.0.floor.minimum"),
        ("gates.0.metric", "gates.0.floor.metric"),
        ("gates.1.tolerance", "gates.1.non_inferior.tolerance"),
        ("gates.1.metric", "gates.1.non_inferior.metric"),
        ("gates.2.maximum_ece", "gates.2.calibration.maximum_ece"),
        ("gates.3.minimum_per_class", "gates.3.test_rows.minimum_per_class"),
    ],
)
def test_a_gate_without_its_metric_or_threshold_is_refused(tmp_path: Path, key: str, missing: str):
    error = refusal_of(tmp_path, changed(key, MISSING))
    assert error.where.endswith(f", key {missing}")
    assert error.problem == "missing"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gates.0.minimum", None),
        ("gates.0.minimum", float("nan")),
        ("gates.0.minimum", 75),
        ("gates.0.minimum", -0.1),
        ("gates.1.tolerance", float("nan")),
        ("gates.2.maximum_ece", float("nan")),
        ("gates.2.maximum_ece", 0),
        ("gates.3.minimum_per_class", 0),
        ("gates.0.metric", "beauty"),
    ],
)
def test_a_gate_that_could_not_close_is_refused(tmp_path: Path, key: str, value: Any):
    error = refusal_of(tmp_path, changed(key, value))
    assert error.where.endswith(key.split(".")[-1])
    assert f"got {value!r}" in error.problem
    assert error.cure == "See ClassifierConfig in include/retraining/config/recipe.py"


def test_a_gate_of_no_known_kind_is_refused_with_the_known_kinds(tmp_path: Path):
    error = refusal_of(tmp_path, changed("gates.0.gate", "vibes"))
    assert error.where.endswith("key gates.0")
    assert "'floor', 'non_inferior', 'maximum_regression', 'calibration'" in error.problem


def test_a_recipe_without_gates_is_refused(tmp_path: Path):
    assert refusal_of(tmp_path, changed("gates", [])).where.endswith("key gates")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("training.epochs", "many", "valid integer"),
        ("training.epochs", 0, "greater than or equal to 1"),
        ("training.learning_rate", 0, "greater than 0"),
        ("training.strategies.0", "undersampling", "'none', 'class_weights', 'logit_adjusted_loss'"),
        ("training.heads", {}, "at least 1 item"),
        ("labels", ["daisy"], "at least 2 items"),
        ("labels", ["no", False], "valid string"),
        ("labels", ["daisy", "poppy", "daisy"], "labels must be distinct"),
        ("schedule.start_date", "soon", "valid date"),
        ("balancing.random_streams", "its own", "'per_class' or 'imblearn'"),
        ("training.selection.folds", 1, "greater than or equal to 2"),
        ("embedding.image_size", 16, "greater than or equal to 32"),
        ("dataset.validation_fraction", 0, "greater than 0"),
        ("dataset", {"validation_fraction": 0.5, "test_fraction": 0.5}, "no row is left to train on"),
        ("expectations.quarantined.maximum", 1.5, "less than or equal to 1"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_with_what_came(tmp_path: Path, key: str, value: Any, said: str):
    error = refusal_of(tmp_path, changed(key, value))
    assert error.where.startswith(f"{tmp_path / 'flowers.yaml'}, key ")
    assert said in error.problem
    assert "got " in error.problem


def test_counts_for_a_class_that_is_no_label_are_refused(tmp_path: Path):
    few = {"few": {"strategy": "smote", "sampling_strategy": {"orchid": 20, "rose": 20}}}
    strategies = {"none": {}, "class_weights": {}, "logit_adjustment": {}, **few}
    error = refusal_of(tmp_path, changed("training.strategies", strategies))
    assert "sampling_strategy of few names rose, which is no label" in error.problem


def test_pictures_of_synthetic_rows_are_refused_where_there_are_none(tmp_path: Path):
    document = changed("training.strategies", ["none"])
    document["balancing"] = {"reconstruct": True}
    assert "add a strategy that resamples, such as smote" in refusal_of(tmp_path, document).problem


def test_several_mistakes_are_counted_and_the_first_is_told(tmp_path: Path):
    document = changed("training.epochs", 0)
    document["labels"] = []
    assert refusal_of(tmp_path, document).problem.endswith("(1 more)")


def test_a_name_that_is_not_the_file_s_is_refused(tmp_path: Path):
    error = refusal_of(tmp_path, changed("name", "trees"))
    assert error.where == f"{tmp_path / 'flowers.yaml'}, key name"
    assert error.problem == "expected 'flowers' as the file is called, got 'trees'"
    assert error.cure == "Rename one of them"


@pytest.mark.parametrize("name", ["Flowers", "1flowers", "flowers/../trees", "f", "flowers\n"])
def test_a_name_that_would_not_do_as_a_dag_and_a_folder_is_refused(tmp_path: Path, name: str):
    assert refusal_of(tmp_path, changed("name", name)).where.endswith("key name")


@pytest.mark.parametrize(("text", "kind"), [("", "NoneType"), ("# nothing yet", "NoneType"), ("- a\n- b", "list")])
def test_a_file_that_holds_no_mapping_is_refused_with_a_recipe_to_start_from(tmp_path: Path, text: str, kind: str):
    error = refusal_of(tmp_path, text)
    assert error.where == str(tmp_path / "flowers.yaml")
    assert error.problem == f"expected a mapping, got {kind}"
    assert error.cure == "Start from include/classifiers/fashion_mnist.yaml"


@pytest.mark.parametrize("text", ["labels: [daisy", "a: b: c", "\tname: x", "!!python/object/apply:os.getcwd []"])
def test_a_file_that_is_not_plain_yaml_is_refused(tmp_path: Path, text: str):
    error = refusal_of(tmp_path, text)
    assert error.where == str(tmp_path / "flowers.yaml")
    assert error.problem.startswith("not valid YAML: ")


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path):
    (tmp_path / "flowers.yaml").write_bytes("description: Blüten".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"flowers\.yaml: not valid YAML: .*utf-8"):
        load_classifier("flowers", tmp_path)


def test_a_key_that_is_written_twice_is_refused_since_the_first_would_be_dropped_unseen(tmp_path: Path):
    text = yaml.safe_dump(RECIPE) + "gates: [{gate: floor, metric: macro_recall, minimum: 0.0}]\n"
    error = refusal_of(tmp_path, text)
    assert error.problem.startswith("not valid YAML: ")
    assert "gates" in error.problem


def test_a_classifier_without_a_file_is_refused_with_those_that_have_one(tmp_path: Path):
    load(tmp_path, RECIPE)
    load(tmp_path, changed("name", "birds"), name="birds")
    with pytest.raises(ConfigurationError, match="there is no such classifier.*name one of: birds, flowers") as caught:
        load_classifier("trees", tmp_path)
    assert caught.value.where == str(tmp_path / "trees.yaml")


def test_the_first_classifier_of_all_is_asked_for_where_there_is_none(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="name one of: none"):
        load_classifier("flowers", tmp_path)


@pytest.mark.parametrize("cron", ["", "every day", "0 25 * * *"])
def test_a_schedule_that_is_no_cron_expression_is_refused(tmp_path: Path, cron: str):
    error = refusal_of(tmp_path, changed("schedule.cron", cron))
    assert error.where == f"{tmp_path / 'flowers.yaml'}, key schedule.cron"
    assert "expected a cron expression" in error.problem
