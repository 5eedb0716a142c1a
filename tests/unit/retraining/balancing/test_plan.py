from __future__ import annotations

import numpy as np
import pytest

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.plan import PAIRS, ROWS, Plan, publish_plan, read_plan
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore
from tests.stores import DyingStore

IDS = np.array(["a", "b", "b#1", "c"], dtype=object)
X = np.array([[0, 0], [4, 8], [5, 7], [2, 2]], np.float32)


def plan(*, steps: tuple[float, ...] = (0.25, 0.5), dropped: tuple[int, ...] = (0, 3)) -> Plan:
    """Between `a` and `b`, and between `c` and `b#1`."""
    positions = [np.array(some, np.int32) for some in ((0, 3), (1, 2), dropped)]
    return Plan(IDS, Pairs(positions[0], positions[1], np.array(steps), positions[2]))


def test_over_the_same_rows_the_pairs_stay():
    pairs = plan().over(IDS)
    assert pairs.base.tolist() == [0, 3]
    assert pairs.neighbour.tolist() == [1, 2]
    assert pairs.dropped.tolist() == [0, 3]


@pytest.mark.parametrize("order", [[3, 1, 2, 0], [1, 2, 3, 0], [0, 1, 2, 3]])
def test_over_rows_in_another_order_the_pairs_make_the_same_vectors_and_drop_the_same_rows(order: list[int]):
    pairs = plan().over(IDS[order])
    assert np.array_equal(pairs.interpolate(X[order]), plan().pairs.interpolate(X))
    assert sorted(IDS[order][pairs.dropped]) == ["a", "c"]
    assert (np.diff(pairs.dropped) > 0).all()
    assert pairs.base.dtype == pairs.neighbour.dtype == pairs.dropped.dtype == np.int32


@pytest.mark.parametrize(
    ("row_ids", "message"),
    [
        (["a", "b", "b#1", "x"], "got one over 4 rows, 1 of which are no train rows"),
        (["a", "b", "b#1"], "expected a plan over the 3 train rows, got one over 4 rows, 1 of which"),
        (["a", "b", "b#1", "c", "d"], "expected a plan over the 5 train rows, got one over 4 rows, 0 of which"),
    ],
)
def test_over_other_rows_a_plan_is_refused(row_ids: list[str], message: str):
    with pytest.raises(ArtifactIntegrityError, match=message):
        plan().over(np.array(row_ids, dtype=object))


def test_what_is_published_is_read_again():
    store = InMemoryStore()
    uri, digest = publish_plan(store, "flowers", plan())
    found = read_plan(store, uri)
    assert uri == f"s3://memory/resampling/flowers/{digest}/"
    assert found.row_ids.tolist() == IDS.tolist()
    for name in ("base", "neighbour", "step", "dropped"):
        expected = getattr(plan().pairs, name)
        assert np.array_equal(getattr(found.pairs, name), expected)
        assert getattr(found.pairs, name).dtype == expected.dtype


def test_a_plan_without_synthetic_rows_can_be_published():
    store = InMemoryStore()
    nothing = np.empty(0, np.int32)
    uri, _ = publish_plan(store, "flowers", Plan(IDS, Pairs(nothing, nothing, np.empty(0))))
    assert len(read_plan(store, uri).pairs) == 0


def test_the_digest_is_that_of_the_content():
    digests = [
        publish_plan(InMemoryStore(), "flowers", it)[1]
        for it in (plan(), plan(), plan(steps=(0.25, 0.75)), plan(dropped=(0,)))
    ]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_publishing_again_writes_nothing():
    store = InMemoryStore()
    published = publish_plan(store, "flowers", plan())
    assert publish_plan(DyingStore(0, store.objects), "flowers", plan()) == published


@pytest.mark.parametrize("name", [ROWS, PAIRS])
def test_a_plan_that_was_changed_is_not_read(name: str):
    store = InMemoryStore()
    uri, _ = publish_plan(store, "flowers", plan())
    store.put(f"{key_of(store, uri)}{name}", b"other")
    with pytest.raises(ArtifactIntegrityError, match="expected sha256"):
        read_plan(store, uri)


def test_a_synthetic_row_takes_at_most_24_bytes():
    rng = np.random.default_rng(0)
    base, neighbour = rng.integers(0, 9000, (2, 40_000), dtype=np.int32)
    row_ids = np.array([f"{number:04d}" for number in range(9000)], dtype=object)
    store = InMemoryStore()
    uri, _ = publish_plan(store, "flowers", Plan(row_ids, Pairs(base, neighbour, rng.uniform(size=40_000))))
    assert len(store.get(f"{key_of(store, uri)}{PAIRS}")) < 24 * 40_000
