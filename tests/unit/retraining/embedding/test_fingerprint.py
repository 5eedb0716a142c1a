from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from include.retraining.config import EmbeddingConfig
from include.retraining.embedding import fingerprint as module
from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components

REPOSITORY = Path(__file__).parents[4]


def test_the_components_name_all_that_decides_a_vector():
    assert fingerprint_components(EmbeddingConfig()).keys() == {
        "architecture",
        "weights_sha256",
        "decoding",
        "preprocessing",
        "image_size",
        "layers",
        "pooling",
        "keras",
        "tensorflow",
    }


def test_the_fingerprint_is_sixteen_hexadecimal_digits_whatever_the_order():
    components = fingerprint_components(EmbeddingConfig())
    digest = fingerprint(components)
    assert len(digest) == 16
    assert int(digest, 16) >= 0
    assert fingerprint(dict(reversed(components.items()))) == digest
    assert fingerprint({"a": "ü"}) == "fd621823002706e2"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"image_size": 64}, id="size"),
        pytest.param({"layers": ("head",)}, id="layers"),
        pytest.param({"layers": ("head", "block_15", "block_10", "block_7", "block_4")}, id="order"),
    ],
)
def test_what_changes_vectors_changes_the_fingerprint(change: dict[str, Any]):
    changed = fingerprint_components(EmbeddingConfig(**change))
    assert fingerprint(changed) != fingerprint(fingerprint_components(EmbeddingConfig()))


def test_another_version_of_keras_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch):
    before = fingerprint(fingerprint_components(EmbeddingConfig()))
    monkeypatch.setattr(module.metadata, "version", lambda name: "0.0.1")
    assert fingerprint(fingerprint_components(EmbeddingConfig())) != before


def test_how_the_work_is_cut_does_not_change_the_fingerprint():
    cut = EmbeddingConfig(batch_size=7, shard_images=3)
    assert fingerprint_components(cut) == fingerprint_components(EmbeddingConfig())


def test_a_fingerprint_loads_no_network():
    code = (
        "import sys; from include.retraining.config import EmbeddingConfig\n"
        "from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components\n"
        "print(fingerprint(fingerprint_components(EmbeddingConfig())), {'tensorflow', 'keras'} & set(sys.modules))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=REPOSITORY
    ).stdout
    assert printed.strip() == f"{fingerprint(fingerprint_components(EmbeddingConfig()))} set()"
