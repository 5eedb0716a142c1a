from __future__ import annotations

import io
import re
from typing import get_args

import numpy as np
import pytest
import yaml
from PIL import Image

from include.retraining.config.strategies import Smote, Strategy
from tests.builders import make_config
from tests.docs.documents import read

TRAINING = read("docs/training.md")
KINDS = {kind.model_fields["strategy"].default: kind for kind in get_args(get_args(Strategy)[0])}
ROWS = dict(re.findall(r"^\| `(?!strategy)(\w+)` (\|.*\|)$", TRAINING, re.MULTILINE))


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TRAINING, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("block", blocks("yaml"))
def test_every_section_of_a_recipe_on_the_page_is_understood(block: str):
    sections = yaml.safe_load(block)
    training = {
        "strategies": ["none", "class_weights", "logit_adjusted_loss", "smote"],
        "heads": {"linear": {"weight_decay": 1.0}},
    }

    config = make_config(**{**sections, "training": {**training, **sections.get("training", {})}})

    assert config.candidates


def test_every_strategy_has_its_row_and_no_other_has():
    assert list(ROWS) == list(KINDS)


@pytest.mark.parametrize("name", list(KINDS))
def test_the_row_of_a_strategy_names_all_of_its_settings_with_their_defaults(name: str):
    settings = {key: field.default for key, field in KINDS[name].model_fields.items() if key != "strategy"}
    if "as `smote`" in ROWS[name]:
        of_smote = {key: field.default for key, field in Smote.model_fields.items()}
        settings = {key: default for key, default in settings.items() if of_smote.get(key) != default}

    wanted = {key: f"`{key}`" if key == "sampling_strategy" else shown(key, value) for key, value in settings.items()}
    assert {key: text for key, text in wanted.items() if text not in ROWS[name]} == {}


def shown(key: str, default: object) -> str:
    if key == "beta":
        return f"`beta`, {default}"
    return f"`{key}` (`{default}`" if isinstance(default, str) else f"`{key}` ({default:g}"


def test_the_example_of_serving_runs_on_a_saved_model(tmp_path, monkeypatch, capsys):
    import keras

    from include.retraining.training.saved_model import to_files

    layers = [
        keras.Input((None, None, 3), dtype="uint8"),
        keras.layers.Resizing(8, 8),
        keras.layers.Flatten(),
        keras.layers.Dense(2, activation="softmax"),
    ]
    for name, body in to_files(keras.Sequential(layers), ("a", "b"), None, image_size=8).items():
        path = tmp_path / "saved_model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    sink = io.BytesIO()
    Image.fromarray(np.zeros((9, 7, 3), np.uint8)).save(sink, "PNG")
    (tmp_path / "image.png").write_bytes(sink.getvalue())
    monkeypatch.chdir(tmp_path)
    (example,) = blocks("python")

    exec(compile(example, "docs/training.md", "exec"), {})

    assert re.fullmatch(r"\[b'[ab]'\] \[\[0\.\d+ 0\.\d+\]\]\n", capsys.readouterr().out)
