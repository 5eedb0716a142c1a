from __future__ import annotations

from typing import Any

import pytest

from include.retraining.artifacts import (
    Approval,
    CandidateRecord,
    ClassificationMetrics,
    EmbeddingPlan,
    EvaluationRecord,
    IntakeRecord,
    Lineage,
    Move,
    PromotionDecision,
    Provenance,
    ResamplingRecord,
    Retirement,
    SelectionRecord,
    SnapshotRecord,
)
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.records import from_json, read_record, to_json, write_record
from tests import builders, promotions

VALUES = [
    builders.make_candidate(),
    builders.make_metrics(),
    builders.make_embedding(),
    promotions.make_evaluation(champion=builders.make_metrics()),
    promotions.make_evaluation(),
    builders.make_intake(),
    builders.make_lineage(),
    promotions.make_move(),
    promotions.make_decision(),
    promotions.make_decision("it is worse"),
    builders.make_resampling(),
    builders.make_selection(),
    builders.make_snapshot(),
    promotions.PROVENANCE,
    Retirement(
        ("20260101T0200-0123456789ab",), by="somebody", retired_at=builders.STARTED_AT, reason="no longer needed"
    ),
    Approval("20260101T0200-0123456789ab", builders.RUN_ID, approved=False, by="", answered_at=builders.STARTED_AT),
]
KINDS = {
    Approval,
    CandidateRecord,
    ClassificationMetrics,
    EmbeddingPlan,
    EvaluationRecord,
    IntakeRecord,
    Lineage,
    Move,
    PromotionDecision,
    Provenance,
    ResamplingRecord,
    Retirement,
    SelectionRecord,
    SnapshotRecord,
}


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_equal_and_of_the_same_bytes(value: Any):
    store = InMemoryStore()
    assert write_record(store, "runs/r.json", value) == "s3://memory/runs/r.json"
    back = read_record(store, "runs/r.json", type(value))
    assert back == value
    assert to_json(back) == store.get("runs/r.json")


def test_every_kind_of_record_was_tried():
    assert {type(value) for value in VALUES} == KINDS


def test_numbers_come_back_to_the_last_bit():
    value = builders.make_metrics(ece=0.1 + 0.2)
    assert from_json(ClassificationMetrics, to_json(value), "s3://b/k").ece == 0.1 + 0.2


def test_a_number_that_is_none_comes_back_as_undefined_which_no_gate_lets_pass():
    value = builders.make_metrics(ece=float("nan"))
    assert from_json(ClassificationMetrics, to_json(value), "s3://b/k").ece is None


def test_a_missing_record_is_a_key_error():
    with pytest.raises(KeyError):
        read_record(InMemoryStore(), "runs/r.json", Move)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff",
        b"[]",
        b"{}",
        to_json(promotions.make_move()).replace(b"2026", b"year"),
        to_json(builders.make_embedding()),
    ],
)
def test_what_is_no_such_record_is_refused_with_where_it_lies(body: bytes):
    with pytest.raises(ArtifactIntegrityError, match=r"s3://b/k: expected a Move record, got \d+ invalid fields"):
        from_json(Move, body, "s3://b/k")
