from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from include.retraining.config import CalibrationConfig
from include.retraining.embedding.scaling import Scaler
from include.retraining.metrics import macro_recall
from include.retraining.training.calibration import calibrate, fit_temperature, fit_thresholds
from include.retraining.training.head import Head, Layer, decide


def drawn(n_rows: int = 4000, n_classes: int = 4, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and class ids drawn from their very probabilities: these logits are calibrated."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(n_rows, n_classes))
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    y = (rng.random((n_rows, 1)) > cumulative).sum(axis=1)
    return logits.astype(np.float32), np.minimum(y, n_classes - 1)


def log_loss(logits: np.ndarray, y: np.ndarray, temperature: float) -> float:
    return float(-log_softmax(logits.astype(np.float64) / temperature, axis=1)[np.arange(len(y)), y].mean())


@pytest.mark.parametrize("factor", [0.2, 1.0, 3.0, 12.0])
def test_the_temperature_undoes_a_factor_of_the_logits(factor: float):
    logits, y = drawn()

    temperature = fit_temperature(logits * np.float32(factor), y, assumes_uniform=False)

    assert temperature == pytest.approx(factor, rel=0.1)


def test_no_temperature_of_a_grid_is_better():
    logits, y = drawn(300)
    logits *= np.float32(1.7)

    temperature = fit_temperature(logits, y, assumes_uniform=False)

    best = min(log_loss(logits, y, other) for other in np.geomspace(0.05, 20, 400))
    assert log_loss(logits, y, temperature) <= best + 1e-9
    assert log_loss(logits, y, temperature) < log_loss(logits, y, 1.0)


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_loss_is_never_above_that_of_temperature_one(seed: int, uniform: bool):
    logits, y = drawn(12, seed=seed)

    temperature = fit_temperature(logits, y, assumes_uniform=uniform)

    rows = np.concatenate([np.resize(np.flatnonzero(y == one), 60) for one in np.unique(y)]) if uniform else slice(None)
    assert 0.05 <= temperature <= 20
    assert log_loss(logits[rows], y[rows], temperature) <= log_loss(logits[rows], y[rows], 1.0) + 1e-12


def test_a_head_that_is_always_right_or_always_wrong_ends_at_the_bounds():
    y = np.arange(6) % 3
    right = np.eye(3, dtype=np.float32)[y]

    assert fit_temperature(right, y, assumes_uniform=True) == pytest.approx(0.05, rel=1e-3)
    assert fit_temperature(-1000 * right, y, assumes_uniform=True) == pytest.approx(20, rel=1e-3)


def test_logits_that_say_nothing_keep_the_temperature_at_one():
    assert fit_temperature(np.zeros((6, 3), np.float32), np.arange(6) % 3, assumes_uniform=False) == 1.0


def test_where_a_uniform_prior_is_assumed_repeating_the_rows_of_a_class_changes_nothing():
    logits, y = drawn(600)
    logits[y == 2] *= 4
    again = np.concatenate([np.arange(len(y)), np.repeat(np.flatnonzero(y == 2), 9)])

    uniform = [fit_temperature(logits[rows], y[rows], assumes_uniform=True) for rows in (slice(None), again)]
    plain = [fit_temperature(logits[rows], y[rows], assumes_uniform=False) for rows in (slice(None), again)]

    assert uniform[0] == pytest.approx(uniform[1], rel=1e-3)
    assert abs(plain[0] - plain[1]) > 0.05


def biased(seed: int = 0, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of a head that knows the classes and believes too much in the first ones."""
    rng = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), 60)
    logits = np.eye(n_classes)[y] * 2 + rng.normal(size=(len(y), n_classes)) - np.arange(n_classes) * 1.5
    return softmax(logits, axis=1).astype(np.float32), y


def test_thresholds_raise_the_macro_recall_of_a_head_that_favours_some_classes():
    y_score, y = biased()

    thresholds = fit_thresholds(y_score, y)

    before = macro_recall(y, y_score.argmax(axis=1), 3)
    assert macro_recall(y, decide(y_score, thresholds), 3) > before + 0.1
    assert thresholds[0] > thresholds[2] > 0
    assert thresholds.tolist() == fit_thresholds(y_score, y).tolist()


@pytest.mark.parametrize("seed", range(20))
def test_thresholds_are_never_worse_than_the_most_probable_class(seed: int):
    rng = np.random.default_rng(seed)
    n_classes = int(rng.integers(2, 7))
    y = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, 20)])
    y_score = rng.dirichlet(np.full(n_classes, 0.1), size=len(y)).astype(np.float32)  # many are exactly 0 or 1

    thresholds = fit_thresholds(y_score, y)

    assert (thresholds > 0).all()
    assert np.isfinite(thresholds).all()
    found = macro_recall(y, decide(y_score, thresholds), n_classes)
    assert found >= macro_recall(y, y_score.argmax(axis=1), n_classes)


def test_two_classes_get_the_best_threshold_that_there_is():
    y_score, y = biased(n_classes=2)

    found = macro_recall(y, decide(y_score, fit_thresholds(y_score, y)), 2)

    grid = [np.array(pair) for pair in itertools.product(np.geomspace(0.01, 1, 200), [0.5])]
    assert found >= max(macro_recall(y, decide(y_score, thresholds), 2) for thresholds in grid) - 0.01


@pytest.mark.parametrize("seed", range(3))
def test_no_other_threshold_of_a_single_class_is_noticeably_better(seed: int):
    y_score, y = biased(seed, n_classes=4)

    thresholds = fit_thresholds(y_score, y)

    found = macro_recall(y, decide(y_score, thresholds), 4)
    for class_id, factor in itertools.product(range(4), np.geomspace(0.01, 100, 120)):
        changed = thresholds.copy()
        changed[class_id] *= factor
        assert macro_recall(y, decide(y_score, changed), 4) <= found + 0.01


def test_thresholds_that_gain_nothing_stay_equal():
    y = np.arange(9) % 3
    certain = np.eye(3, dtype=np.float32)[y] * 0.7 + 0.1
    same = np.full((9, 3), 1 / 3, np.float32)

    for y_score in (certain, same):
        assert fit_thresholds(y_score, y).tolist() == [1 / 3] * 3


@pytest.mark.parametrize("temperature", [True, False])
@pytest.mark.parametrize("thresholds", [True, False])
def test_a_head_gets_what_the_recipe_asks_for_fitted_on_its_standard_scores(temperature: bool, thresholds: bool):
    logits, y = drawn(200)
    scaler = Scaler(np.full(4, 3, np.float32), np.full(4, 2, np.float32))
    head = Head(scaler, (Layer(4 * np.eye(4, dtype=np.float32), np.zeros(4, np.float32)),))
    X = logits * scaler.deviation + scaler.mean
    config = CalibrationConfig(temperature=temperature, thresholds=thresholds)

    calibrated = calibrate(head, X, y, assumes_uniform=False, config=config)

    assert calibrated.temperature == pytest.approx(4, rel=0.3) if temperature else calibrated.temperature == 1
    assert (calibrated.thresholds is not None) == thresholds
    assert calibrated.layers is head.layers
    if thresholds:
        expected = fit_thresholds(calibrated.predict_proba(X), y)
        assert calibrated.thresholds is not None
        assert np.array_equal(calibrated.thresholds, expected)
