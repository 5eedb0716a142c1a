"""Augmented views are rows of their train images: they may be parents there, and decide nothing anywhere else."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.retraining.artifacts import PlanRecord, SnapshotRecord
from include.retraining.balancing import resampling as module
from include.retraining.balancing.plan import read_plan
from include.retraining.balancing.resampling import resample
from include.retraining.balancing.samplers import plan_rows
from include.retraining.embedding.features import image_of, read_train_features
from include.retraining.embedding.store.vectors import write_part
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.run import Run
from tests.builders import LABELS, make_config, make_run
from tests.datasets import blob_vectors, embedding_of, publish_snapshot, split_rows, store_vectors

COUNTS = {
    "train": {"daisy": 12, "poppy": 7, "orchid": 3},
    "validation": {"daisy": 4, "poppy": 4, "orchid": 4},
    "test": {"daisy": 4, "poppy": 4, "orchid": 4},
}


def prepared(
    views: int, train: dict[str, int] = COUNTS["train"], outside: float = 0.0
) -> tuple[Run, SnapshotRecord, list[dict]]:
    """A run whose store has views of every image: a test image here may be another classifier's train image.

    Vectors of what is not in the train split are moved by `outside`.
    """
    run = make_run(config=make_config(embedding={"views": views}))
    rows = split_rows({**COUNTS, "train": train})
    moved = np.array([[0.0 if row["split"] == "train" else outside] for row in rows], np.float32)
    vectors = blob_vectors(rows, LABELS) + moved
    store_vectors(run, rows, vectors)
    for view, fingerprint in enumerate(embedding_of(run).view_fingerprints, start=1):
        write_part(run.store, fingerprint, [row["image_id"] for row in rows], vectors + np.float32(0.01 * view))
    return run, publish_snapshot(run, rows), rows


def smote_of(run: Run, snapshot: SnapshotRecord) -> PlanRecord:
    return resample(run, snapshot.uri, embedding_of(run)).plans["smote"]


@settings(max_examples=25)
@given(views=st.integers(0, 3), sizes=st.tuples(*[st.integers(1, 9)] * 3))
def test_parents_are_always_train_images_of_the_row_s_class_or_views_of_them(views: int, sizes: tuple[int, ...]):
    run, snapshot, rows = prepared(views, dict(zip(LABELS, sizes, strict=True)))

    plan = read_plan(run.store, smote_of(run, snapshot).uri)

    train = {row["image_id"]: row["label"] for row in rows if row["split"] == "train"}
    allowed = {f"{image_id}{mark}" for image_id in train for mark in ("", *(f"#{view + 1}" for view in range(views)))}
    assert set(plan.row_ids) == allowed
    for base, neighbour in zip(plan.row_ids[plan.pairs.base], plan.row_ids[plan.pairs.neighbour], strict=True):
        assert train[image_of(base)] == train[image_of(neighbour)]


def test_views_are_counted_as_rows_and_every_class_reaches_the_largest():
    run, snapshot, _ = prepared(views=2)
    record = smote_of(run, snapshot)
    assert record.counts_before == {"daisy": 36, "poppy": 21, "orchid": 9}
    assert record.counts_after == dict.fromkeys(LABELS, 36)


def test_views_are_parents_too_and_every_synthetic_row_can_be_made():
    run, snapshot, rows = prepared(views=2)
    embedding = embedding_of(run)
    plan = read_plan(run.store, smote_of(run, snapshot).uri)
    train = read_train_features(run.store, embedding, [row["image_id"] for row in rows if row["split"] == "train"])
    parents = plan.row_ids[np.concatenate([plan.pairs.base, plan.pairs.neighbour])]
    assert any("#" in parent for parent in parents)
    assert plan.over(train.row_ids).interpolate(train.X).shape == (len(plan.pairs), train.X.shape[1])


def test_views_of_validation_and_test_images_decide_nothing():
    run, snapshot, _ = prepared(views=2)
    other, _, _ = prepared(views=2, outside=100.0)
    assert smote_of(other, snapshot) == smote_of(run, snapshot)


def test_views_of_train_images_do_decide():
    without, snapshot, _ = prepared(views=0)
    with_views, _, _ = prepared(views=2)
    found = [smote_of(run, snapshot).digest for run in (without, with_views)]
    assert found[0] != found[1]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_view_of_an_image_outside_the_train_split_is_refused_at_run_time(monkeypatch: pytest.MonkeyPatch, split: str):
    run, snapshot, rows = prepared(views=1)
    stranger = next(row["image_id"] for row in rows if row["split"] == split)

    def spoilt(*args):
        plan, sampled = plan_rows(*args)
        row_ids = plan.row_ids.copy()
        row_ids[plan.pairs.neighbour[0]] = f"{stranger}#1"
        return dataclasses.replace(plan, row_ids=row_ids), sampled

    monkeypatch.setattr(module, "plan_rows", spoilt)
    with pytest.raises(
        ArtifactIntegrityError, match=f"train split alone, got 1 that are not .1 of {split}.: {stranger}#1"
    ):
        resample(run, snapshot.uri, embedding_of(run))
    assert list(run.store.list("resampling/")) == []
