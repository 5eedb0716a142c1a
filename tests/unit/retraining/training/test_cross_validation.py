from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from include.retraining.balancing import samplers
from include.retraining.config import HeadSettings, NoBalancing, Smote, Strategy
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.errors import ArtifactIntegrityError, InsufficientDataError
from include.retraining.training import cross_validation as module
from include.retraining.training.cross_validation import (
    NEVER_HELD_OUT,
    Folds,
    assign_folds,
    cross_validate,
    in_proportion,
    plan_folds,
)
from include.retraining.training.rows import Rows
from tests.builders import LABELS, make_config

SETTINGS = HeadSettings((), 1.0, 0.0, 0.05)
NONE, SMOTE = NoBalancing(), Smote(k_neighbors=2)


def make_rows(
    train: Sequence[int] = (20, 10, 6), validation: Sequence[int] = (6, 5, 5), views: int = 0, seed: int = 0
) -> Rows:
    """Rows around another corner for each class, with as many images by split and class."""
    rng = np.random.default_rng(seed)
    y_train, y_validation = (np.repeat(np.arange(len(counts)), counts) for counts in (train, validation))
    n_images = len(y_train) + len(y_validation)
    ids = np.array([f"{number:08x}" for number in rng.permutation(n_images)], dtype=object)
    image = np.concatenate([np.tile(np.arange(len(y_train)), 1 + views), np.arange(len(y_train), n_images)])
    view = np.concatenate([np.repeat(np.arange(1 + views), len(y_train)), np.zeros(len(y_validation), int)])
    y = np.concatenate([y_train, y_validation])[image]
    return Rows(
        X=(np.eye(len(train), 5)[y] * 6 + rng.normal(size=(len(y), 5))).astype(np.float32),
        y=y,
        row_ids=np.array(
            [f"{ids[it]}#{number}" if number else ids[it] for it, number in zip(image, view, strict=True)]
        ),
        kin=np.argsort(np.argsort(ids))[image],
        is_view=view > 0,
        n_train=len(y_train) * (1 + views),
        labels=LABELS[: len(train)],
    )


def planned(rows: Rows, strategy: Strategy = NONE, folds: int = 4, **sections: Any) -> Folds:
    training = {
        "heads": {"linear": {"weight_decay": 0.01}},
        "epochs": 6,
        "batch_size": 8,
        "selection": {"folds": folds},
    }
    return plan_folds(rows, strategy, make_config(labels=rows.labels, training=training, **sections))


@dataclasses.dataclass
class Fitted:
    """What a fake training was given; its head says of each row what `answer` does."""

    calls: list[dict[str, Any]]
    answer: Any = None

    def fit_head(self, name: str, rows: Any, validation: Any, **given: Any) -> Any:
        self.calls.append({"name": name, "rows": rows, "validation": validation, **given})
        return dataclasses.make_dataclass("Fit", ["head"])(self)

    def predict(self, X: np.ndarray) -> np.ndarray:
        return self.answer(X)


@pytest.fixture
def fitted(monkeypatch: pytest.MonkeyPatch) -> Fitted:
    fake = Fitted([], answer=lambda X: X[:, :3].argmax(axis=1))
    monkeypatch.setattr("include.retraining.training.fitting.fit_head", fake.fit_head)
    return fake


@pytest.mark.parametrize("views", [0, 2])
def test_every_image_is_held_out_once_and_no_view_is_ever(views: int):
    rows = make_rows(views=views)

    held_out = np.concatenate([fold.held_out for fold in planned(rows).folds])

    assert sorted(held_out) == np.flatnonzero(~rows.is_view).tolist()


@pytest.mark.parametrize("views", [0, 2])
def test_a_head_is_fitted_on_every_row_that_is_not_kin_of_what_it_is_scored_on_and_on_no_other(views: int):
    rows = make_rows(views=views)
    rows = dataclasses.replace(rows, kin=rows.kin // 3)

    for fold in planned(rows).folds:
        is_kin = np.isin(rows.kin, rows.kin[fold.held_out])
        assert fold.fitted_on.tolist() == np.flatnonzero(~is_kin).tolist()


def test_a_class_is_spread_over_all_folds():
    rows = make_rows(train=(40, 20, 8), validation=(10, 5, 2))

    by_fold = np.stack([np.bincount(rows.y[fold.held_out]) for fold in planned(rows, folds=5).folds])

    assert by_fold.sum(axis=0).tolist() == [50, 25, 10]
    assert (by_fold.max(axis=0) - by_fold.min(axis=0) <= 1).all()


def test_classes_are_spread_as_evenly_as_their_kin_allow():
    rows = make_rows(train=(40, 20, 20), validation=(0, 0, 0))
    rows = dataclasses.replace(rows, kin=np.arange(len(rows.y)) // 4)

    by_fold = np.stack([np.bincount(rows.y[fold.held_out]) for fold in planned(rows, folds=5).folds])

    assert by_fold.tolist() == [[8, 4, 4]] * 5


def test_folds_do_not_depend_on_the_order_of_the_rows():
    rows = make_rows(views=1)
    rows = dataclasses.replace(rows, kin=rows.kin // 2)
    order = np.random.default_rng(1).permutation(len(rows.y))
    fields = ("X", "y", "row_ids", "kin", "is_view")
    other = dataclasses.replace(rows, **{name: getattr(rows, name)[order] for name in fields})

    first = assign_folds(rows, ~rows.is_view, n_folds=4, seed=0)

    np.testing.assert_array_equal(assign_folds(other, ~other.is_view, n_folds=4, seed=0), first[order])


def test_another_seed_makes_other_folds_and_the_same_one_the_same():
    rows = make_rows()
    first, again, other = (assign_folds(rows, ~rows.is_view, n_folds=4, seed=seed) for seed in (0, 0, 1))

    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_where_the_network_is_fine_tuned_validation_rows_alone_are_scored_and_train_rows_always_fitted_on():
    rows = make_rows(views=1)

    folds = planned(rows, fine_tune={"occasion": {"when": "every_runs"}}).folds

    assert sorted(np.concatenate([fold.held_out for fold in folds])) == np.flatnonzero(~rows.is_train).tolist()
    for fold in folds:
        assert set(np.flatnonzero(rows.is_train)) <= set(fold.fitted_on)
        assert len(fold.fitted_on) + len(fold.held_out) == len(rows.y)


def test_rows_that_are_never_held_out_are_marked_so():
    rows = make_rows()

    fold_of = assign_folds(rows, ~rows.is_train, n_folds=3, seed=0)

    assert set(fold_of[rows.is_train]) == {NEVER_HELD_OUT}
    assert set(fold_of[~rows.is_train]) == {0, 1, 2}


def test_kin_in_two_folds_are_refused(monkeypatch: pytest.MonkeyPatch):
    rows = make_rows()
    rows = dataclasses.replace(rows, kin=rows.kin // 2)
    monkeypatch.setattr(module, "assign_folds", lambda rows, *_, **__: np.arange(len(rows.y)) % 2)

    with pytest.raises(ArtifactIntegrityError, match="expected kin in one fold"):
        planned(rows)


@pytest.mark.parametrize("strategy", [NONE, SMOTE])
def test_the_scaler_is_fitted_on_the_fitting_rows_alone(strategy: Strategy):
    rows = make_rows()

    for fold in planned(rows, strategy).folds:
        np.testing.assert_array_equal(fold.scaler.mean, fit_scaler(rows.X[fold.fitted_on]).mean)
        assert (fold.scaler.mean != fit_scaler(rows.X).mean).any()


def test_resampling_sees_the_standard_scores_of_the_fitting_rows_alone(monkeypatch: pytest.MonkeyPatch):
    rows, seen = make_rows(views=1), []
    plan_rows = samplers.plan_rows

    def remembered(X: np.ndarray, labels: np.ndarray, row_ids: np.ndarray, *rest: Any) -> Any:
        seen.append((X, labels, row_ids))
        return plan_rows(X, labels, row_ids, *rest)

    monkeypatch.setattr(samplers, "plan_rows", remembered)

    folds = planned(rows, SMOTE).folds

    assert len(seen) == len(folds) == 4
    for fold, (X, labels, row_ids) in zip(folds, seen, strict=True):
        assert list(row_ids) == list(rows.row_ids[fold.fitted_on])
        assert list(labels) == [LABELS[it] for it in rows.y[fold.fitted_on]]
        np.testing.assert_array_equal(X, fold.scaler.transform(rows.X[fold.fitted_on]))


def test_the_plan_of_a_fold_balances_its_rows_and_both_parents_are_of_the_row_s_class():
    rows = make_rows()

    for fold in planned(rows, SMOTE).folds:
        y = rows.y[fold.fitted_on]
        synthetic = fold.pairs.labels(y)
        np.testing.assert_array_equal(y[fold.pairs.neighbour], synthetic)
        assert len(set(np.bincount(np.concatenate([y, synthetic])))) == 1


def test_what_is_not_resampled_has_no_pairs():
    assert [fold.pairs for fold in planned(make_rows()).folds] == [None] * 4


def test_another_balancing_seed_plans_other_rows():
    rows = make_rows()
    first, again, other = (planned(rows, SMOTE, balancing={"seed": seed}).folds[0].pairs for seed in (0, 0, 1))

    np.testing.assert_array_equal(first.step, again.step)
    assert (first.step != other.step).any()


def test_counts_that_are_asked_for_are_asked_of_a_fold_in_proportion_to_its_rows():
    rows = make_rows(train=(20, 10, 4), validation=(4, 4, 4))
    strategy = Smote(sampling_strategy={"poppy": 20, "orchid": 6})
    fitted_on = np.flatnonzero((rows.y != 1) | (np.arange(len(rows.y)) % 2 == 0))

    asked = in_proportion(strategy, rows, fitted_on).sampling_strategy

    assert asked == {"poppy": 2 * 7, "orchid": 12}
    assert in_proportion(SMOTE, rows, fitted_on) is SMOTE


def test_counts_that_the_rows_of_a_fold_have_already_are_no_mistake():
    rows = make_rows(train=(20, 10, 6), validation=(20, 20, 20))
    strategy = Smote(sampling_strategy={"daisy": 20, "poppy": 10, "orchid": 6})

    assert [len(fold.pairs) for fold in planned(rows, strategy).folds] == [0] * 4


def test_a_class_of_which_a_fold_has_no_row_is_asked_for_nothing():
    rows = make_rows()
    strategy = Smote(sampling_strategy={"poppy": 20, "orchid": 12})

    assert in_proportion(strategy, rows, np.flatnonzero(rows.y != 2)).sampling_strategy == {"poppy": 30}


def test_the_score_is_the_mean_recall_over_classes_however_large(fitted: Fitted):
    rows = make_rows(train=(40, 8, 8), validation=(8, 4, 4))
    fitted.answer = lambda X: np.zeros(len(X), np.int64)

    result = cross_validate("none · linear", SETTINGS, planned(rows))

    assert result.scores == pytest.approx([1 / 3] * 4)
    assert (result.mean, result.standard_error) == pytest.approx((1 / 3, 0.0))


def test_a_class_of_which_a_fold_has_no_row_is_left_out_of_its_mean(fitted: Fitted):
    rows = make_rows(train=(20, 20, 1), validation=(5, 5, 1))
    fitted.answer = lambda X: np.zeros(len(X), np.int64)

    scores = cross_validate("none · linear", SETTINGS, planned(rows, folds=5)).scores

    assert sorted(scores) == pytest.approx([1 / 3] * 2 + [1 / 2] * 3)


def test_a_class_that_a_head_has_not_seen_is_left_out_too(fitted: Fitted):
    rows = make_rows(train=(20, 20, 3), validation=(5, 5, 2))
    rows = dataclasses.replace(rows, kin=np.where(rows.y == 2, 999, rows.kin))
    fitted.answer = lambda X: X[:, :2].argmax(axis=1)

    assert cross_validate("none · linear", SETTINGS, planned(rows)).scores == pytest.approx([1.0] * 4)


def test_mean_and_standard_error_are_those_of_the_scores(fitted: Fitted, monkeypatch: pytest.MonkeyPatch):
    folds = planned(make_rows())
    scores = iter([0.5, 0.7, 0.9, 0.7])
    monkeypatch.setattr(module, "_score", lambda *_: next(scores))

    result = cross_validate("none · linear", SETTINGS, folds)

    assert result.scores == (0.5, 0.7, 0.9, 0.7)
    assert result.mean == pytest.approx(0.7)
    assert result.standard_error == pytest.approx(np.sqrt(0.08 / 3) / 2)


def test_a_head_is_fitted_with_the_settings_on_standard_scores_and_without_rows_to_choose_an_epoch_by(fitted: Fitted):
    rows = make_rows()
    folds = planned(rows, SMOTE)

    cross_validate("smote · linear", SETTINGS, folds)

    assert len(fitted.calls) == 4
    for call, fold in zip(fitted.calls, folds.folds, strict=True):
        assert call["validation"] is None
        assert (call["name"], call["head"], call["training"].epochs) == ("smote · linear", SETTINGS, 6)
        assert call["scaler"] is fold.scaler
        assert call["rows"].pairs is fold.pairs
        np.testing.assert_array_equal(call["rows"].X, fold.scaler.transform(rows.X[fold.fitted_on]))
        np.testing.assert_array_equal(call["rows"].y, rows.y[fold.fitted_on])


def test_a_head_is_scored_on_the_vectors_that_were_held_out(fitted: Fitted):
    rows, asked = make_rows(), []
    fitted.answer = lambda X: asked.append(X) or np.zeros(len(X), np.int64)
    folds = planned(rows)

    cross_validate("none · linear", SETTINGS, folds)

    for X, fold in zip(asked, folds.folds, strict=True):
        np.testing.assert_array_equal(X, rows.X[fold.held_out])


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_real_head_learns_what_can_be_learnt_and_learns_it_again():
    rows = make_rows()
    folds = planned(rows, SMOTE, folds=2)

    first, again = (cross_validate("smote · linear", SETTINGS, folds) for _ in range(2))

    assert first == again
    assert first.mean > 0.9


def test_classes_with_a_single_image_are_refused_and_named():
    rows = make_rows(train=(20, 1, 4), validation=(5, 0, 1))

    with pytest.raises(InsufficientDataError, match="Cross-validation needs at least 2 images a class; 'poppy' has 1"):
        planned(rows)


def test_views_do_not_make_two_images_of_one():
    rows = make_rows(train=(20, 1, 4), validation=(5, 0, 1), views=3)

    with pytest.raises(InsufficientDataError, match="'poppy' has 1"):
        planned(rows)


def test_images_that_are_all_of_one_group_cannot_be_divided():
    rows = make_rows()

    with pytest.raises(InsufficientDataError, match="of one group.*'daisy' has 1"):
        planned(dataclasses.replace(rows, kin=np.zeros_like(rows.kin)))


def test_there_are_no_more_folds_than_rows_of_the_largest_class():
    rows = make_rows(train=(2, 2, 2), validation=(1, 1, 1))

    folds = planned(rows, folds=10).folds

    assert len(folds) == 3
    assert sorted(np.concatenate([fold.held_out for fold in folds])) == list(range(9))
