from __future__ import annotations

import pytest

from include.retraining.artifacts import BatchPointer, Move
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.run import DECISION, PROMOTION, run_key
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_run
from tests.promotions import make_move


def test_a_record_comes_back_by_its_name_and_by_its_uri():
    run = make_run()
    uri = run.record(PROMOTION, make_move())
    assert uri == "s3://memory/runs/flowers/scheduled__2026-01-03T02-00-00-00-00/promotion.json"
    assert run.recall(PROMOTION, Move) == make_move()
    assert run.load(uri, Move) == make_move()


def test_a_later_record_of_a_name_replaces_the_earlier_one():
    run = make_run()
    run.record(PROMOTION, make_move("a"))
    run.record(PROMOTION, make_move("b"))
    assert run.recall(PROMOTION, Move).resulting == "b"


def test_what_was_not_recorded_is_a_key_error_or_none_as_asked():
    run = make_run()
    with pytest.raises(KeyError):
        run.recall(DECISION, Move)
    assert run.recall_if_any(DECISION, Move) is None


def test_a_record_of_another_kind_is_refused_and_not_taken_for_none():
    run = make_run()
    run.record(PROMOTION, BatchPointer(digest="a", revision=1))
    with pytest.raises(ArtifactIntegrityError, match="expected a Move record"):
        run.recall_if_any(PROMOTION, Move)


def test_a_uri_of_another_bucket_is_refused():
    with pytest.raises(ValueError, match=r"Expected a URI that starts with s3://memory/; got s3://other/a\.json"):
        make_run().load("s3://other/a.json", Move)


def test_a_run_forgets_its_own_records_and_no_other_s():
    store = InMemoryStore()
    first, second = make_run(store, run_id="manual__1"), make_run(store, run_id="manual__10")
    for run in (first, second):
        run.record(PROMOTION, make_move())
        run.record("candidates/smote-linear.json", make_move())
    store.put("models/flowers/champion.json", b"{}")
    first.forget()
    assert [found.key for found in store.list("")] == [
        "models/flowers/champion.json",
        "runs/flowers/manual__10/candidates/smote-linear.json",
        "runs/flowers/manual__10/promotion.json",
    ]


@pytest.mark.parametrize(
    ("run_id", "key"),
    [
        ("backfill__2026-01-03T02:00:00+00:00", "backfill__2026-01-03T02-00-00-00-00"),
        ("manual / ../x", "manual-..-x"),
        ("über", "-ber"),
    ],
)
def test_a_run_id_becomes_one_harmless_part_of_a_key(run_id: str, key: str):
    assert run_key(run_id) == key
