from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from imblearn.over_sampling import SMOTE

from include.retraining.artifacts import SnapshotRecord
from include.retraining.balancing import resampling as module
from include.retraining.balancing.plan import ROWS, Plan, read_plan
from include.retraining.balancing.resampling import resample
from include.retraining.balancing.smote import plan_smote
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.run import Run
from include.retraining.storage.base import key_of
from tests.builders import LABELS, make_config, make_run
from tests.datasets import blob_vectors, embedding_of, publish_snapshot, split_rows, store_vectors
from tests.stores import DyingStore

COUNTS = {
    "train": {"daisy": 30, "poppy": 12, "orchid": 7},
    "validation": {"daisy": 5, "poppy": 5, "orchid": 5},
    "test": {"daisy": 5, "poppy": 5, "orchid": 5},
}


def prepared(counts: dict[str, dict[str, int]] = COUNTS, **sections) -> tuple[Run, SnapshotRecord, list[dict]]:
    run = make_run(config=make_config(**sections))
    rows = split_rows(counts)
    store_vectors(run, rows, blob_vectors(rows, LABELS))
    return run, publish_snapshot(run, rows), rows


def of_split(rows: list[dict], split: str) -> list[dict]:
    return [row for row in rows if row["split"] == split]


def test_a_plan_balances_the_train_split_and_tells_what_it_did():
    run, snapshot, _ = prepared()
    record = resample(run, snapshot.uri, embedding_of(run))
    assert record.counts_before == COUNTS["train"]
    assert record.counts_after == dict.fromkeys(LABELS, 30)
    assert record.neighbours == dict.fromkeys(LABELS, 5)
    assert record.warnings == ()
    assert record.uri == f"s3://memory/resampling/flowers/{record.digest}/"


def test_the_parents_of_every_synthetic_row_are_train_images_of_its_class():
    run, snapshot, rows = prepared()
    plan = read_plan(run.store, resample(run, snapshot.uri, embedding_of(run)).uri)
    train = {row["image_id"]: row["label"] for row in of_split(rows, "train")}
    assert len(plan.rows) == 18 + 23
    for row in plan.rows.itertuples():
        assert train[row.base] == train[row.neighbour] == row.label


def test_the_plan_is_smote_on_the_standard_scores_of_the_train_vectors():
    run, snapshot, rows = prepared()
    plan = read_plan(run.store, resample(run, snapshot.uri, embedding_of(run)).uri)
    train = of_split(rows, "train")
    X = blob_vectors(rows, LABELS)[[row["split"] == "train" for row in rows]]
    scores = fit_scaler(X).transform(X)
    expected, _ = SMOTE(k_neighbors=5, random_state=0).fit_resample(scores, [row["label"] for row in train])
    image_ids = np.array([row["image_id"] for row in train])
    assert np.array_equal(plan.interpolate(scores, image_ids), expected[len(train) :])


def test_vectors_of_validation_and_test_images_decide_nothing():
    run, snapshot, rows = prepared()
    other = make_run(config=run.config)
    vectors = blob_vectors(rows, LABELS)
    vectors[[row["split"] != "train" for row in rows]] += 100
    store_vectors(other, rows, vectors)
    publish_snapshot(other, rows)
    assert resample(other, snapshot.uri, embedding_of(other)) == resample(run, snapshot.uri, embedding_of(run))


def test_a_repeat_writes_nothing_and_says_the_same():
    run, snapshot, _ = prepared()
    record = resample(run, snapshot.uri, embedding_of(run))
    again = dataclasses.replace(run, store=DyingStore(0, run.store.objects))
    assert resample(again, snapshot.uri, embedding_of(again)) == record


def test_another_seed_and_another_k_are_another_plan():
    digests = set()
    for balancing in ({}, {"seed": 1}, {"k_neighbors": 2}):
        run, snapshot, _ = prepared(balancing=balancing)
        digests.add(resample(run, snapshot.uri, embedding_of(run)).digest)
    assert len(digests) == 3


def test_the_k_of_a_small_class_is_adapted_reported_and_logged(caplog: pytest.LogCaptureFixture):
    run, snapshot, _ = prepared({**COUNTS, "train": {"daisy": 30, "poppy": 12, "orchid": 3}})
    record = resample(run, snapshot.uri, embedding_of(run))
    assert record.neighbours == {"daisy": 5, "poppy": 5, "orchid": 2}
    assert record.counts_after == dict.fromkeys(LABELS, 30)
    assert record.warnings == ("Class 'orchid' has 3 train images: SMOTE uses k = 2 there instead of 5.",)
    assert record.warnings[0] in caplog.messages


def test_classes_of_one_size_give_an_empty_plan_that_can_be_read():
    run, snapshot, _ = prepared({**COUNTS, "train": dict.fromkeys(LABELS, 8)})
    record = resample(run, snapshot.uri, embedding_of(run))
    assert record.counts_before == record.counts_after == dict.fromkeys(LABELS, 8)
    assert read_plan(run.store, record.uri).rows.empty


def test_a_train_image_without_a_vector_is_refused():
    run, _, rows = prepared()
    more = [*rows, {**rows[0], "image_id": "ff" * 32, "split": "train"}]
    with pytest.raises(ArtifactIntegrityError, match="none of 1 of them"):
        resample(run, publish_snapshot(run, more).uri, embedding_of(run))


def base_from_the_test_split(rows: pd.DataFrame, outside: str) -> pd.DataFrame:
    return rows.assign(base=[outside, *rows["base"][1:]])


def neighbour_from_the_test_split(rows: pd.DataFrame, outside: str) -> pd.DataFrame:
    return rows.assign(neighbour=[*rows["neighbour"][:-1], outside])


def parents_of_another_class(rows: pd.DataFrame, outside: str) -> pd.DataFrame:
    return rows.assign(base=rows["base"].to_numpy()[::-1])


def one_row_left_out(rows: pd.DataFrame, outside: str) -> pd.DataFrame:
    return rows[1:]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (base_from_the_test_split, "each base a train image of the row's class, got 1 that are not"),
        (neighbour_from_the_test_split, "each neighbour a train image of the row's class, got 1 that are not"),
        (parents_of_another_class, "each base a train image of the row's class"),
        (one_row_left_out, "classes of one size"),
    ],
)
def test_a_plan_that_leaks_or_does_not_balance_is_refused_at_run_time_and_not_published(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[pd.DataFrame, str], pd.DataFrame], message: str
):
    run, snapshot, rows = prepared()
    outside = of_split(rows, "test")[0]["image_id"]

    def spoilt(*args, **options):
        made = plan_smote(*args, **options)
        return dataclasses.replace(made, plan=Plan(spoil(made.plan.rows, outside)))

    monkeypatch.setattr(module, "plan_smote", spoilt)
    with pytest.raises(ArtifactIntegrityError, match=message):
        resample(run, snapshot.uri, embedding_of(run))
    assert list(run.store.list("resampling/")) == []


def test_a_plan_that_was_changed_is_not_read():
    run, snapshot, _ = prepared()
    record = resample(run, snapshot.uri, embedding_of(run))
    run.store.put(f"{key_of(run.store, record.uri)}{ROWS}", b"other")
    with pytest.raises(ArtifactIntegrityError, match="expected sha256"):
        read_plan(run.store, record.uri)
