from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from include.retraining.artifacts import CandidateRecord, ResamplingRecord, SnapshotRecord
from include.retraining.balancing.resampling import resample
from include.retraining.config import Candidate
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, StorageUnavailableError
from include.retraining.metrics import classification_metrics
from include.retraining.run import Run
from include.retraining.storage.base import key_of
from include.retraining.storage.publishing import problems_of
from include.retraining.training.candidates import (
    candidate_of,
    class_ids,
    read_candidate,
    read_head,
    select,
    train,
)
from tests.builders import LABELS, make_candidate, make_config, make_metrics, make_run
from tests.datasets import blob_vectors, embedding_of, publish_snapshot, split_rows, store_vectors
from tests.stores import DyingStore, holding

HEADS = {"linear": {"weight_decay": 0.01}, "mlp": {"weight_decay": 0.01, "hidden_units": [4]}}
TRAINING = {"heads": HEADS, "epochs": 2, "learning_rate": 0.05, "batch_size": 16}
ROWS = split_rows(
    {
        "train": {"daisy": 30, "poppy": 12, "orchid": 7},
        "validation": {"daisy": 6, "poppy": 5, "orchid": 4},
        "test": {"daisy": 5, "poppy": 5, "orchid": 5},
    }
)
SMOTE = Candidate("smote", "linear")


def prepared(**training: object) -> tuple[Run, SnapshotRecord, ResamplingRecord]:
    run = make_run(config=make_config(training={**TRAINING, **training}))
    store_vectors(run, ROWS, blob_vectors(ROWS, LABELS))
    snapshot = publish_snapshot(run, ROWS)
    return run, snapshot, resample(run, snapshot.uri, embedding_of(run))


@pytest.fixture(scope="module")
def trained() -> tuple[Run, SnapshotRecord, ResamplingRecord, CandidateRecord]:
    """A trained candidate; a test that writes works on a copy of its store."""
    run, snapshot, resampling = prepared()
    return run, snapshot, resampling, train(run, SMOTE, snapshot, embedding_of(run), resampling)


def never(*_: object, **__: object) -> None:
    raise AssertionError("it was trained again")


def copy_of(run: Run) -> Run:
    return dataclasses.replace(run, store=holding(run.store.objects))


def test_a_candidate_is_published_whole_with_its_record(trained):
    run, _, _, record = trained
    assert problems_of(run.store, key_of(run.store, record.uri)) == []
    assert read_candidate(run.store, record.uri) == record
    assert (record.name, record.strategy, record.head) == ("smote · linear", "smote", "linear")
    assert record.n_train_rows == 3 * 30
    assert record.n_parameters == 6 * 3 + 3 == read_head(run.store, record.uri).n_parameters
    assert len(record.loss) == len(record.validation_macro_recall) == 2


def test_its_metrics_are_those_of_the_stored_head_on_the_validation_split(trained):
    run, _, _, record = trained
    rows = [row for row in ROWS if row["split"] == "validation"]
    X = blob_vectors(ROWS, LABELS)[[row["split"] == "validation" for row in ROWS]]
    y = np.array([LABELS.index(row["label"]) for row in rows])
    expected = classification_metrics(y, read_head(run.store, record.uri).predict_proba(X), LABELS)
    assert record.validation == expected
    assert record.validation.n_rows == {"daisy": 6, "poppy": 5, "orchid": 4}
    assert record.validation_macro_recall[record.best_epoch - 1] == pytest.approx(expected.macro_recall)


def test_the_scaler_of_the_head_was_fitted_on_train_images_alone(trained):
    run, _, _, record = trained
    X = blob_vectors(ROWS, LABELS)[[row["split"] == "train" for row in ROWS]]
    np.testing.assert_allclose(read_head(run.store, record.uri).scaler.mean, X.mean(axis=0), rtol=1e-5)


def test_only_smote_trains_on_more_rows_than_there_are_train_images(trained):
    run, snapshot, resampling, _ = trained
    run = copy_of(run)
    for strategy in ("none", "class_weights"):
        assert train(run, Candidate(strategy, "linear"), snapshot, embedding_of(run), resampling).n_train_rows == 49


def test_the_same_inputs_are_trained_once_whatever_the_run(trained, monkeypatch: pytest.MonkeyPatch):
    run, snapshot, resampling, record = trained
    monkeypatch.setattr("include.retraining.training.fitting.fit_head", never)
    other = dataclasses.replace(run, run_id="manual__2", store=DyingStore(0, run.store.objects))
    assert train(other, SMOTE, snapshot, embedding_of(other), resampling) == record


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"epochs": 3},
        {"learning_rate": 0.04},
        {"batch_size": 8},
        {"heads": {"linear": {"weight_decay": 0.02}}},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_changes_the_training_is_trained_anew(trained, monkeypatch: pytest.MonkeyPatch, changes: dict):
    run, snapshot, resampling, _ = trained
    monkeypatch.setattr("include.retraining.training.fitting.fit_head", never)
    other = dataclasses.replace(run, config=make_config(training={**TRAINING, **changes}))
    with pytest.raises(AssertionError, match="trained again"):
        train(other, SMOTE, snapshot, embedding_of(other), resampling)


def test_another_head_and_another_candidate_in_the_recipe_change_nothing(trained, monkeypatch: pytest.MonkeyPatch):
    run, snapshot, resampling, record = trained
    monkeypatch.setattr("include.retraining.training.fitting.fit_head", never)
    heads = {"linear": HEADS["linear"], "another": {"weight_decay": 3}}
    other = dataclasses.replace(run, config=make_config(training={**TRAINING, "heads": heads, "strategies": ["smote"]}))
    assert train(other, SMOTE, snapshot, embedding_of(other), resampling) == record


def test_another_plan_matters_to_smote_alone(trained, monkeypatch: pytest.MonkeyPatch):
    run, snapshot, resampling, _ = trained
    run, plain = copy_of(run), Candidate("none", "linear")
    record = train(run, plain, snapshot, embedding_of(run), resampling)
    monkeypatch.setattr("include.retraining.training.fitting.fit_head", never)
    other = dataclasses.replace(resampling, digest="another")
    assert train(run, plain, snapshot, embedding_of(run), other) == record
    with pytest.raises(AssertionError, match="trained again"):
        train(run, SMOTE, snapshot, embedding_of(run), other)


def test_another_snapshot_another_code_and_other_libraries_are_trained_anew(trained, monkeypatch: pytest.MonkeyPatch):
    run, snapshot, resampling, _ = trained
    monkeypatch.setattr("include.retraining.training.fitting.fit_head", never)
    with pytest.raises(AssertionError, match="trained again"):
        train(run, SMOTE, dataclasses.replace(snapshot, digest="another"), embedding_of(run), resampling)
    for name, value in (("code_digest", "another"), ("library_versions", {"keras": "4"})):
        with monkeypatch.context() as patch:
            patch.setattr(f"include.retraining.training.candidates.{name}", lambda value=value: value)
            with pytest.raises(AssertionError, match="trained again"):
                train(run, SMOTE, snapshot, embedding_of(run), resampling)


def test_a_training_that_is_killed_before_its_manifest_is_trained_again_to_the_same_bytes(trained):
    run, snapshot, resampling, record = trained
    before = {key: body for key, body in run.store.objects.items() if not key.startswith("candidates/")}
    dying = DyingStore(2, before)
    with pytest.raises(StorageUnavailableError):
        train(dataclasses.replace(run, store=dying), SMOTE, snapshot, embedding_of(run), resampling)
    left = dataclasses.replace(run, store=holding(dying.objects))
    assert train(left, SMOTE, snapshot, embedding_of(left), resampling) == record
    assert left.store.objects == run.store.objects


def test_a_head_that_was_changed_is_not_read(trained):
    run, _, _, record = trained
    run = copy_of(run)
    run.store.put(f"{key_of(run.store, record.uri)}head.npz", b"other")
    with pytest.raises(ArtifactIntegrityError, match=r"head\.npz: expected sha256"):
        read_head(run.store, record.uri)


def test_a_smote_plan_with_a_parent_outside_of_the_train_split_is_not_trained_on(
    trained, monkeypatch: pytest.MonkeyPatch
):
    from include.retraining.balancing.plan import Plan, read_plan

    run, snapshot, resampling, _ = trained
    rows = read_plan(run.store, resampling.uri).rows
    outside = next(row["image_id"] for row in ROWS if row["split"] == "validation")
    spoilt = Plan(rows.assign(base=[outside, *rows["base"][1:]]))
    monkeypatch.setattr("include.retraining.training.candidates.read_plan", lambda *_: spoilt)
    with pytest.raises(ArtifactIntegrityError, match="parents from the train split alone"):
        train(copy_of(run), SMOTE, snapshot, embedding_of(run), dataclasses.replace(resampling, digest="spoilt"))


def scored(macro_recall: float | None, n_parameters: int = 10, **names: str) -> CandidateRecord:
    return make_candidate(validation=make_metrics(macro_recall=macro_recall), n_parameters=n_parameters, **names)


def test_the_highest_macro_recall_on_validation_wins_and_the_others_follow_by_it():
    records = [scored(0.5, strategy="none"), scored(0.9), scored(None, strategy="smote"), scored(0.7)]
    selection = select(records)
    assert [record.validation.macro_recall for record in selection.candidates] == [0.9, 0.7, 0.5, None]
    assert selection.challenger == records[1].name


def test_of_equals_the_smaller_head_wins_and_then_the_name_whatever_the_order():
    large = scored(0.8, 99, strategy="class_weights")
    small, same = scored(0.8, 10, strategy="smote"), scored(0.8, 10, strategy="none")
    for records in ([large, small, same], [same, small, large], [small, large, same]):
        assert select(records).candidates == (same, small, large)
        assert select(records).challenger == "none · linear"


def test_a_candidate_is_found_by_its_name():
    config = make_config(training=TRAINING)
    assert [candidate_of(config, candidate.name) for candidate in config.candidates] == config.candidates


def test_a_candidate_that_the_recipe_gave_up_is_refused_with_those_it_has():
    config = make_config(training={**TRAINING, "strategies": ["none"]})
    with pytest.raises(ConfigurationError, match="no candidate 'smote · linear'.*has none · linear, none · mlp"):
        candidate_of(config, "smote · linear")


def test_class_ids_follow_the_order_of_the_recipe_s_labels():
    rows = pd.DataFrame({"label": ["orchid", "daisy", "poppy", "orchid"]})
    assert class_ids(rows, LABELS).tolist() == [2, 0, 1, 2]
    assert class_ids(rows, ("poppy", "orchid", "daisy")).dtype == np.int64
