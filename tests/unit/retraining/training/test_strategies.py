from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from include.retraining.balancing.pairs import Pairs
from include.retraining.config.strategies import (
    BalancedSampling,
    ClassWeights,
    LogitAdjustedLoss,
    LogitAdjustment,
    NoBalancing,
    ResamplingStrategy,
    Smote,
    Strategy,
)
from include.retraining.training.strategies import TrainRows, apply_strategy, assumes_uniform

ALL = get_args(get_args(Strategy)[0])
PLAIN = [kind for kind in ALL if not issubclass(kind, ResamplingStrategy)]
X = np.arange(12, dtype=np.float32).reshape(6, 2)
Y = np.array([0, 2, 0, 1, 0, 2])
PAIRS = Pairs(
    base=np.array([1, 3, 3], np.int32),
    neighbour=np.array([5, 3, 3], np.int32),
    step=np.array([0.5, 0, 0]),
    dropped=np.array([0], np.int32),
)


def rows_of(strategy: Strategy, y: np.ndarray = Y, n_classes: int = 3) -> TrainRows:
    pairs = PAIRS if isinstance(strategy, ResamplingStrategy) else None
    return apply_strategy(strategy, X, y, pairs=pairs, n_classes=n_classes)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.model_fields["strategy"].default)
def test_every_strategy_leaves_real_rows_as_they_are_and_weighs_rows_with_mean_one(kind: type):
    before = X.copy(), Y.copy()

    rows = rows_of(kind())

    assert np.array_equal(rows.X, before[0])
    assert np.array_equal(rows.y, before[1])
    assert rows.n_classes == 3
    assert rows.class_weight.dtype == np.float32
    assert rows.class_weight[Y].mean() == pytest.approx(1)
    for offset in (rows.loss_offset, rows.score_offset):
        assert offset is None or (offset.shape == (3,) and offset.dtype == np.float32 and np.isfinite(offset).all())
    assert rows.n_rows == (6 - 1 + 3 if issubclass(kind, ResamplingStrategy) else 6)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.model_fields["strategy"].default)
def test_every_strategy_but_none_changes_exactly_one_thing_and_assumes_a_uniform_prior(kind: type):
    rows = rows_of(kind())

    changed = [
        rows.pairs is not None,
        not (rows.class_weight == 1).all(),
        rows.loss_offset is not None,
        rows.score_offset is not None,
        rows.draws_alike,
    ]
    assert sum(changed) == int(kind is not NoBalancing) == int(assumes_uniform(kind()))


def test_the_contract_is_over_more_than_the_few_that_have_settings_of_their_own():
    assert len(ALL) == 13
    assert rows_of(BalancedSampling()).draws_alike


def test_inverse_class_weights_are_scikit_learn_s_balanced_ones():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=Y)

    np.testing.assert_allclose(rows_of(ClassWeights()).class_weight, expected, rtol=1e-6)


@pytest.mark.parametrize(("beta", "expected"), [(0.0, [1, 1, 1]), (0.5, [1 / 1.75, 1, 1 / 1.5]), (0.999999, None)])
def test_effective_numbers_go_from_equal_weights_to_inverse_ones(beta: float, expected: list[float] | None):
    weight = rows_of(ClassWeights(weighting="effective_number", beta=beta)).class_weight

    inverse = rows_of(ClassWeights()).class_weight
    wanted = inverse if expected is None else np.array(expected)
    np.testing.assert_allclose(weight / weight[1], wanted / wanted[1], rtol=1e-4)


def test_the_two_logit_adjustments_are_one_another_s_opposite_by_shares_of_the_classes():
    logs = np.log([3 / 6, 1 / 6, 2 / 6])

    np.testing.assert_allclose(rows_of(LogitAdjustedLoss(tau=2)).loss_offset, 2 * logs, rtol=1e-6)
    np.testing.assert_allclose(rows_of(LogitAdjustment(tau=0.5)).score_offset, -0.5 * logs, rtol=1e-6)


@pytest.mark.parametrize("kind", PLAIN, ids=lambda kind: kind.model_fields["strategy"].default)
def test_a_class_without_rows_leaves_all_numbers_finite(kind: type):
    rows = rows_of(kind(), n_classes=4)

    for values in (rows.class_weight, rows.loss_offset, rows.score_offset):
        assert values is None or np.isfinite(values).all()
    assert rows.class_weight[Y].mean() == pytest.approx(1)


@pytest.mark.parametrize(
    ("strategy", "pairs", "message"),
    [
        (Smote(), None, "Expected the pairs of its plan for the strategy smote; got none"),
        (NoBalancing(), PAIRS, "Expected no pairs for the strategy none; got some"),
    ],
)
def test_pairs_belong_to_the_strategies_that_resample(strategy: Strategy, pairs: Pairs | None, message: str):
    with pytest.raises(ValueError, match=message):
        apply_strategy(strategy, X, Y, pairs=pairs, n_classes=3)
