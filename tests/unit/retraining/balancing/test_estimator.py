from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE
from imblearn.pipeline import make_pipeline
from imblearn.utils.estimator_checks import parametrize_with_checks
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from include.retraining.balancing.estimator import PlannedSMOTE


def imbalanced(n_classes: int = 3, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    weights = [0.1, 0.3, 0.6] if n_classes == 3 else [0.2, 0.8]
    return make_classification(200, n_classes=n_classes, n_informative=4, weights=weights, random_state=seed)


CHECKS = parametrize_with_checks(
    [PlannedSMOTE(random_state=0), PlannedSMOTE(random_state=0, random_streams="per_class")]
)


# Pytest deprecates the generator that imbalanced-learn gives it: the same checks, as a list.
@pytest.mark.parametrize(CHECKS.args[0], list(CHECKS.args[1]), **CHECKS.kwargs)
def test_it_passes_imbalanced_learn_s_own_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    ("n_classes", "sampling_strategy"),
    [
        (3, "auto"),
        (3, "minority"),
        (3, "not minority"),
        (3, "all"),
        (3, {0: 90, 1: 70}),
        (2, 0.6),
        (3, lambda y: {0: 77}),
    ],
)
def test_it_gives_what_smote_gives_to_the_last_bit_whatever_is_asked(n_classes: int, sampling_strategy):
    X, y = imbalanced(n_classes)
    expected = SMOTE(sampling_strategy=sampling_strategy, random_state=3).fit_resample(X, y)

    found = PlannedSMOTE(sampling_strategy=sampling_strategy, random_state=3).fit_resample(X, y)

    assert len(found[0]) > len(X)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])


@pytest.mark.parametrize("name", ["csr_matrix", "csc_matrix", "csr_array"])
def test_sparse_rows_come_back_sparse_and_the_same(name: str):
    X, y = imbalanced()
    X[X < 0] = 0

    found, _ = PlannedSMOTE(random_state=0).fit_resample(getattr(sparse, name)(X), y)

    assert type(found).__name__ == name
    assert np.array_equal(found.toarray(), PlannedSMOTE(random_state=0).fit_resample(X, y)[0])


def test_a_data_frame_comes_back_with_its_columns_and_labels_that_are_words():
    X, y = imbalanced()
    frame = pd.DataFrame(X.astype(np.float32), columns=[f"feature {number}" for number in range(X.shape[1])])
    words = pd.Series(np.array(["rare", "some", "common"])[y], name="label")

    found_X, found_y = PlannedSMOTE(random_state=0).fit_resample(frame, words)

    expected_X, expected_y = SMOTE(random_state=0).fit_resample(frame, words)
    pd.testing.assert_frame_equal(found_X, expected_X)
    pd.testing.assert_series_equal(found_y, expected_y)


def test_the_plan_tells_the_parents_of_every_row_that_was_made():
    X, y = imbalanced()

    sampler = PlannedSMOTE(random_state=0)
    found_X, found_y = sampler.fit_resample(X, y)

    assert len(sampler.pairs_) == len(found_X) - len(X) == sum(sampler.sampling_strategy_.values())
    assert np.array_equal(sampler.pairs_.interpolate(X), found_X[len(X) :])
    assert np.array_equal(y[sampler.pairs_.neighbour], found_y[len(X) :])
    assert sampler.neighbours_ == {0: 5, 1: 5, 2: 5}


def test_unsigned_integers_do_not_wrap():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (60, 4), dtype=np.uint8)
    y = np.repeat([0, 1], [50, 10])

    found, _ = PlannedSMOTE(random_state=0).fit_resample(X, y)

    made, parents = found[60:], X[50:]
    assert found.dtype == np.float64
    assert np.all((made >= parents.min(axis=0)) & (made <= parents.max(axis=0)))


def test_a_class_of_fewer_rows_than_neighbours_warns_where_it_was_called():
    X, y = imbalanced()
    y[np.flatnonzero(y == 0)[3:]] = 1

    with pytest.warns(UserWarning, match="Class 0 has 3 train rows: k = 2 is used there instead of 5") as caught:
        PlannedSMOTE(random_state=0).fit_resample(X, y)

    assert caught[0].filename == __file__


def test_a_pipeline_searches_its_k_and_resamples_training_folds_alone():
    X, y = imbalanced()
    pipeline = make_pipeline(PlannedSMOTE(random_state=0), LogisticRegression())

    search = GridSearchCV(pipeline, {"plannedsmote__k_neighbors": [1, 3]}, scoring="balanced_accuracy", cv=3)
    search.fit(X, y)

    theirs = make_pipeline(SMOTE(random_state=0), LogisticRegression())
    expected = GridSearchCV(theirs, {"smote__k_neighbors": [1, 3]}, scoring="balanced_accuracy", cv=3).fit(X, y)
    assert search.cv_results_["mean_test_score"].tolist() == expected.cv_results_["mean_test_score"].tolist()


def test_a_clone_has_the_parameters_and_nothing_that_was_fitted():
    X, y = imbalanced()
    sampler = PlannedSMOTE(sampling_strategy="minority", random_state=4, k_neighbors=2, random_streams="per_class")
    sampler.fit_resample(X, y)

    copy = clone(sampler)

    assert copy.get_params() == sampler.get_params()
    assert not hasattr(copy, "pairs_")


def test_without_a_seed_every_call_draws_anew_and_a_generator_repeats_itself():
    X, y = imbalanced()
    unseeded = [PlannedSMOTE().fit_resample(X, y)[0] for _ in range(2)]
    generated = [PlannedSMOTE(random_state=np.random.RandomState(5)).fit_resample(X, y)[0] for _ in range(2)]

    assert not np.array_equal(*unseeded)
    assert np.array_equal(*generated)


def test_classes_have_numbers_of_their_own_where_streams_are_per_class():
    X, y = imbalanced()
    steps = {}
    for random_streams in ("imblearn", "per_class"):
        sampler = PlannedSMOTE(random_state=0, random_streams=random_streams)
        sampler.fit_resample(X, y)
        first = [sampler.pairs_.step[sampler.pairs_.labels(y) == label][:5] for label in (0, 1)]
        steps[random_streams] = first

    assert not np.array_equal(*steps["per_class"])
    assert not np.array_equal(steps["imblearn"][0], steps["per_class"][0])


@pytest.mark.parametrize("parameters", [{"k_neighbors": 0}, {"random_streams": "other"}, {"k_neighbors": 2.5}])
def test_nonsense_is_refused_when_it_is_fitted(parameters: dict[str, object]):
    X, y = imbalanced()
    with pytest.raises(ValueError, match=f"The '{next(iter(parameters))}' parameter of PlannedSMOTE must be"):
        PlannedSMOTE(**parameters).fit_resample(X, y)


def test_no_warning_is_given_where_every_class_affords_k():
    X, y = imbalanced()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PlannedSMOTE(random_state=0).fit_resample(X, y)
