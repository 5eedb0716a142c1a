"""Fine-tuning of EfficientNet-Lite0 itself, in processes that are killed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from include.retraining.artifacts import Weights
from include.retraining.config import EmbeddingConfig
from include.retraining.embedding.networks.backbones import build_backbone, load_weights
from include.retraining.embedding.networks.weights import weights_of
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256

MODULE = "tests.integration.fine_tuning_process"
NAME = "efficientnet_lite0"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a process that nobody killed."""
    folder = tmp_path_factory.mktemp("whole")
    assert start(folder).wait(300) == 0
    return folder


def start(folder: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", MODULE, str(folder)])


def weights_file(folder: Path) -> Path:
    [found] = folder.glob("extractors/*/*/backbone.weights.h5")
    return found


def backbone(weights: Weights) -> keras.Model:
    model = build_backbone(NAME, 32)
    load_weights(InMemoryStore(), model, NAME, weights)
    return model


def test_a_process_that_is_killed_in_an_epoch_and_repeated_comes_to_the_same_weights(whole: Path, tmp_path: Path):
    victim = start(tmp_path)
    while not list(tmp_path.glob("extractors/*/*/checkpoints/0001/manifest.json")):
        assert victim.poll() is None, "it ended before it could be killed"

    victim.kill()
    victim.wait(10)
    assert not list(tmp_path.glob("extractors/*/*/manifest.json")), "it ended before it was killed"
    assert start(tmp_path).wait(300) == 0

    assert weights_file(tmp_path).read_bytes() == weights_file(whole).read_bytes()
    assert weights_file(tmp_path).relative_to(tmp_path) == weights_file(whole).relative_to(whole)


def test_the_extractor_s_network_takes_the_weights_and_differs_where_it_was_trained(whole: Path):
    file = weights_file(whole)

    before = backbone(weights_of(EmbeddingConfig()))
    after = backbone(Weights(str(file), sha256(file.read_bytes())))

    changed = {
        one.path.split("/")[0]
        for one, other in zip(before.weights, after.weights, strict=True)
        if not np.array_equal(one, other)
    }
    names = [layer.name for layer in before.layers if layer.weights]
    assert changed == set(names[names.index("block_15_expand_conv") :])
