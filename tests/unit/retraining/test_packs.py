from __future__ import annotations

import hashlib
import logging
from datetime import UTC, date, datetime
from itertools import groupby

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.retraining import packs
from include.retraining.errors import StorageUnavailableError
from include.retraining.packs import FEWEST_IMAGES, Place, keep_small, locate
from include.retraining.schemas import PACK_INDEX
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import sha256
from include.retraining.storage.tables import from_parquet, to_parquet
from tests.builders import CLASSIFIER
from tests.stores import DyingStore, RememberingStore, holding

DAY = date(2026, 1, 2)
NEXT_DAY = date(2026, 1, 3)
PREFIX = layout.packs(CLASSIFIER, DAY)
BODIES = [f"image {number}".encode() for number in range(20)]


def keep(store, bodies=BODIES, days=None):
    return list(keep_small(store, CLASSIFIER, days or [DAY] * len(bodies), bodies))


def found(store, bodies, day=DAY):
    """What the places of bodies hold; None where there is no place."""
    places = locate(store, CLASSIFIER, day, [sha256(body) for body in bodies])
    return [place and store.objects[place.pack][place.offset : place.offset + place.size_bytes] for place in places]


def index_key(store):
    (key,) = (key for key in store.objects if key.endswith(packs.INDEX))
    return key


def rewrite_index(store, **columns):
    key = index_key(store)
    index = from_parquet(store.objects[key], PACK_INDEX, key)
    store.objects[key] = to_parquet(index.assign(**columns), PACK_INDEX)


@pytest.fixture
def small_packs(monkeypatch):
    """Packs of 60 bytes, of images of at most 40."""
    monkeypatch.setattr(packs, "PACK_BYTES", 60)
    monkeypatch.setattr(packs, "SMALL_BYTES", 40)
    monkeypatch.setattr(packs, "MOST_PACK_BYTES", 100)
    monkeypatch.setattr(packs, "FEWEST_IMAGES", 2)


def warnings_in(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_small_images_lie_in_one_object_and_every_body_goes_on_unchanged():
    store = InMemoryStore()

    passed_on = keep(store)

    assert passed_on == BODIES
    pack = f"{PREFIX}{sha256(b''.join(BODIES))}"
    assert store.objects[f"{pack}.bin"] == b"".join(BODIES)
    assert sorted(store.objects) == [f"{pack}.bin", f"{pack}.parquet"]
    digest = sha256(BODIES[1])
    assert locate(store, CLASSIFIER, DAY, [digest]) == [Place(f"{pack}.bin", len(BODIES[0]), len(BODIES[1]))]


def test_what_is_large_missing_or_empty_is_passed_on_and_not_packed():
    store = InMemoryStore()
    bodies = [*BODIES, bytes(packs.SMALL_BYTES), bytes(packs.SMALL_BYTES + 1), None, b""]

    assert keep(store, bodies) == bodies

    assert found(store, [bytes(packs.SMALL_BYTES), bytes(packs.SMALL_BYTES + 1), b""]) == [
        bytes(packs.SMALL_BYTES),
        None,
        None,
    ]


def test_a_pack_of_few_images_is_not_worth_writing():
    store = InMemoryStore()

    keep(store, BODIES[: FEWEST_IMAGES - 1])
    keep(store, [BODIES[0]] * FEWEST_IMAGES)  # one image, many times

    assert store.objects == {}


def test_an_image_that_comes_twice_lies_in_a_pack_once():
    store = InMemoryStore()

    keep(store, BODIES + BODIES)

    assert store.objects[f"{PREFIX}{sha256(b''.join(BODIES))}.bin"] == b"".join(BODIES)
    assert found(store, BODIES) == BODIES


BODY = st.none() | st.binary(max_size=45)


@given(deliveries=st.lists(st.tuples(st.sampled_from((DAY, NEXT_DAY)), BODY), max_size=40))
def test_whatever_is_delivered_comes_through_and_is_found_where_it_was_packed(deliveries):
    deliveries.sort(key=lambda it: it[0])  # a delivery's bodies come day by day
    store = InMemoryStore()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packs, "PACK_BYTES", 60)
        patch.setattr(packs, "SMALL_BYTES", 40)
        patch.setattr(packs, "FEWEST_IMAGES", 2)

        passed_on = keep(store, [body for _, body in deliveries], [day for day, _ in deliveries])

    assert passed_on == [body for _, body in deliveries]
    for day, rows in groupby(deliveries, key=lambda it: it[0]):
        bodies = [body for _, body in rows if body is not None]
        for body, piece in zip(bodies, found(store, bodies, day), strict=True):
            assert piece in (body, None)
            assert piece is None or len(body) <= 40
        small = {body for body in bodies if 0 < len(body) <= 40}
        packed = [body for key, body in store.objects.items() if f"/{day}/" in key and key.endswith(packs.PACK)]
        assert all(len(body) < 60 + 40 for body in packed)
        # Only the images of packs too small to be written are not found: of one image, after each full pack.
        assert sum(piece is None for piece in found(store, sorted(small), day)) <= len(packed) + 1


@pytest.mark.usefixtures("small_packs")
def test_full_packs_lose_nothing_and_the_rest_of_a_day_is_written_too():
    store = InMemoryStore()
    days = [DAY] * 12 + [NEXT_DAY] * 8

    keep(store, BODIES, days)

    assert found(store, BODIES[:12], DAY) == BODIES[:12]
    assert found(store, BODIES[12:], NEXT_DAY) == BODIES[12:]
    assert found(store, BODIES[12:], DAY) == [None] * 8
    assert sum(key.endswith(packs.PACK) for key in store.objects) == 3


@pytest.mark.usefixtures("small_packs")
def test_same_bodies_again_write_nothing():
    store = InMemoryStore()
    keep(store)

    again = DyingStore(0, store.objects)

    assert keep(again) == BODIES


def test_an_index_is_written_after_its_pack():
    store = RememberingStore()

    keep(store)

    assert [len(state) for state in store.states] == [0, 1]
    assert [key for key in store.states[1] if key.endswith(packs.INDEX)] == []


@pytest.mark.usefixtures("small_packs")
@pytest.mark.parametrize("writes", range(6))
def test_a_writer_that_is_killed_leaves_nothing_wrong_and_is_repeated_to_the_same_packs(writes):
    whole = InMemoryStore()
    keep(whole)
    dying = DyingStore(writes)

    with pytest.raises(StorageUnavailableError):
        keep(dying)

    left = holding(dying.objects)
    assert all(piece in (body, None) for body, piece in zip(BODIES, found(left, BODIES), strict=True))
    keep(left)
    assert left.objects == whole.objects
    assert len(whole.objects) > 5


def test_a_pack_whose_index_was_lost_is_written_again():
    store = InMemoryStore()
    keep(store)
    whole = dict(store.objects)
    store.delete(index_key(store))
    assert found(store, BODIES) == [None] * len(BODIES)

    keep(store)

    assert store.objects == whole


def test_an_index_whose_pack_was_lost_is_of_no_use_until_the_pack_is_written_again():
    store = InMemoryStore()
    keep(store)
    store.delete(index_key(store).replace(packs.INDEX, packs.PACK))
    assert found(store, BODIES) == [None] * len(BODIES)

    keep(store)

    assert found(store, BODIES) == BODIES


@pytest.mark.usefixtures("small_packs")
def test_who_stops_early_waits_for_no_more_than_what_was_begun():
    store = InMemoryStore()
    bodies = keep_small(store, CLASSIFIER, [DAY] * len(BODIES), iter(BODIES))

    taken = [next(bodies) for _ in range(10)]
    bodies.close()

    assert taken == BODIES[:10]
    assert sum(key.endswith(packs.INDEX) for key in store.objects) == 1


@pytest.mark.usefixtures("small_packs")
def test_a_slow_store_bounds_what_waits_for_it(monkeypatch):
    taken: list[bytes] = []
    written: list[bytes] = []

    class Store(InMemoryStore):
        def put(self, key, body, *, content_type="application/octet-stream"):
            super().put(key, body, content_type=content_type)
            if key.endswith(packs.INDEX):
                written.append(self.objects[key.replace(packs.INDEX, packs.PACK)])

    def take(body):
        taken.append(body)
        assert sum(map(len, taken)) - sum(map(len, written)) <= 2 * packs.MOST_PACK_BYTES
        return body

    many = [f"image {number:03d}".encode() for number in range(200)]
    keep(Store(), map(take, many), [DAY] * len(many))

    assert len(taken) == 200
    assert b"".join(written) == b"".join(many)


def test_days_and_bodies_must_pair():
    with pytest.raises(ValueError, match="longer"):
        keep(InMemoryStore(), BODIES, [DAY])


def test_nothing_is_found_where_there_is_no_pack():
    assert locate(InMemoryStore(), CLASSIFIER, DAY, ["no digest at all"]) == [None]


def test_places_are_looked_for_among_the_packs_of_that_day_and_classifier_only():
    store = InMemoryStore()
    keep(store)
    digests = [sha256(body) for body in BODIES]

    assert locate(store, CLASSIFIER, NEXT_DAY, digests) == [None] * len(BODIES)
    assert locate(store, "insects", DAY, digests) == [None] * len(BODIES)


def test_of_two_packs_with_an_image_the_newer_one_is_named():
    store = InMemoryStore()
    keep(store, BODIES)
    (older,) = {place.pack for place in locate(store, CLASSIFIER, DAY, [sha256(body) for body in BODIES])}
    store.now = datetime(2026, 1, 5, tzinfo=UTC)
    more = [b"one more", *BODIES]
    keep(store, more)

    places = locate(store, CLASSIFIER, DAY, [sha256(body) for body in more])

    assert len({place.pack for place in places}) == 1
    assert older not in {place.pack for place in places}


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"offset": lambda index: index["offset"] - 1}, "images inside the"),
        ({"offset": lambda index: index["offset"] + 1}, "images inside the"),
        ({"offset": lambda index: index["offset"] + 2**62}, "images inside the"),
        ({"size_bytes": lambda index: index["size_bytes"] * 0}, "images inside the"),
        ({"size_bytes": lambda index: index["size_bytes"] * 0 + (2**63 - 1)}, "images inside the"),
        ({"size_bytes": lambda index: index["size_bytes"] * 0 + (-(2**63))}, "images inside the"),
        ({"offset": lambda index: index["offset"] + 1, "size_bytes": [2**63 - 1] * len(BODIES)}, "images inside the"),
        ({"offset": lambda index: pd.array([None] * len(index), "Int64")}, "without gaps"),
        ({"bytes_sha256": lambda index: [None] * len(index)}, "without gaps"),
    ],
)
def test_an_index_that_points_out_of_its_pack_is_passed_over_with_a_warning(columns, told, caplog):
    store = InMemoryStore()
    keep(store)
    rewrite_index(store, **columns)

    with caplog.at_level(logging.WARNING):
        assert found(store, BODIES) == [None] * len(BODIES)

    assert [told in warning for warning in warnings_in(caplog)] == [True]
    assert index_key(store) in caplog.text


def test_bytes_that_are_no_index_are_passed_over_with_a_warning(caplog):
    store = InMemoryStore()
    keep(store)
    other = [*BODIES, b"an image of a pack that is whole"]
    keep(store, other)
    broken = f"{PREFIX}{sha256(b''.join(BODIES))}{packs.INDEX}"
    store.objects[broken] = store.objects[broken][:-1]

    with caplog.at_level(logging.WARNING):
        assert found(store, other) == other

    assert len(warnings_in(caplog)) == 1
    assert broken in caplog.text


def test_an_index_that_does_not_fit_the_pack_any_more_is_passed_over():
    store = InMemoryStore()
    keep(store)
    pack = index_key(store).replace(packs.INDEX, packs.PACK)
    store.objects[pack] = store.objects[pack][:-1]

    assert found(store, BODIES) == [None] * len(BODIES)


def test_a_pack_larger_than_any_that_is_written_is_passed_over(monkeypatch):
    store = InMemoryStore()
    keep(store)
    monkeypatch.setattr(packs, "MOST_PACK_BYTES", 10)

    assert found(store, BODIES) == [None] * len(BODIES)


def test_an_index_that_another_image_s_bytes_are_named_in_is_believed_until_they_are_read():
    store = InMemoryStore()
    keep(store)
    digests = [hashlib.sha256(body).digest() for body in BODIES]
    rewrite_index(store, bytes_sha256=digests[1:] + digests[:1])

    assert found(store, BODIES)[1] == BODIES[0]


def test_a_repeated_digest_stands_for_its_first_place():
    store = InMemoryStore()
    keep(store)
    digest = hashlib.sha256(BODIES[0]).digest()
    rewrite_index(store, bytes_sha256=[digest] * len(BODIES))

    assert found(store, BODIES[:2]) == [BODIES[0], None]
