from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from include.retraining.artifacts import CandidateRecord, PlanRecord, ResamplingRecord, SnapshotRecord
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.plan import Plan, publish_plan
from include.retraining.balancing.resampling import resample
from include.retraining.config import Between, Candidate, HeadSettings, Search
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, StorageUnavailableError
from include.retraining.metrics import classification_metrics
from include.retraining.run import Run
from include.retraining.storage.base import key_of
from include.retraining.storage.publishing import problems_of
from include.retraining.training import candidates as module
from include.retraining.training import fitting
from include.retraining.training.candidates import candidate_of, read_candidate, read_head, train
from tests.builders import LABELS, make_config, make_run
from tests.datasets import blob_vectors, embedding_of, publish_snapshot, split_rows, store_vectors
from tests.stores import DyingStore, holding

HEADS: dict[str, Any] = {"linear": {"weight_decay": 0.01}, "mlp": {"weight_decay": 0.01, "hidden_units": [4]}}
TRAINING: dict[str, Any] = {
    "heads": HEADS,
    "epochs": 2,
    "learning_rate": 0.05,
    "batch_size": 16,
    "selection": {"folds": 2},
    "calibration": {"temperature": True, "thresholds": True},
}
ROWS = split_rows(
    {
        "train": {"daisy": 30, "poppy": 12, "orchid": 7},
        "validation": {"daisy": 6, "poppy": 5, "orchid": 4},
        "test": {"daisy": 5, "poppy": 5, "orchid": 5},
    }
)
SMOTE = "smote · linear"


def prepared(**training: Any) -> tuple[Run, SnapshotRecord, ResamplingRecord]:
    """A run whose store has no vector of a test image: whoever asks for one fails."""
    run = make_run(config=make_config(training={**TRAINING, **training}))
    seen = np.array([row["split"] != "test" for row in ROWS])
    store_vectors(run, [row for row in ROWS if row["split"] != "test"], blob_vectors(ROWS, LABELS)[seen])
    snapshot = publish_snapshot(run, ROWS)
    return run, snapshot, resample(run, snapshot.uri, embedding_of(run))


@pytest.fixture(scope="module")
def trained() -> tuple[Run, SnapshotRecord, ResamplingRecord, CandidateRecord]:
    """A trained candidate; a test that writes works on a copy of its store."""
    run, snapshot, resampling = prepared()
    return run, snapshot, resampling, trained_on(run, snapshot, resampling)


def trained_on(
    run: Run, snapshot: SnapshotRecord, resampling: ResamplingRecord, name: str | Candidate = SMOTE
) -> CandidateRecord:
    candidate = candidate_of(run.config, name) if isinstance(name, str) else name
    return train(run, candidate, snapshot, embedding_of(run), resampling)


def never(*_: object, **__: object) -> None:
    raise AssertionError("it was trained again")


def copy_of(run: Run) -> Run:
    return dataclasses.replace(run, store=holding(run.store.objects))


def vectors_of(split: str) -> tuple[np.ndarray, np.ndarray]:
    is_in = [row["split"] == split for row in ROWS]
    y = np.array([LABELS.index(row["label"]) for row in ROWS])
    return blob_vectors(ROWS, LABELS)[is_in], y[is_in]


def test_a_candidate_is_published_whole_with_its_record(trained):
    run, _, _, record = trained
    assert problems_of(run.store, key_of(run.store, record.uri)) == []
    assert read_candidate(run.store, record.uri) == record
    assert (record.name, record.strategy, record.kind, record.head) == (SMOTE, "smote", "smote", "linear")
    assert record.settings == {"weight_decay": 0.01, "dropout": 0.0, "learning_rate": 0.05}
    assert record.n_train_rows == 3 * 30
    assert record.n_parameters == 6 * 3 + 3 == read_head(run.store, record.uri).n_parameters
    assert len(record.loss) == len(record.validation_macro_recall) == 2
    assert record.trials == ()


def test_its_metrics_are_those_of_the_stored_head_on_the_validation_split(trained):
    run, _, _, record = trained
    (X, y), head = vectors_of("validation"), read_head(run.store, record.uri)
    assert record.validation == classification_metrics(y, head.predict_proba(X), LABELS, y_pred=head.predict(X))
    assert record.validation.n_rows == {"daisy": 6, "poppy": 5, "orchid": 4}


def test_what_was_calibrated_is_in_the_record_as_in_the_head(trained):
    run, _, _, record = trained
    head = read_head(run.store, record.uri)
    assert record.temperature == head.temperature != 1
    assert record.thresholds == dict(zip(LABELS, head.thresholds.tolist(), strict=True))


def test_where_no_thresholds_are_asked_for_there_are_none(trained):
    run, snapshot, resampling, _ = trained
    training = {**TRAINING, "calibration": {"temperature": False}}
    run = dataclasses.replace(copy_of(run), config=make_config(training=training))
    record = trained_on(run, snapshot, resampling)
    assert (record.temperature, record.thresholds) == (1.0, None)


def test_a_head_is_calibrated_on_validation_rows_for_the_prior_that_its_strategy_assumes(
    trained, monkeypatch: pytest.MonkeyPatch
):
    run, snapshot, resampling, _ = trained
    seen = []

    def remembered(head: Any, X: np.ndarray, y: np.ndarray, *, assumes_uniform: bool, config: Any) -> Any:
        seen.append((X, y, assumes_uniform))
        return head

    monkeypatch.setattr(module, "calibrate", remembered)
    run = dataclasses.replace(copy_of(run), config=make_config(training={**TRAINING, "seed": 5}))
    for name in (SMOTE, "none · linear"):
        trained_on(run, snapshot, resampling, name)
    assert [assumes_uniform for _, _, assumes_uniform in seen] == [True, False]
    for X, y, _ in seen:
        np.testing.assert_array_equal(X, vectors_of("validation")[0])
        np.testing.assert_array_equal(y, vectors_of("validation")[1])


def test_the_scaler_of_the_head_was_fitted_on_train_images_alone(trained):
    run, _, _, record = trained
    X, _ = vectors_of("train")
    np.testing.assert_allclose(read_head(run.store, record.uri).scaler.mean, X.mean(axis=0), rtol=1e-5)


def test_the_head_that_is_kept_is_fitted_on_the_published_plan_and_chooses_its_epoch_on_validation(
    trained, monkeypatch: pytest.MonkeyPatch
):
    run, snapshot, resampling, record = trained
    calls, fit_head = [], fitting.fit_head

    def remembered(name: str, rows: Any, validation: Any, **given: Any) -> Any:
        calls.append((rows, validation))
        return fit_head(name, rows, validation, **given)

    monkeypatch.setattr(fitting, "fit_head", remembered)
    before = {key: body for key, body in run.store.objects.items() if not key.startswith("candidates/")}
    trained_on(dataclasses.replace(run, store=holding(before)), snapshot, resampling)

    assert [validation is None for _, validation in calls] == [True, True, False]
    rows, (X, y) = calls[-1]
    np.testing.assert_array_equal(y, vectors_of("validation")[1])
    np.testing.assert_array_equal(X, read_head(run.store, record.uri).scaler.transform(vectors_of("validation")[0]))
    np.testing.assert_array_equal(rows.y, vectors_of("train")[1])
    assert len(rows.pairs) == (30 - 12) + (30 - 7)
    assert all(len(rows.y) < 49 + 15 for rows, _ in calls)


def test_it_is_cross_validated_on_train_and_validation_rows(trained):
    _, _, _, record = trained
    assert len(record.cross_validation.scores) == 2
    assert record.cross_validation.mean == pytest.approx(np.mean(record.cross_validation.scores))
    assert 0 < record.cross_validation.mean <= 1


def test_only_resampling_trains_on_more_rows_than_there_are_train_images(trained):
    run, snapshot, resampling, _ = trained
    run = copy_of(run)
    for strategy in ("none", "class_weights", "logit_adjusted_loss"):
        assert trained_on(run, snapshot, resampling, f"{strategy} · linear").n_train_rows == 49


def test_a_candidate_that_searches_is_trained_with_the_best_of_its_trials(trained, monkeypatch: pytest.MonkeyPatch):
    run, snapshot, resampling, _ = trained
    heads_fitted, fit_head = [], fitting.fit_head

    def remembered(*rows: Any, head: HeadSettings, **given: Any) -> Any:
        heads_fitted.append(head)
        return fit_head(*rows, head=head, **given)

    monkeypatch.setattr(fitting, "fit_head", remembered)
    search = {"trials": 3, "weight_decay": {"low": 0.001, "high": 100, "log": True}}
    heads = {"linear": {"weight_decay": 99.0, "search": search}}
    run = dataclasses.replace(copy_of(run), config=make_config(training={**TRAINING, "heads": heads}))

    record = trained_on(run, snapshot, resampling)

    assert len(record.trials) == 3
    assert record.settings["weight_decay"] == record.trials[0].settings["weight_decay"]
    assert record.cross_validation.mean == record.trials[0].mean == max(trial.mean for trial in record.trials)
    assert record.settings["weight_decay"] < 99
    assert heads_fitted[-1].weight_decay == record.settings["weight_decay"]
    assert {"weight_decay": 99.0} in [trial.settings for trial in record.trials]
    assert read_candidate(run.store, record.uri) == record


def test_the_same_inputs_are_trained_once_whatever_the_run(trained, monkeypatch: pytest.MonkeyPatch):
    run, snapshot, resampling, record = trained
    monkeypatch.setattr(fitting, "fit_head", never)
    other = dataclasses.replace(run, run_id="manual__2", store=DyingStore(0, run.store.objects))
    assert trained_on(other, snapshot, resampling) == record


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"seed": 1}},
        {"training": {"epochs": 3}},
        {"training": {"patience": 1}},
        {"training": {"learning_rate": 0.04}},
        {"training": {"batch_size": 8}},
        {"training": {"heads": {"linear": {"weight_decay": 0.02}}}},
        {"training": {"selection": {"folds": 3}}},
        {"training": {"selection": {"folds": 2, "seed": 1}}},
        {"training": {"calibration": {"thresholds": False}}},
        {
            "training": {
                "strategies": {"none": {}, "class_weights": {}, "logit_adjustment": {}, "smote": {"k_neighbors": 2}}
            }
        },
        {"balancing": {"seed": 1}},
        {"balancing": {"random_streams": "imblearn"}},
        {"dataset": {"near_duplicate_bits": 3}},
        {"fine_tune": {"occasion": {"when": "every_runs"}}},
    ],
    ids=lambda changes: "-".join(f"{section}-{next(iter(keys))}" for section, keys in changes.items()),
)
def test_what_changes_the_training_is_trained_anew(trained, monkeypatch: pytest.MonkeyPatch, changes: dict):
    run, snapshot, resampling, _ = trained
    monkeypatch.setattr(fitting, "fit_head", never)
    sections = {**changes, "training": {**TRAINING, **changes.get("training", {})}}
    other = dataclasses.replace(run, config=make_config(**sections))
    embedding = embedding_of(run)
    with pytest.raises(AssertionError, match="trained again"):
        train(other, candidate_of(other.config, SMOTE), snapshot, embedding, resampling)


@pytest.mark.parametrize(
    "changes",
    [
        {"training": {"heads": {"linear": HEADS["linear"], "another": {"weight_decay": 3}}}},
        {"training": {"strategies": ["none", "class_weights", "logit_adjustment", "smote"]}},
        {"training": {"selection": {"folds": 2, "rule": "best"}}},
        {"training": {"mode": "images"}},
        {"balancing": {"reconstruct": True}},
        {"description": "Other words."},
    ],
    ids=["another-head", "another-strategy", "another-rule", "images-too", "pictures-too", "another-description"],
)
def test_what_is_beside_a_candidate_changes_nothing_in_it(trained, monkeypatch: pytest.MonkeyPatch, changes: dict):
    run, snapshot, resampling, record = trained
    monkeypatch.setattr(fitting, "fit_head", never)
    sections = {**changes, "training": {**TRAINING, **changes.get("training", {})}}
    other = dataclasses.replace(run, config=make_config(**sections))
    assert trained_on(other, snapshot, resampling) == record


def test_other_settings_of_the_grid_are_another_candidate(trained, monkeypatch: pytest.MonkeyPatch):
    run, snapshot, resampling, _ = trained
    monkeypatch.setattr(fitting, "fit_head", never)
    other = dataclasses.replace(candidate_of(run.config, SMOTE), settings=HeadSettings((), 0.02, 0.0, 0.05))
    with pytest.raises(AssertionError, match="trained again"):
        trained_on(run, snapshot, resampling, other)


def test_another_optuna_matters_to_what_is_searched_alone(trained, monkeypatch: pytest.MonkeyPatch):
    run, snapshot, resampling, record = trained
    monkeypatch.setattr(module, "version", lambda _: "another")
    assert trained_on(run, snapshot, resampling) == record
    searching = dataclasses.replace(
        candidate_of(run.config, SMOTE), search=Search(trials=1, dropout=Between(low=0.0, high=0.5))
    )
    first, second = copy_of(run), copy_of(run)
    uri = trained_on(first, snapshot, resampling, searching).uri
    monkeypatch.undo()
    assert trained_on(second, snapshot, resampling, searching).uri != uri


def test_plan_and_balancing_matter_to_what_is_resampled_alone(trained, monkeypatch: pytest.MonkeyPatch):
    run, snapshot, resampling, _ = trained
    run = copy_of(run)
    record = trained_on(run, snapshot, resampling, "none · linear")
    monkeypatch.setattr(fitting, "fit_head", never)
    other = ResamplingRecord({"smote": dataclasses.replace(resampling.plans["smote"], digest="another")})
    reseeded = dataclasses.replace(run, config=make_config(training=TRAINING, balancing={"seed": 1}))
    assert trained_on(run, snapshot, other, "none · linear") == record
    assert trained_on(reseeded, snapshot, ResamplingRecord({}), "none · linear") == record
    with pytest.raises(AssertionError, match="trained again"):
        trained_on(run, snapshot, other)


def test_another_snapshot_another_code_and_other_libraries_are_trained_anew(trained, monkeypatch: pytest.MonkeyPatch):
    run, snapshot, resampling, _ = trained
    monkeypatch.setattr(fitting, "fit_head", never)
    with pytest.raises(AssertionError, match="trained again"):
        trained_on(run, dataclasses.replace(snapshot, digest="another"), resampling)
    for name, value in (("code_digest", "another"), ("library_versions", {"keras": "4"})):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, lambda value=value: value)
            with pytest.raises(AssertionError, match="trained again"):
                trained_on(run, snapshot, resampling)


def test_a_training_that_is_killed_before_its_manifest_is_trained_again_to_the_same_bytes(trained):
    run, snapshot, resampling, record = trained
    before = {key: body for key, body in run.store.objects.items() if not key.startswith("candidates/")}
    dying = DyingStore(2, before)
    with pytest.raises(StorageUnavailableError):
        trained_on(dataclasses.replace(run, store=dying), snapshot, resampling)
    left = dataclasses.replace(run, store=holding(dying.objects))
    assert trained_on(left, snapshot, resampling) == record
    assert left.store.objects == run.store.objects


def test_a_head_that_was_changed_is_not_read(trained):
    run, _, _, record = trained
    run = copy_of(run)
    run.store.put(f"{key_of(run.store, record.uri)}head.npz", b"other")
    with pytest.raises(ArtifactIntegrityError, match=r"head\.npz: expected sha256"):
        read_head(run.store, record.uri)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_plan_with_a_parent_outside_of_the_train_split_is_not_trained_on(trained, split: str):
    run, snapshot, resampling, _ = trained
    run = copy_of(run)
    ids = [row["image_id"] for row in ROWS if row["split"] == "train"]
    ids[0] = next(row["image_id"] for row in ROWS if row["split"] == split)
    first = np.zeros(1, np.int32)
    uri, digest = publish_plan(
        run.store, run.classifier, Plan(np.array(sorted(ids), object), Pairs(first, first, np.zeros(1)))
    )
    spoilt: PlanRecord = dataclasses.replace(resampling.plans["smote"], uri=uri, digest=digest)
    with pytest.raises(ArtifactIntegrityError, match="1 of which are no train rows"):
        trained_on(run, snapshot, ResamplingRecord({"smote": spoilt}))


def test_a_strategy_that_was_not_planned_is_refused_with_those_that_were(trained):
    run, snapshot, resampling, _ = trained
    planned = ResamplingRecord({"borderline": resampling.plans["smote"]})
    with pytest.raises(ConfigurationError, match="'smote' resamples, but this run planned borderline. Start a new run"):
        trained_on(run, snapshot, planned)


def test_a_candidate_is_found_by_its_name():
    config = make_config(training=TRAINING)
    assert [candidate_of(config, candidate.name) for candidate in config.candidates] == config.candidates


def test_a_candidate_that_the_recipe_gave_up_is_refused_with_those_it_has():
    config = make_config(training={**TRAINING, "strategies": ["none"]})
    with pytest.raises(ConfigurationError, match="no candidate 'smote · linear'.*has none · linear, none · mlp"):
        candidate_of(config, SMOTE)
