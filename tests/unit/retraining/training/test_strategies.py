from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.class_weight import compute_class_weight

from include.retraining.balancing.plan import Plan
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.training.strategies import TrainRows, apply_strategy

LABELS = ("daisy", "poppy", "orchid")
X = np.arange(12, dtype=np.float32).reshape(6, 2)
Y = np.array([0, 2, 0, 1, 0, 2])
IDS = np.array(list("abcdef"), dtype=object)
PLAN = Plan(
    pd.DataFrame(
        [("b", "f", 0.5, "orchid"), ("d", "d", 0.0, "poppy"), ("d", "d", 0.0, "poppy")],
        columns=["base", "neighbour", "step", "label"],
    )
)


def rows_of(strategy: str, plan: Plan = PLAN) -> TrainRows:
    return apply_strategy(strategy, X, Y, IDS, plan=plan, labels=LABELS)


@pytest.mark.parametrize("strategy", ["none", "class_weights"])
def test_only_smote_adds_rows(strategy: str):
    rows = rows_of(strategy)
    assert np.array_equal(rows.X, X)
    assert np.array_equal(rows.y, Y)


@pytest.mark.parametrize("strategy", ["none", "smote"])
def test_only_class_weights_weigh(strategy: str):
    rows = rows_of(strategy)
    assert np.array_equal(rows.sample_weight, np.ones(len(rows.y), np.float32))


def test_smote_adds_the_plan_s_rows_after_the_images():
    rows = rows_of("smote")
    assert np.array_equal(rows.X[:6], X)
    assert np.array_equal(rows.X[6:], [[6, 7], [6, 7], [6, 7]])  # between b = (2, 3) and f = (10, 11); d itself, twice
    assert rows.y.tolist() == [*Y, 2, 1, 1]
    assert (rows.X.dtype, rows.y.dtype) == (np.float32, Y.dtype)


def test_class_weights_are_scikit_learn_s_balanced_ones_with_mean_one():
    rows = rows_of("class_weights")
    expected = compute_class_weight("balanced", classes=np.arange(3), y=Y)
    np.testing.assert_allclose(rows.sample_weight, expected[Y], rtol=1e-6)
    assert rows.sample_weight.mean() == pytest.approx(1)
    assert rows.sample_weight.dtype == np.float32


def test_class_weights_let_every_class_weigh_alike():
    weight = rows_of("class_weights").sample_weight
    assert [weight[class_id == Y].sum() for class_id in range(3)] == pytest.approx([2, 2, 2])


def test_a_plan_with_a_parent_that_is_no_train_image_is_refused():
    spoilt = Plan(PLAN.rows.assign(neighbour=["a test image", "d", "d"]))
    with pytest.raises(ArtifactIntegrityError, match="expected parents from the train split alone, got 1 others"):
        rows_of("smote", spoilt)


def test_what_is_trained_on_otherwise_is_not_changed():
    before = X.copy(), Y.copy()
    for strategy in ("none", "class_weights", "smote"):
        rows_of(strategy)
    assert np.array_equal(X, before[0])
    assert np.array_equal(Y, before[1])
