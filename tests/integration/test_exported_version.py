"""A version in the hands of others: processes that export it again, and one that knows nothing of this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

# What docs and golden.npz promise to whoever serves a version: TensorFlow, or Keras, NumPy and Pillow are enough.
STRANGER = """
import io, json, pathlib, sys

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

version = pathlib.Path(sys.argv[1])
golden = np.load(version / "golden.npz", allow_pickle=False)
files = [golden[name].tobytes() for name in sorted(golden) if name.startswith("image_")]
expected = golden["probabilities"]
labels = json.loads((version / "labels.json").read_text())
thresholds = json.loads((version / "thresholds.json").read_text())

served = tf.saved_model.load(version / "saved_model").signatures["serving_default"](images=tf.constant(files))
pixels = np.stack([np.asarray(Image.open(io.BytesIO(file))) for file in files])
model = keras.saving.load_model(version / "model.keras", safe_mode=True)
decided = [labels[index] for index in (expected / [thresholds[label] for label in labels]).argmax(axis=1)]
print(json.dumps({
    "n_images": len(files),
    "saved_model": float(np.abs(served["probabilities"].numpy() - expected).max()),
    "keras": float(np.abs(np.asarray(model(pixels)) - expected).max()),
    "labels_agree": [name.decode() for name in served["labels"].numpy()] == decided,
    "project_modules": [name for name in sys.modules if name.split(".")[0] in ("include", "tests")],
}))
"""


def export_in_a_process(folder: Path, *, hash_seed: int, n_functions: int) -> Path:
    environment = {**os.environ, "PYTHONHASHSEED": str(hash_seed)}
    command = [sys.executable, "-m", "tests.integration.export_process", str(folder), str(n_functions)]
    subprocess.run(command, env=environment, check=True, timeout=300)
    (version,) = folder.iterdir()
    return version


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_in_a_process(tmp_path_factory.mktemp("version"), hash_seed=1, n_functions=0)


def files_of(version: Path) -> dict[str, bytes]:
    return {path.relative_to(version).as_posix(): path.read_bytes() for path in version.rglob("*") if path.is_file()}


def test_another_process_exports_the_same_version_byte_for_byte(version: Path, tmp_path: Path):
    again = export_in_a_process(tmp_path, hash_seed=2, n_functions=7)

    assert again.name == version.name
    assert files_of(again) == files_of(version)


def test_a_process_without_this_project_gets_the_golden_probabilities_from_either_model(version: Path, tmp_path: Path):
    # -I: neither PYTHONPATH nor the current folder is looked into.
    command = [sys.executable, "-I", "-c", STRANGER, str(version)]
    run = subprocess.run(command, cwd=tmp_path, check=True, timeout=300, capture_output=True, text=True)

    found = json.loads(run.stdout.splitlines()[-1])

    assert found["n_images"] == 16
    assert found["saved_model"] < 1e-4
    assert found["keras"] < 1e-4
    assert found["labels_agree"]
    assert found["project_modules"] == []
