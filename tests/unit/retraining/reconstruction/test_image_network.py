from __future__ import annotations

import keras
import numpy as np
import pytest

from include.retraining.config.training import ImagesConfig
from include.retraining.errors import TrainingDivergedError
from include.retraining.reconstruction import image_network
from include.retraining.reconstruction.image_network import ImageFit, build_image_network, fit_image_network, predict
from include.retraining.reconstruction.picture_flow import PictureFlow, PictureRows

SIDE = 32
COLOURS = np.array([[220, 40, 40], [40, 220, 40], [40, 40, 220]])


def coloured(n_rows: int, seed: int) -> PictureRows:
    """Noise around a colour for each of three classes."""
    rng = np.random.default_rng(seed)
    class_ids = np.arange(n_rows) % 3
    noise = rng.normal(0, 40, (n_rows, SIDE, SIDE, 3))
    pictures = np.clip(COLOURS[class_ids][:, None, None] + noise, 0, 255).astype(np.uint8)
    return PictureRows(pictures, np.arange(n_rows, dtype=np.int32), class_ids)


def fit(rows: PictureRows, validation: PictureRows, *, epochs: int = 4, learning_rate: float = 0.01) -> ImageFit:
    config = ImagesConfig(epochs=epochs, learning_rate=learning_rate, batch_size=8)
    flow = PictureFlow(rows, {"horizontal_flip": True}, batch_size=config.batch_size, seed=3)
    return fit_image_network(flow, validation, config, n_classes=3, seed=3)


def test_it_learns_to_tell_colours_apart_and_tells_how():
    found = fit(coloured(24, 0), coloured(12, 1), epochs=6)

    assert found.loss[-1] < 0.7 * found.loss[0]
    assert len(found.loss) == len(found.validation_macro_recall) == 6
    assert max(found.validation_macro_recall) == 1.0
    assert found.best_epoch == found.validation_macro_recall.index(1.0) + 1


def test_the_weights_are_those_of_the_best_epoch_and_not_of_the_last(monkeypatch: pytest.MonkeyPatch):
    after: list[list[np.ndarray]] = []
    scores = iter([0.4, 0.7, 0.7, 0.5])

    def scored(network: keras.Model, rows: PictureRows) -> np.ndarray:
        after.append(network.get_weights())
        return np.full((len(rows), 3), 1 / 3)

    monkeypatch.setattr(image_network, "predict", scored)
    monkeypatch.setattr(image_network, "macro_recall", lambda *_: next(scores))

    found = fit(coloured(12, 0), coloured(6, 1))

    assert found.best_epoch == 2
    for kept, second, last in zip(found.network.get_weights(), after[1], after[3], strict=True):
        np.testing.assert_array_equal(kept, second)
        assert not np.array_equal(kept, last)


def test_equal_arguments_give_equal_weights():
    first = fit(coloured(12, 0), coloured(6, 1), epochs=2)

    second = fit(coloured(12, 0), coloured(6, 1), epochs=2)

    assert first.loss == second.loss
    for one, other in zip(first.network.get_weights(), second.network.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loss_is_the_mean_over_all_rows_of_the_epoch(monkeypatch: pytest.MonkeyPatch):
    batches = [(np.zeros((2, SIDE, SIDE, 3), np.float32), np.zeros(2)), (np.zeros((1, SIDE, SIDE, 3), np.float32), [0])]
    network = build_image_network(SIDE, 3, learning_rate=0.01, steps=2)
    losses = iter([1.0, 4.0])
    monkeypatch.setattr(network, "train_on_batch", lambda *_, **__: {"loss": next(losses)})

    loss = image_network._train_epoch(network, iter(batches))

    assert loss == 2.0


def test_each_batch_counts_its_own_loss():
    network = build_image_network(SIDE, 3, learning_rate=1e-12, steps=99)
    rows = coloured(8, 0)
    easy = (rows.pictures / 255, rows.class_ids)
    hard = (rows.pictures / 255, predict(network, rows).argmin(axis=1))

    alone = [image_network._train_epoch(network, iter([batch])) for batch in (easy, hard)]
    together = image_network._train_epoch(network, iter([easy, hard]))

    assert together == pytest.approx(np.mean(alone), rel=0.2)


def test_a_loss_that_is_not_finite_names_the_epoch_the_seed_and_the_key_to_change(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(image_network, "_train_epoch", lambda *_: float("nan"))

    with pytest.raises(TrainingDivergedError, match=r"epoch 1 \(seed 3\).*training\.images\.learning_rate"):
        fit(coloured(12, 0), coloured(6, 1))


def test_weights_that_broke_in_the_last_step_of_an_epoch_are_noticed_though_its_loss_is_finite(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(image_network, "_train_epoch", lambda *_: 0.5)
    monkeypatch.setattr(image_network, "predict", lambda _, rows: np.full((len(rows), 3), np.nan))

    with pytest.raises(TrainingDivergedError, match="epoch 1"):
        fit(coloured(12, 0), coloured(6, 1))


def test_probabilities_do_not_depend_on_how_many_rows_are_scored_at_once(monkeypatch: pytest.MonkeyPatch):
    network, rows = build_image_network(SIDE, 3, learning_rate=0.01, steps=1), coloured(5, 0)
    at_once = predict(network, rows)

    monkeypatch.setattr(image_network, "_SCORED_AT_ONCE", 2)
    in_blocks = predict(network, rows)

    assert at_once.shape == (5, 3)
    np.testing.assert_allclose(at_once.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(in_blocks, at_once, atol=1e-6)


def test_training_and_scoring_show_the_network_the_same_pixels():
    rows = coloured(4, 0)
    network = keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.GlobalAveragePooling2D()])
    flow = PictureFlow(rows, {}, batch_size=4, seed=0)

    [(flowed, class_ids)] = flow.batches(1)

    scored = predict(network, PictureRows(rows.pictures, rows.shown, rows.class_ids))
    assert len(class_ids) == 4
    np.testing.assert_allclose(np.sort(network.predict_on_batch(flowed), axis=0), np.sort(scored, axis=0), atol=1e-5)


@pytest.mark.parametrize(("side", "n_blocks"), [(32, 3), (64, 4)])
def test_the_last_map_is_of_four_pixels_whatever_the_side(side: int, n_blocks: int):
    network = build_image_network(side, 3, learning_rate=0.01, steps=1)

    convolutions = [layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)]
    [pooled] = [layer for layer in network.layers if isinstance(layer, keras.layers.GlobalAveragePooling2D)]

    assert len(convolutions) == n_blocks
    assert pooled.input.shape[1:3] == (4, 4)
