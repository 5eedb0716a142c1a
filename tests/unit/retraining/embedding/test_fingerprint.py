from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from include.retraining.config import EmbeddingConfig
from include.retraining.embedding import fingerprint as module
from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components, view_components
from include.retraining.embedding.networks.weights import weights_of

REPOSITORY = Path(__file__).parents[4]


def components_of(config: EmbeddingConfig) -> dict[str, str]:
    return fingerprint_components(config, weights_of(config))


def test_the_components_name_all_that_decides_a_vector():
    assert components_of(EmbeddingConfig()).keys() == {
        "architecture",
        "weights",
        "decoding",
        "resizing",
        "image_size",
        "preprocessing",
        "layers",
        "pooling",
        "normalisation",
        "precision",
        "stored_as",
        "keras",
        "tensorflow",
    }


def test_the_fingerprint_is_sixteen_hexadecimal_digits_whatever_the_order():
    components = components_of(EmbeddingConfig())
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
        pytest.param({"extractor": "efficientnet_lite1"}, id="extractor"),
        pytest.param({"weights": "none"}, id="weights"),
        pytest.param({"weights": "a.h5", "weights_sha256": "0" * 64}, id="file of weights"),
        pytest.param({"pooling": "max"}, id="pooling"),
        pytest.param({"normalisation": "l2"}, id="normalisation"),
        pytest.param({"precision": "mixed"}, id="precision"),
        pytest.param({"stored_as": "float16"}, id="stored type"),
        pytest.param({"layers": ("head", "block_15", "block_10", "block_7", "block_4")}, id="order"),
    ],
)
def test_what_changes_vectors_changes_the_fingerprint(change: dict[str, Any]):
    changed = components_of(EmbeddingConfig(**change))
    assert fingerprint(changed) != fingerprint(components_of(EmbeddingConfig()))


def test_another_version_of_keras_changes_the_fingerprint(monkeypatch: pytest.MonkeyPatch):
    before = fingerprint(components_of(EmbeddingConfig()))
    monkeypatch.setattr(module.metadata, "version", lambda name: "0.0.1")
    assert fingerprint(components_of(EmbeddingConfig())) != before


def test_how_the_work_is_cut_does_not_change_the_fingerprint():
    cut = EmbeddingConfig(batch_size=7, shard_images=3, runtime="openvino", pca=5)
    assert components_of(cut) == components_of(EmbeddingConfig())


def test_each_view_and_each_way_to_make_it_has_a_fingerprint_of_its_own():
    config = EmbeddingConfig()
    other = EmbeddingConfig.model_validate({"augmentation": {"seed": 1}})
    components = components_of(config)

    views = [components, *(view_components(components, it, view) for it in (config, other) for view in (1, 2))]

    assert len({fingerprint(each) for each in views}) == 5
    assert all(components.items() <= each.items() for each in views)


def test_a_fingerprint_loads_no_network():
    code = (
        "import sys; from include.retraining.config import EmbeddingConfig\n"
        "from include.retraining.embedding.fingerprint import fingerprint, fingerprint_components\n"
        "from include.retraining.embedding.networks.weights import weights_of\n"
        "config = EmbeddingConfig()\n"
        "print(fingerprint(fingerprint_components(config, weights_of(config))))\n"
        "print({'tensorflow', 'keras'} & set(sys.modules))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=REPOSITORY
    ).stdout
    assert printed.split("\n")[:2] == [fingerprint(components_of(EmbeddingConfig())), "set()"]
