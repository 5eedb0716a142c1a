from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from include.retraining.config import HeadConfig, TrainingConfig
from include.retraining.embedding.scaling import Scaler
from include.retraining.errors import TrainingDivergedError
from include.retraining.metrics import macro_recall
from include.retraining.training.fitting import Fit, fit_head
from include.retraining.training.strategies import TrainRows

REPOSITORY = Path(__file__).parents[4]
N_FEATURES, N_CLASSES = 6, 3
IDENTITY = Scaler(np.zeros(N_FEATURES, np.float32), np.ones(N_FEATURES, np.float32))
LINEAR = HeadConfig(weight_decay=0.01)
MLP = HeadConfig(hidden_units=(8, 5), weight_decay=0.01, dropout=0.2)


def blobs(sizes: tuple[int, ...] = (40, 12, 6), spread: float = 1.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of classes of these sizes, around three corners."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(N_CLASSES), sizes)
    return (np.eye(N_CLASSES, N_FEATURES)[y] * 4 + rng.normal(size=(len(y), N_FEATURES)) * spread).astype(np.float32), y


def recipe(**changes: Any) -> TrainingConfig:
    defaults = {"heads": {"linear": LINEAR}, "epochs": 4, "batch_size": 16, "learning_rate": 0.05}
    return TrainingConfig.model_validate({**defaults, **changes})


def fitted(
    head: HeadConfig = LINEAR,
    X: np.ndarray | None = None,
    weight: np.ndarray | None = None,
    training: TrainingConfig | None = None,
) -> Fit:
    X_train, y_train = blobs()
    X_train = X_train if X is None else X
    weight = np.ones(len(y_train), np.float32) if weight is None else weight
    X_validation, y_validation = blobs((10, 10, 10), seed=1)
    return fit_head(
        "smote · linear",
        TrainRows(X_train, y_train, weight),
        X_validation,
        y_validation,
        scaler=IDENTITY,
        head=head,
        training=training or recipe(),
    )


def test_classes_that_lie_apart_are_learned_and_the_loss_falls():
    fit = fitted(training=recipe(epochs=12))
    assert fit.validation_macro_recall[fit.best_epoch - 1] > 0.9
    assert fit.loss[-1] < fit.loss[0] / 2
    assert (len(fit.loss), len(fit.validation_macro_recall)) == (12, 12)


@pytest.mark.parametrize(
    ("head", "shapes"), [(LINEAR, [(6, 3)]), (MLP, [(6, 8), (8, 5), (5, 3)])], ids=["linear", "mlp"]
)
def test_a_head_has_the_layers_of_the_recipe_and_nothing_of_the_dropout(head: HeadConfig, shapes: list):
    fit = fitted(head)
    assert [layer.kernel.shape for layer in fit.head.layers] == shapes
    assert [layer.bias.shape for layer in fit.head.layers] == [shape[1:] for shape in shapes]
    assert fit.head.scaler is IDENTITY


def test_the_kept_weights_are_those_of_the_earliest_of_the_best_epochs():
    X_validation, y_validation = blobs((10, 10, 10), seed=1)
    fit = fitted(training=recipe(epochs=6, learning_rate=0.3))
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


def test_weights_of_rows_count():
    heavy = np.where(blobs()[1] == 2, 50, 0.1).astype(np.float32)
    plain, weighted = fitted(training=recipe(epochs=1)), fitted(weight=heavy, training=recipe(epochs=1))
    X, _ = blobs((10, 10, 10), seed=1)
    assert weighted.head.predict_proba(X)[:, 2].mean() > plain.head.predict_proba(X)[:, 2].mean() + 0.05


def test_dropout_takes_part_in_the_training():
    without, with_it = (HeadConfig(hidden_units=(8,), weight_decay=0, dropout=share) for share in (0, 0.5))
    assert fitted(without).head.to_npz() != fitted(with_it).head.to_npz()


def test_weight_decay_shrinks_kernels_and_leaves_biases():
    free, decayed = (fitted(HeadConfig(weight_decay=decay)).head.layers[0] for decay in (0, 10))
    assert np.linalg.norm(decayed.kernel) < 0.5 * np.linalg.norm(free.kernel)
    assert np.linalg.norm(decayed.bias) > 0.5 * np.linalg.norm(free.bias)


def test_an_absurd_learning_rate_is_a_divergence_that_names_candidate_epoch_and_seed():
    absurd = recipe(seed=3).model_copy(update={"learning_rate": 1e38})
    with pytest.raises(TrainingDivergedError) as caught:
        fitted(training=absurd)
    assert (caught.value.candidate, caught.value.seed) == ("smote · linear", 3)
    assert 1 <= caught.value.epoch <= 4


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_vector_that_is_not_finite_is_a_divergence_at_the_first_epoch_and_ends_the_training(bad: float):
    X, _ = blobs()
    X[5, 2] = bad
    with pytest.raises(TrainingDivergedError) as caught:
        fitted(X=X, training=recipe(epochs=1000))
    assert caught.value.epoch == 1


def test_weights_that_broke_in_an_epoch_s_last_step_are_a_divergence_though_its_loss_was_taken_before():
    with pytest.raises(TrainingDivergedError) as caught:
        fitted(HeadConfig(weight_decay=1e38), training=recipe(epochs=1, batch_size=29))
    assert caught.value.epoch == 1
