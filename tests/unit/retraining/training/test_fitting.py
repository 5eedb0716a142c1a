from __future__ import annotations

import dataclasses
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from include.retraining.balancing.pairs import Pairs
from include.retraining.config import HeadSettings, Strategy, TrainingConfig
from include.retraining.config.strategies import (
    BalancedSampling,
    ClassWeights,
    LogitAdjustedLoss,
    LogitAdjustment,
    NoBalancing,
    Smote,
)
from include.retraining.embedding.scaling import Scaler
from include.retraining.errors import TrainingDivergedError
from include.retraining.metrics import macro_recall
from include.retraining.training import fitting, network
from include.retraining.training.fitting import Fit, fit_head
from include.retraining.training.strategies import TrainRows, apply_strategy
from tests.unit.retraining.training.test_batches import materialised

REPOSITORY = Path(__file__).parents[4]
N_FEATURES, N_CLASSES = 6, 3
IDENTITY = Scaler(np.zeros(N_FEATURES, np.float32), np.ones(N_FEATURES, np.float32))
LINEAR = HeadSettings(hidden_units=(), weight_decay=0.01, dropout=0.0, learning_rate=0.05)
MLP = HeadSettings(hidden_units=(8, 5), weight_decay=0.01, dropout=0.2, learning_rate=0.05)


def blobs(sizes: tuple[int, ...] = (40, 12, 6), *, apart: float = 4.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of classes of these sizes, around three corners."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(N_CLASSES), sizes)
    return (np.eye(N_CLASSES, N_FEATURES)[y] * apart + rng.normal(size=(len(y), N_FEATURES))).astype(np.float32), y


def recipe(**changes: Any) -> TrainingConfig:
    heads = {"linear": {"weight_decay": 0.01}}
    return TrainingConfig.model_validate({"heads": heads, "epochs": 4, "batch_size": 16, **changes})


def plain(X: np.ndarray, y: np.ndarray) -> TrainRows:
    return apply_strategy(NoBalancing(), X, y, pairs=None, n_classes=N_CLASSES)


def fitted(
    head: HeadSettings = LINEAR,
    rows: TrainRows | None = None,
    training: TrainingConfig | None = None,
    *,
    validates: bool = True,
) -> Fit:
    return fit_head(
        "smote · linear",
        plain(*blobs()) if rows is None else rows,
        blobs((10, 10, 10), seed=1) if validates else None,
        scaler=IDENTITY,
        head=head,
        training=training or recipe(),
    )


def balanced_by(strategy: Strategy, X: np.ndarray, y: np.ndarray) -> TrainRows:
    """Rows under a strategy; resampled ones lie between random rows of a class, up to the size of the largest."""
    if not isinstance(strategy, Smote):
        return apply_strategy(strategy, X, y, pairs=None, n_classes=N_CLASSES)
    rng = np.random.default_rng(0)
    counts = np.bincount(y)
    parents = [rng.choice(np.flatnonzero(y == c), size=(counts.max() - counts[c], 2)) for c in range(N_CLASSES)]
    base, neighbour = np.concatenate(parents).astype(np.int32).T
    pairs = Pairs(base, neighbour, rng.random(len(base)))
    return apply_strategy(strategy, X, y, pairs=pairs, n_classes=N_CLASSES)


def test_classes_that_lie_apart_are_learned_and_the_loss_falls():
    fit = fitted(training=recipe(epochs=12))
    assert fit.validation_macro_recall[fit.best_epoch - 1] > 0.9
    assert fit.loss[-1] < fit.loss[0] / 2
    assert (len(fit.loss), len(fit.validation_macro_recall)) == (12, 12)


@pytest.mark.parametrize(
    ("head", "shapes"), [(LINEAR, [(6, 3)]), (MLP, [(6, 8), (8, 5), (5, 3)])], ids=["linear", "mlp"]
)
def test_a_head_has_the_layers_of_the_recipe_and_nothing_of_the_dropout(head: HeadSettings, shapes: list):
    fit = fitted(head)
    assert [layer.kernel.shape for layer in fit.head.layers] == shapes
    assert [layer.bias.shape for layer in fit.head.layers] == [shape[1:] for shape in shapes]
    assert fit.head.scaler is IDENTITY


def test_the_kept_weights_are_those_of_the_earliest_of_the_best_epochs():
    X_validation, y_validation = blobs((10, 10, 10), seed=1)
    fit = fitted(HeadSettings((), 0.01, 0.0, 0.3), training=recipe(epochs=6))
    scores = fit.validation_macro_recall
    assert fit.best_epoch == scores.index(max(scores)) + 1
    y_pred = fit.head.predict_proba(X_validation).argmax(axis=1)
    assert macro_recall(y_validation, y_pred, N_CLASSES) == pytest.approx(max(scores))


def test_what_comes_after_the_best_epoch_changes_nothing_of_the_kept_weights(monkeypatch: pytest.MonkeyPatch):
    def fitted_with(*scores: float) -> Fit:
        coming = iter(scores)
        monkeypatch.setattr("include.retraining.training.fitting.macro_recall", lambda *_: next(coming))
        return fitted()

    second, same, first = fitted_with(0.5, 0.9, 0.9, 0), fitted_with(0, 0.9, 0.8, 0.7), fitted_with(0.9, 0.5, 0, 0)
    assert [fit.best_epoch for fit in (second, same, first)] == [2, 2, 1]
    assert second.head.to_npz() == same.head.to_npz() != first.head.to_npz()


def test_another_seed_gives_other_weights_and_the_same_one_the_same():
    first, again, other = fitted(MLP), fitted(MLP), fitted(MLP, training=recipe(seed=1))
    assert first.head.to_npz() == again.head.to_npz() != other.head.to_npz()
    assert first.loss == again.loss


def test_a_fresh_process_fits_the_same_weights(tmp_path: Path):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from tests.unit.retraining.training.test_fitting import MLP, fitted\n"
        "Path(sys.argv[1]).write_bytes(fitted(MLP).head.to_npz())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "head.npz")]
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    assert (tmp_path / "head.npz").read_bytes() == fitted(MLP).head.to_npz()


def test_weights_of_classes_count():
    rows = plain(*blobs())
    heavy = dataclasses.replace(rows, class_weight=np.array([0.1, 0.1, 50], np.float32))

    even, weighted = (fitted(rows=it, validates=False) for it in (rows, heavy))

    X, _ = blobs((10, 10, 10), seed=1)
    assert weighted.head.predict_proba(X)[:, 2].mean() > even.head.predict_proba(X)[:, 2].mean() + 0.05


def test_dropout_takes_part_in_the_training():
    without, with_it = (HeadSettings((8,), 0.0, share, 0.05) for share in (0, 0.5))
    assert fitted(without).head.to_npz() != fitted(with_it).head.to_npz()


def test_weight_decay_shrinks_kernels_and_leaves_biases():
    X, y = blobs()
    silent = plain(np.zeros_like(X), y)  # kernels have no gradient: decay alone changes them

    fits = [fitted(HeadSettings((), decay, 0.0, 0.05), silent, validates=False) for decay in (0.0, 10.0)]
    free, decayed = (fit.head.layers[0] for fit in fits)

    assert np.linalg.norm(decayed.kernel) < 0.1 * np.linalg.norm(free.kernel)
    assert np.array_equal(decayed.bias, free.bias)
    assert np.linalg.norm(free.bias) > 0.1


def test_an_absurd_learning_rate_is_a_divergence_that_names_candidate_epoch_and_seed():
    with pytest.raises(TrainingDivergedError) as caught:
        fitted(HeadSettings((), 0.01, 0.0, 1e38), training=recipe(seed=3))

    assert (caught.value.candidate, caught.value.seed) == ("smote · linear", 3)
    assert 1 <= caught.value.epoch <= 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_a_divergence_at_the_first_epoch_and_ends_the_training(bad: float):
    X, y = blobs()
    X[5, 2] = bad

    with pytest.raises(TrainingDivergedError) as caught:
        fitted(rows=plain(X, y), training=recipe(epochs=1000))

    assert caught.value.epoch == 1


@pytest.mark.parametrize("validates", [True, False])
def test_weights_that_broke_in_an_epoch_s_last_step_are_a_divergence_though_its_loss_was_taken_before(validates: bool):
    with pytest.raises(TrainingDivergedError) as caught:
        fitted(HeadSettings((), 1e38, 0.0, 0.05), training=recipe(epochs=1, batch_size=29), validates=validates)

    assert caught.value.epoch == 1


def test_without_validation_the_last_weights_are_kept_and_nothing_is_scored():
    last, whole = fitted(validates=False), fitted(training=recipe(epochs=4))

    assert (last.best_epoch, last.validation_macro_recall) == (4, ())
    assert last.loss == whole.loss
    never_chosen = fitted(training=recipe(epochs=4, patience=1), validates=False)
    assert never_chosen.head.to_npz() == last.head.to_npz()


def test_patience_ends_the_training_so_many_epochs_after_the_best(monkeypatch: pytest.MonkeyPatch):
    coming = iter([0.5, 0.7, 0.6, 0.7, 0.9])
    monkeypatch.setattr(fitting, "macro_recall", lambda *_: next(coming))

    fit = fitted(training=recipe(epochs=10, patience=2))

    assert fit.validation_macro_recall == (0.5, 0.7, 0.6, 0.7)
    assert (fit.best_epoch, len(fit.loss)) == (2, 4)


@pytest.mark.parametrize("head", [LINEAR, MLP], ids=["linear", "mlp"])
def test_a_plan_gives_the_weights_that_its_written_out_vectors_give(head: HeadSettings):
    rows = balanced_by(Smote(), *blobs())

    from_plan, from_vectors = fitted(head, rows), fitted(head, materialised(rows))

    assert from_plan.head.to_npz() == from_vectors.head.to_npz() != fitted(head).head.to_npz()
    assert from_plan.loss == from_vectors.loss


@pytest.mark.parametrize(
    "strategy",
    [
        ClassWeights(),
        ClassWeights(weighting="effective_number"),
        LogitAdjustedLoss(),
        LogitAdjustment(),
        BalancedSampling(),
        Smote(),
    ],
    ids=repr,
)
def test_the_rarest_class_gains_recall_under_every_way_of_balancing(strategy: Strategy):
    X, y = blobs((400, 60, 12), apart=1.2)
    X_validation, y_validation = blobs((200, 200, 200), apart=1.2, seed=1)
    training = recipe(epochs=8)

    without, balanced = (fitted(rows=balanced_by(it, X, y), training=training) for it in (NoBalancing(), strategy))

    recalls = [(fit.head.predict(X_validation)[y_validation == 2] == 2).mean() for fit in (without, balanced)]
    assert recalls[1] > recalls[0] + 0.1


def test_a_score_offset_is_part_of_the_last_bias_and_of_every_epoch_s_score():
    rows = plain(*blobs())
    shifted = dataclasses.replace(rows, score_offset=np.array([-100, -100, 0], np.float32))

    before, after = fitted(rows=rows), fitted(rows=shifted)

    assert after.validation_macro_recall == (1 / 3,) * 4
    assert (after.best_epoch, after.loss) == (1, before.loss)
    assert after.head.predict(blobs()[0]).tolist() == [2] * 58


def test_a_loss_offset_counts_in_training_and_is_not_part_of_the_head():
    rows = plain(*blobs())
    same_for_all = dataclasses.replace(rows, loss_offset=np.full(3, 5, np.float32))
    against = dataclasses.replace(rows, loss_offset=np.array([10, 0, 0], np.float32))

    base, same, other = (fitted(rows=it) for it in (rows, same_for_all, against))

    np.testing.assert_allclose(same.head.layers[0].kernel, base.head.layers[0].kernel, atol=1e-4)
    X = blobs()[0]
    assert other.head.logits(X)[:, 0].mean() < base.head.logits(X)[:, 0].mean() - 0.5


@pytest.mark.parametrize(
    "head", [dataclasses.replace(it, dropout=0.0, weight_decay=2.0) for it in (LINEAR, MLP)], ids=["linear", "mlp"]
)
def test_steps_are_those_of_keras_s_fit_with_its_cosine(head: HeadSettings, monkeypatch: pytest.MonkeyPatch):
    X, y = blobs()
    rows = dataclasses.replace(plain(X, y), class_weight=np.array([0.5, 1.5, 4], np.float32))
    ours = network.Network(
        N_FEATURES, N_CLASSES, hidden_units=head.hidden_units, dropout=0.0, weight_decay=head.weight_decay
    )
    monkeypatch.setattr(fitting, "network_for", lambda *_, **__: ours)
    ours.reset(0)
    theirs = keras.models.clone_model(ours.model)
    theirs.set_weights(ours.model.get_weights())
    schedule = keras.optimizers.schedules.CosineDecay(head.learning_rate, 3)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=head.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    theirs.compile(optimizer=optimizer, loss=loss, jit_compile=False)

    fit = fitted(head, rows, recipe(epochs=3, batch_size=64), validates=False)
    history = theirs.fit(X, y, sample_weight=rows.class_weight[y], batch_size=64, epochs=3, shuffle=False, verbose=0)

    np.testing.assert_allclose(fit.loss, history.history["loss"], rtol=1e-5)
    weights = theirs.get_weights()
    for layer, kernel, bias in zip(fit.head.layers, weights[::2], weights[1::2], strict=True):
        np.testing.assert_allclose(layer.kernel, kernel, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(layer.bias, bias, rtol=1e-4, atol=1e-6)


def test_the_step_size_follows_keras_s_cosine():
    schedule = keras.optimizers.schedules.CosineDecay(0.3, 50)

    np.testing.assert_allclose(fitting._cosine(0.3, 50), [float(schedule(step)) for step in range(50)], rtol=1e-5)


def test_a_network_is_compiled_once_for_all_folds_and_what_was_trained_before_leaves_no_trace():
    network.network_for.cache_clear()
    first = fitted(MLP)
    fitted(MLP, plain(*blobs((50, 7, 9), seed=3)), recipe(batch_size=9, seed=4))
    keras.utils.clear_session()

    again = fitted(MLP)

    assert again.head.to_npz() == first.head.to_npz()
    assert network.network_for.cache_info().misses == 1
    compiled = network.network_for(
        N_FEATURES, N_CLASSES, hidden_units=MLP.hidden_units, dropout=MLP.dropout, weight_decay=MLP.weight_decay
    )
    assert compiled._step.experimental_get_tracing_count() == 1


def test_the_loss_of_an_epoch_is_the_mean_over_its_rows_and_not_over_its_batches():
    still = HeadSettings((), 0.0, 0.0, 1e-12)
    X, y = blobs()

    fit = fitted(still, training=recipe(epochs=1, batch_size=57), validates=False)

    expected = -np.log(fit.head.predict_proba(X)[np.arange(len(y)), y]).mean()
    assert fit.loss[0] == pytest.approx(expected, rel=1e-4)
    assert math.isfinite(expected)
