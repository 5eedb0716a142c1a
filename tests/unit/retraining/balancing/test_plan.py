from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from include.retraining.balancing.plan import Plan
from include.retraining.errors import ArtifactIntegrityError

X = np.array([[0, 0], [4, 8], [2, 2]], np.float32)
IDS = np.array(["a", "b", "c"])


def plan(*rows: tuple[str, str, float]) -> Plan:
    return Plan(pd.DataFrame(rows, columns=["base", "neighbour", "step"]).assign(label="daisy"))


def test_a_synthetic_vector_lies_between_its_parents_where_the_step_says():
    made = plan(("a", "b", 0.25), ("b", "a", 0.25), ("c", "c", 0.9), ("c", "b", 0.0)).interpolate(X, IDS)
    assert np.array_equal(made, [[1, 2], [3, 6], [2, 2], [2, 2]])


def test_the_order_of_the_images_decides_nothing():
    made = plan(("a", "b", 0.25), ("c", "b", 0.5))
    order = [2, 0, 1]
    assert np.array_equal(made.interpolate(X[order], IDS[order]), made.interpolate(X, IDS))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_vectors_are_of_the_type_of_their_parents(dtype: type):
    assert plan(("a", "b", 0.1)).interpolate(X.astype(dtype), IDS).dtype == dtype


@pytest.mark.parametrize(("base", "neighbour"), [("test image", "a"), ("a", "test image")])
def test_a_parent_outside_of_the_train_split_is_refused(base: str, neighbour: str):
    with pytest.raises(ArtifactIntegrityError, match="expected parents from the train split alone, got 1 others"):
        plan(("a", "b", 0.5), (base, neighbour, 0.5)).interpolate(X, IDS)


def test_a_plan_without_rows_makes_no_vector():
    assert plan().interpolate(X, IDS).shape == (0, 2)
