from __future__ import annotations

import inspect
import math
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import yaml
from pydantic import ValidationError

from include.retraining.config import load_classifier
from include.retraining.config.embedding import ImageDataGeneratorAugmentation
from include.retraining.config.image_data_generator import ACCEPTED, REFUSED, find_mistake
from include.retraining.errors import ConfigurationError


def test_every_argument_of_the_generator_is_either_accepted_or_refused_with_a_reason():
    known = set(inspect.signature(tf.keras.preprocessing.image.ImageDataGenerator).parameters)
    assert set(ACCEPTED) | set(REFUSED) == known
    assert not set(ACCEPTED) & set(REFUSED)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"rotation_range": 15, "shear_range": 0.5, "horizontal_flip": True, "vertical_flip": False},
        {"width_shift_range": 0.1, "height_shift_range": 3},
        {"width_shift_range": [0.1, -0.2], "height_shift_range": [1]},
        {"zoom_range": 0.2},
        {"zoom_range": [0.8, 1.2], "brightness_range": [0.5, 1.5]},
        {"fill_mode": "reflect", "cval": 255, "interpolation_order": 3, "channel_shift_range": 20},
    ],
)
def test_what_the_generator_can_do_to_one_image_is_accepted(arguments: dict[str, Any]):
    assert find_mistake(arguments) == ""
    assert ImageDataGeneratorAugmentation(engine="image_data_generator", arguments=arguments).arguments == arguments


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("rescale", 1 / 255, "preprocessing scales pixels"),
        ("featurewise_center", True, "expects the pixels that it was trained on"),
        ("featurewise_std_normalization", True, "expects the pixels"),
        ("samplewise_center", True, "expects the pixels"),
        ("samplewise_std_normalization", True, "expects the pixels"),
        ("zca_whitening", True, "expects the pixels"),
        ("validation_split", 0.2, "split when they are accepted, before any is resampled"),
        ("preprocessing_function", "f", "cannot be in a recipe"),
        ("data_format", "channels_first", "height × width × channels"),
        ("dtype", "float64", "8-bit"),
    ],
)
def test_what_makes_no_sense_before_a_pre_trained_network_is_refused_with_the_reason(
    name: str, value: Any, reason: str
):
    mistake = find_mistake({"rotation_range": 5, name: value})
    assert mistake.startswith(f"{name} is refused: ")
    assert reason in mistake


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("rotation", "did you mean rotation_range?"),
        ("horizontal_flips", "did you mean horizontal_flip"),
        ("shift_range", "width_shift_range"),
        ("blur", "known here: rotation_range, "),
    ],
)
def test_an_unknown_argument_is_refused_with_what_was_meant(name: str, said: str):
    mistake = find_mistake({name: 1})
    assert mistake.startswith(f"{name} is no argument of ImageDataGenerator; ")
    assert said in mistake


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("rotation_range", -1),
        ("rotation_range", "15"),
        ("rotation_range", True),
        ("rotation_range", math.nan),
        ("rotation_range", None),
        ("shear_range", math.inf),
        ("width_shift_range", []),
        ("width_shift_range", ["a"]),
        ("height_shift_range", -0.1),
        ("zoom_range", 1.0),
        ("zoom_range", [0, 1]),
        ("zoom_range", [1.2, 0.8]),
        ("zoom_range", [1, 1, 1]),
        ("brightness_range", 0.2),
        ("brightness_range", [-1, 1]),
        ("horizontal_flip", 1),
        ("vertical_flip", "yes"),
        ("fill_mode", "mirror"),
        ("fill_mode", ["nearest"]),
        ("cval", 256),
        ("interpolation_order", 1.5),
        ("interpolation_order", 6),
        ("channel_shift_range", {}),
    ],
)
def test_a_value_that_the_generator_cannot_use_is_refused_with_what_was_expected(name: str, value: Any):
    mistake = find_mistake({name: value})
    assert mistake == f"{name}: expected {ACCEPTED[name].expected}, got {value!r}"
    with pytest.raises(ValidationError):
        ImageDataGeneratorAugmentation(engine="image_data_generator", arguments={name: value})


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_recipe_with_a_refused_argument_is_refused_with_the_whole_sentence(tmp_path: Path, name: str):
    recipe = {
        "name": "flowers",
        "labels": ["daisy", "poppy"],
        "schedule": {"start_date": "2026-01-01"},
        "embedding": {"augmentation": {"engine": "image_data_generator", "arguments": {name: 0.2}}},
        "training": {"heads": {"linear": {"weight_decay": 1.0}}},
        "gates": [{"gate": "floor", "metric": "macro_recall", "minimum": 0.5}],
    }
    (tmp_path / "flowers.yaml").write_text(yaml.safe_dump(recipe), encoding="utf-8")

    with pytest.raises(ConfigurationError) as caught:
        load_classifier("flowers", tmp_path)

    assert "embedding.augmentation.image_data_generator.arguments" in caught.value.where
    assert f"{name} is refused: {REFUSED[name]}" in caught.value.problem
