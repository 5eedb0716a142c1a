from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from include.retraining.config import FineTuneConfig
from include.retraining.embedding.fine_tuning.network import build_trained_network
from include.retraining.errors import ConfigurationError
from tests.unit.retraining.embedding.fine_tuning.networks import small_backbone

STEPS = 10


def config(**changes: Any) -> FineTuneConfig:
    return FineTuneConfig.model_validate({"occasion": {"when": "every_runs"}, **changes})


def network(backbone: keras.Model | None = None, trained_from: str = "block_1", **changes: Any) -> keras.Model:
    return build_trained_network(
        backbone or small_backbone(),
        config(**changes),
        trained_from=trained_from,
        n_classes=3,
        batches_per_epoch=STEPS,
    )


def train(trained: keras.Model, steps: int = 1) -> None:
    rng = np.random.default_rng(0)
    for _ in range(steps):
        pixels = rng.uniform(0, 255, (6, 16, 16, 3)).astype(np.float32)
        trained.train_on_batch(pixels, np.array([0, 1, 2, 0, 1, 2]))


def step_sizes(**changes: Any) -> list[float]:
    optimizer = network(**changes).optimizer
    sizes = []
    for step in range(config(**changes).epochs * STEPS + 1):
        optimizer.iterations.assign(step)
        sizes.append(float(optimizer.learning_rate))
    return sizes


def test_layers_before_the_first_trained_one_stay_as_they_are_batch_normalisation_too():
    backbone = small_backbone()
    before = {variable.path: np.array(variable) for variable in backbone.weights}

    train(network(backbone, "block_1"), steps=3)

    changed = {variable.path for variable in backbone.weights if not np.array_equal(before[variable.path], variable)}
    assert {path for path in changed if path.startswith("block_0")} == set()
    assert changed == {path for path in before if path.startswith("block_1")}


def test_all_means_all_and_undoes_what_was_frozen():
    backbone = small_backbone()
    network(backbone, "block_1")
    before = [np.array(variable) for variable in backbone.weights]

    train(network(backbone, "all"), steps=3)

    stayed = [it.path for old, it in zip(before, backbone.weights, strict=True) if np.array_equal(old, it)]
    assert stayed == []


def test_a_block_begins_at_its_first_layer_and_a_layer_at_itself():
    whole, part = small_backbone(), small_backbone()

    network(whole, "block_1")
    network(part, "block_1_norm")

    assert whole.get_layer("block_1_conv").trainable
    assert not part.get_layer("block_1_conv").trainable
    assert part.get_layer("block_1_norm").trainable


def test_a_layer_that_does_not_exist_is_an_error_that_names_those_that_do():
    with pytest.raises(ConfigurationError, match=r"no layer 'block_9'.*Write 'all', or a layer out of: .*block_1_conv"):
        network(trained_from="block_9")


def test_it_begins_without_a_preference_for_any_class():
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 16, 16, 3)).astype(np.float32)

    probabilities = np.asarray(network()(pixels))

    assert np.allclose(probabilities, 1 / 3)


def test_the_step_size_rises_over_the_warm_up_and_then_falls_to_nothing_like_a_cosine():
    sizes = step_sizes(epochs=4, warm_up_epochs=1.0, learning_rate=0.01)

    assert sizes[0] == 0
    assert np.allclose(sizes[:11], np.linspace(0, 0.01, 11), atol=1e-8)
    assert np.allclose(sizes[10:], 0.005 * (1 + np.cos(np.pi * np.linspace(0, 1, 31))), atol=1e-8)


def test_without_a_warm_up_it_begins_at_the_largest_step():
    assert step_sizes(epochs=4, warm_up_epochs=0.0, learning_rate=0.01)[0] == pytest.approx(0.01)


def test_a_warm_up_that_is_longer_than_the_training_is_cut_to_half_of_it():
    sizes = step_sizes(epochs=1, warm_up_epochs=5.0, learning_rate=0.01)

    assert np.argmax(sizes) == STEPS // 2
    assert sizes[-1] == pytest.approx(0, abs=1e-8)


def test_weights_decay_and_biases_and_batch_normalisation_do_not():
    backbone = small_backbone()
    trained = network(backbone, "all", weight_decay=0.5, warm_up_epochs=0.0, learning_rate=0.1)
    nothing = [np.zeros(variable.shape, np.float32) for variable in trained.trainable_variables]
    for variable in trained.trainable_variables:
        variable.assign(np.ones(variable.shape))

    trained.optimizer.apply(nothing, trained.trainable_variables)

    after = {variable.path: float(np.array(variable).flat[0]) for variable in trained.trainable_variables}
    kernels = {path for path in after if path.endswith("kernel")}
    assert {path: after[path] for path in kernels} == pytest.approx(dict.fromkeys(kernels, 0.95))
    assert {after[path] for path in after.keys() - kernels} == {1.0}
    assert kernels == {"block_0_conv/kernel", "block_1_conv/kernel", "classes/kernel"}
