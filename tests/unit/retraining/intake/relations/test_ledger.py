from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.intake.relations.ledger import Ledger, read_ledger
from include.retraining.intake.relations.near_duplicates import parse_hashes
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256
from tests.builders import CLASSIFIER
from tests.datasets import accept, row
from tests.unit.retraining.intake.deliveries import verdict_rows

FIRST, SECOND, THIRD = (date(2026, 1, day) for day in (1, 2, 3))
TRAIN, VALIDATION, TEST = 1, 2, 4


@pytest.fixture
def store() -> InMemoryStore:
    """Two days, the first of them taken in twice: `a` and the group `g` are in no current batch any more."""
    store = InMemoryStore()
    accept(store, FIRST, [row("a", split="test", group="g"), row("b", split="train", perceptual_hash=sha256(b"b"))])
    accept(store, FIRST, [row("b", split="train", perceptual_hash=sha256(b"b"))])
    accept(store, SECOND, [row("c", "poppy", split="validation", group="h"), row("b", "poppy", split="train")])
    return store


def everything(ledger: Ledger) -> np.ndarray:
    return np.ones(len(ledger), bool)


def content(ledger: Ledger) -> list[tuple]:
    return sorted(tuple(line.values()) for line in ledger.rows.to_pylist())


def test_what_was_ever_given_is_known(store: InMemoryStore):
    ledger = read_ledger(store, CLASSIFIER)

    given = ledger.splits_given("image_id", pd.Series(["c", "a", "nobody", "b", "a"]), [everything(ledger)])
    assert given.tolist() == [VALIDATION, TEST, 0, TRAIN, TEST]
    assert ledger.splits_given("group", pd.Series(["h", "g"]), [everything(ledger)]).tolist() == [VALIDATION, TEST]


def test_the_first_tier_that_knows_a_value_decides_and_of_several_splits_their_union_is_told(store: InMemoryStore):
    accept(store, THIRD, [row("a", split="train"), row("b", split="test")])
    ledger = read_ledger(store, CLASSIFIER)

    given = ledger.splits_given("image_id", pd.Series(["a", "b", "c"]), [ledger.is_of(THIRD), everything(ledger)])
    assert given.tolist() == [TRAIN, TEST, VALIDATION]
    assert ledger.splits_given("image_id", pd.Series(["a"]), [everything(ledger)]).tolist() == [TRAIN | TEST]


def test_images_before_a_day_are_those_of_current_batches_the_earliest_first(store: InMemoryStore):
    ledger = read_ledger(store, CLASSIFIER)

    before = ledger.images_before(pd.Series(["a", "b", "c"]), THIRD)

    assert before[["label", "split", "key"]].to_dict("index") == {
        "b": {"label": "daisy", "split": "train", "key": "incoming/flowers/b.png"},
        "c": {"label": "poppy", "split": "validation", "key": "incoming/flowers/c.png"},
    }
    assert list(ledger.images_before(pd.Series(["a", "b", "c"]), SECOND).index) == ["b"]
    assert ledger.images_before(pd.Series(["a", "b", "c"]), FIRST).empty


def test_superseded_rows_are_kept_once_and_only_where_no_other_row_says_the_same(store: InMemoryStore):
    accept(store, FIRST, [row("a", split="test", group="g"), row("d", split="train")])
    accept(store, FIRST, [row("e", split="train")])

    rows = read_ledger(store, CLASSIFIER).rows.to_pandas()

    assert sorted(zip(rows["image_id"], rows["is_current"], strict=True)) == [
        ("a", False),
        ("b", True),
        ("c", True),
        ("d", False),
        ("e", True),
    ]


def test_the_ledger_that_follows_a_day_is_the_one_that_is_read_afterwards(store: InMemoryStore):
    hashed = sha256(b"hash")
    accepted = verdict_rows(
        {"date": FIRST, "pixel_sha256": "x", "assigned_split": "test", "group": "h", "perceptual_hash": hashed},
        {"date": FIRST, "pixel_sha256": "b", "assigned_split": "train", "split": "test", "perceptual_hash": ""},
    )
    ledger = read_ledger(store, CLASSIFIER)

    followed = ledger.followed_by(FIRST, iter([accepted.iloc[:1], accepted.iloc[1:]]))

    accept(store, FIRST, [
        row("x", split="test", group="h", perceptual_hash=hashed, key=accepted["key"][0]),
        row("b", split="train", key=accepted["key"][1]),
    ])  # fmt: skip
    assert content(followed) == content(read_ledger(store, CLASSIFIER))
    assert content(ledger) != content(followed)


def test_a_day_that_accepts_nothing_has_no_current_rows_and_is_remembered(store: InMemoryStore):
    ledger = read_ledger(store, CLASSIFIER).followed_by(SECOND, iter(()))

    assert list(ledger.images_before(pd.Series(["b", "c"]), THIRD).index) == ["b"]
    assert ledger.splits_given("image_id", pd.Series(["c"]), [everything(ledger)]).tolist() == [VALIDATION]


def test_hashes_come_back_as_they_went_in(store: InMemoryStore):
    ledger = read_ledger(store, CLASSIFIER)

    (number,) = np.flatnonzero(ledger.hashes.present)
    assert ledger.rows["image_id"][number].as_py() == "b"
    assert (ledger.hashes.words[number] == parse_hashes(pd.Series([sha256(b"b")])).words[0]).all()


def test_an_image_is_settled_in_the_group_in_which_it_was_accepted(store: InMemoryStore):
    ledger = read_ledger(store, CLASSIFIER)

    settled = ledger.is_settled(pd.Series(["a", "a", "b", "nobody"]), pd.Series(["g", "h", "", "g"]))

    assert settled.tolist() == [True, False, True, False]


def test_nothing_accepted_is_an_empty_ledger():
    ledger = read_ledger(InMemoryStore(), CLASSIFIER)

    assert (len(ledger), len(ledger.hashes), len(ledger.splits)) == (0, 0, 0)
    assert ledger.images_before(pd.Series(["a"]), FIRST).empty
    assert ledger.splits_given("group", pd.Series(["g"]), [everything(ledger)]).tolist() == [0]
    assert ledger.splits_given("group", pd.Series([], dtype=str), [everything(ledger)]).tolist() == []


def test_a_superseded_revision_that_was_changed_is_not_trusted(store: InMemoryStore):
    for found in list(store.list("batches/flowers/2026-01-01/")):
        if found.key.endswith(".parquet"):
            store.put(found.key, b"other")

    with pytest.raises(ArtifactIntegrityError, match="manifest.parquet"):
        read_ledger(store, CLASSIFIER)


def test_a_row_takes_less_than_250_bytes():
    ledger = read_ledger(InMemoryStore(), CLASSIFIER)
    digests = [sha256(f"{number}".encode()) for number in range(2000)]
    rows = verdict_rows(
        *({"image": f"{digest[:40]}.png", "pixel_sha256": digest, "group": digest[:10]} for digest in digests)
    )

    assert ledger.followed_by(FIRST, iter([rows])).rows.nbytes / 2000 < 250
