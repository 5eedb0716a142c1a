from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from imblearn.over_sampling import SMOTE

from include.retraining.artifacts import PlanRecord, ResamplingRecord, SnapshotRecord
from include.retraining.balancing import resampling as module
from include.retraining.balancing.plan import Plan, read_plan
from include.retraining.balancing.resampling import resample
from include.retraining.balancing.samplers import plan_rows
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.run import Run
from tests.builders import LABELS, make_config, make_run
from tests.datasets import blob_vectors, embedding_of, publish_snapshot, split_rows, store_vectors
from tests.stores import DyingStore

COUNTS = {
    "train": {"daisy": 30, "poppy": 12, "orchid": 7},
    "validation": {"daisy": 5, "poppy": 5, "orchid": 5},
    "test": {"daisy": 5, "poppy": 5, "orchid": 5},
}
HEADS = {"linear": {"weight_decay": 1.0}}
SIMPLE = ("none", "class_weights", "logit_adjusted_loss")


def training(**resampling: dict) -> dict:
    """A section with the strategies that resampling is always shown beside, and these."""
    return {"heads": HEADS, "strategies": {**{name: {} for name in SIMPLE}, **resampling}}


def prepared(counts: dict[str, dict[str, int]] = COUNTS, **sections) -> tuple[Run, SnapshotRecord, list[dict]]:
    run = make_run(config=make_config(**sections))
    rows = split_rows(counts)
    store_vectors(run, rows, blob_vectors(rows, LABELS))
    return run, publish_snapshot(run, rows), rows


def of_split(rows: list[dict], split: str) -> list[dict]:
    return [row for row in rows if row["split"] == split]


def smote_of(run: Run, snapshot: SnapshotRecord) -> PlanRecord:
    return resample(run, snapshot.uri, embedding_of(run)).plans["smote"]


def test_a_plan_balances_the_train_split_and_tells_what_it_did():
    run, snapshot, _ = prepared()
    record = smote_of(run, snapshot)
    assert record.strategy == "smote"
    assert record.counts_before == COUNTS["train"]
    assert record.counts_asked == record.counts_after == dict.fromkeys(LABELS, 30)
    assert record.neighbours == dict.fromkeys(LABELS, 5)
    assert record.warnings == ()
    assert record.uri == f"s3://memory/resampling/flowers/{record.digest}/"
    assert record.noise_share == {"daisy": None, "poppy": 0.0, "orchid": 0.0}


def test_every_strategy_that_resamples_has_a_plan_under_its_name_and_no_other_has():
    sections = training(
        smote={},
        few={"strategy": "smote", "k_neighbors": 2, "sampling_strategy": {"up_to": 0.5}},
        smote_enn={"n_neighbors": 25},
        adasyn={},
    )
    run, snapshot, _ = prepared(training=sections)

    plans = resample(run, snapshot.uri, embedding_of(run)).plans

    assert list(plans) == ["smote", "few", "smote_enn", "adasyn"]
    assert [plan.strategy for plan in plans.values()] == list(plans)
    assert len({plan.digest for plan in plans.values()}) == 4
    assert plans["few"].counts_after == {"daisy": 30, "poppy": 15, "orchid": 15}
    assert plans["few"].neighbours == dict.fromkeys(LABELS, 2)
    for plan in plans.values():
        kept = read_plan(run.store, plan.uri).pairs
        assert sum(plan.counts_after.values()) == 49 + len(kept) - len(kept.dropped)


def test_where_no_strategy_resamples_there_is_no_plan_and_no_vector_is_read():
    run, snapshot, _ = prepared(training=training())
    assert resample(dataclasses.replace(run, store=DyingStore(0)), snapshot.uri, None) == ResamplingRecord({})


def test_the_parents_of_every_synthetic_row_are_train_images_of_its_class():
    run, snapshot, rows = prepared()
    plan = read_plan(run.store, smote_of(run, snapshot).uri)
    train = {row["image_id"]: row["label"] for row in of_split(rows, "train")}
    assert len(plan.pairs) == 18 + 23
    assert plan.row_ids.tolist() == sorted(train)
    for base, neighbour in zip(plan.row_ids[plan.pairs.base], plan.row_ids[plan.pairs.neighbour], strict=True):
        assert train[base] == train[neighbour]


def test_in_the_mode_of_imbalanced_learn_the_plan_is_its_smote_on_the_standard_scores_of_the_train_vectors():
    run, snapshot, rows = prepared(balancing={"random_streams": "imblearn", "seed": 3})
    plan = read_plan(run.store, smote_of(run, snapshot).uri)
    train = of_split(rows, "train")
    X = blob_vectors(rows, LABELS)[[row["split"] == "train" for row in rows]]
    scores = fit_scaler(X).transform(X)
    expected, _ = SMOTE(k_neighbors=5, random_state=3).fit_resample(scores, [row["label"] for row in train])
    image_ids = np.array([row["image_id"] for row in train])
    assert np.array_equal(plan.over(image_ids).interpolate(scores), expected[len(train) :])


def test_vectors_of_validation_and_test_images_decide_nothing():
    run, snapshot, rows = prepared()
    other = make_run(config=run.config)
    vectors = blob_vectors(rows, LABELS)
    vectors[[row["split"] != "train" for row in rows]] += 100
    store_vectors(other, rows, vectors)
    publish_snapshot(other, rows)
    assert smote_of(other, snapshot) == smote_of(run, snapshot)


def test_a_repeat_writes_nothing_and_says_the_same():
    run, snapshot, _ = prepared()
    record = smote_of(run, snapshot)
    again = dataclasses.replace(run, store=DyingStore(0, run.store.objects))
    assert smote_of(again, snapshot) == record


def test_another_seed_another_mode_and_another_k_are_another_plan():
    digests = set()
    for sections in (
        {},
        {"balancing": {"seed": 1}},
        {"balancing": {"random_streams": "imblearn"}},
        {"training": training(smote={"k_neighbors": 2})},
    ):
        run, snapshot, _ = prepared(**sections)
        digests.add(smote_of(run, snapshot).digest)
    assert len(digests) == 4


def test_the_k_of_a_small_class_is_adapted_reported_and_logged(caplog: pytest.LogCaptureFixture):
    run, snapshot, _ = prepared({**COUNTS, "train": {"daisy": 30, "poppy": 12, "orchid": 3}})
    record = smote_of(run, snapshot)
    assert record.neighbours == {"daisy": 5, "poppy": 5, "orchid": 2}
    assert record.counts_after == dict.fromkeys(LABELS, 30)
    (warning,) = record.warnings
    assert warning.startswith("Class 'orchid' has 3 train rows: ")
    assert f"smote: {warning}" in caplog.messages


def test_a_strategy_that_finds_no_place_is_filled_reported_and_logged(caplog: pytest.LogCaptureFixture):
    run, snapshot, _ = prepared(training=training(borderline_smote={}))
    record = resample(run, snapshot.uri, embedding_of(run)).plans["borderline_smote"]
    assert record.counts_after == dict.fromkeys(LABELS, 30)
    (warning,) = record.warnings
    assert warning.startswith("Class 'poppy' has 12 train rows and 30 were asked: none of its rows lies at the border")
    assert f"borderline_smote: {warning}" in caplog.messages


def test_the_noise_share_of_each_class_is_logged(caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO")
    run, snapshot, _ = prepared()
    smote_of(run, snapshot)
    assert "noise strategy=smote label=poppy added=18 share=0.000" in caplog.messages


def test_synthetic_rows_among_another_class_are_counted_as_noise():
    run, _, rows = prepared()
    relabelled = [
        {**row, "label": "orchid"} if row["label"] == "daisy" and number % 4 == 0 else row
        for number, row in enumerate(rows)
    ]
    record = smote_of(run, publish_snapshot(run, relabelled))
    assert record.noise_share["orchid"] > 0.2
    assert record.noise_share["poppy"] == 0


def test_classes_of_one_size_give_an_empty_plan_that_can_be_read():
    run, snapshot, _ = prepared({**COUNTS, "train": dict.fromkeys(LABELS, 8)})
    record = smote_of(run, snapshot)
    assert record.counts_before == record.counts_after == dict.fromkeys(LABELS, 8)
    assert record.noise_share == dict.fromkeys(LABELS)
    assert len(read_plan(run.store, record.uri).pairs) == 0


def test_a_train_image_without_a_vector_is_refused():
    run, _, rows = prepared()
    more = [*rows, {**rows[0], "image_id": "ff" * 32, "split": "train"}]
    with pytest.raises(ArtifactIntegrityError, match="none of 1 of them"):
        resample(run, publish_snapshot(run, more).uri, embedding_of(run))


def test_a_train_vector_that_says_nothing_is_refused_by_the_image_s_id():
    run = make_run()
    rows = split_rows(COUNTS)
    vectors = blob_vectors(rows, LABELS)
    position = next(position for position, row in enumerate(rows) if row["split"] == "train")
    vectors[position] = 0
    store_vectors(run, rows, vectors)
    with pytest.raises(ArtifactIntegrityError, match=f"got 1 that are constant: {rows[position]['image_id']}"):
        resample(run, publish_snapshot(run, rows).uri, embedding_of(run))


def a_row_from_the_test_split(plan: Plan, outside: str) -> Plan:
    return dataclasses.replace(plan, row_ids=np.array([*plan.row_ids[:-1], outside], dtype=object))


def rows_in_another_order(plan: Plan, outside: str) -> Plan:
    return dataclasses.replace(plan, row_ids=plan.row_ids[::-1])


def parents_of_two_classes(plan: Plan, outside: str) -> Plan:
    return dataclasses.replace(plan, pairs=dataclasses.replace(plan.pairs, base=plan.pairs.base[::-1]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (a_row_from_the_test_split, r"rows of the train split alone, got 1 that are not \(1 of test\)"),
        (rows_in_another_order, "rows with the labels of their images"),
        (parents_of_two_classes, "two parents of one class"),
    ],
)
def test_a_plan_that_leaks_is_refused_at_run_time_and_not_published(
    monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Plan, str], Plan], message: str
):
    run, snapshot, rows = prepared()
    outside = of_split(rows, "test")[0]["image_id"]

    def spoilt(*args):
        plan, sampled = plan_rows(*args)
        return spoil(plan, outside), sampled

    monkeypatch.setattr(module, "plan_rows", spoilt)
    with pytest.raises(ArtifactIntegrityError, match=message):
        resample(run, snapshot.uri, embedding_of(run))
    assert list(run.store.list("resampling/")) == []
