from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter

import pytest

from include.retraining.artifacts import ImageRef
from include.retraining.dataset import fetching
from include.retraining.dataset.fetching import MOST_HELD_PACKS, WORTH_IMAGES, fetched
from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.parallel import READ_AHEAD
from include.retraining.storage.publishing import sha256

IMAGES = 20  # of a pack


class CountingStore(InMemoryStore):
    """Counts how often each object is read."""

    def __init__(self):
        super().__init__()
        self.gets = Counter()
        self.counting = threading.Lock()

    def get(self, key):
        with self.counting:
            self.gets[key] += 1
        return super().get(key)


def body_of(ref):
    return f"the file of {ref.image_id}".encode()


def add_pack(store, number, images=IMAGES):
    """Puts a pack into a store, and the delivered objects; returns the references to its images."""
    names = [f"{number}-{image:03d}" for image in range(images)]
    bodies = [f"the file of {name}".encode() for name in names]
    pack = f"packs/{number}.bin"
    store.put(pack, b"".join(bodies))
    for name, body in zip(names, bodies, strict=True):
        store.put(f"incoming/{name}", body)
    size = len(bodies[0])
    return [
        ImageRef(name, f"incoming/{name}", sha256(body), pack, size * index, size)
        for index, (name, body) in enumerate(zip(names, bodies, strict=True))
    ]


def add_objects(store, count):
    """Puts images into a store that are in no pack."""
    refs = [ImageRef(f"loose {number}", f"incoming/{number}", "") for number in range(count)]
    for ref in refs:
        store.put(ref.key, body_of(ref))
    return [ImageRef(ref.image_id, ref.key, sha256(body_of(ref))) for ref in refs]


def test_a_pack_is_read_once_for_all_its_images():
    store = CountingStore()
    refs = [ref for number in range(10) for ref in add_pack(store, number)]

    assert list(fetched(store, refs)) == [body_of(ref) for ref in refs]

    assert store.gets == {f"packs/{number}.bin": 1 for number in range(10)}


def test_a_pack_is_not_read_for_few_images():
    store = CountingStore()
    refs = add_pack(store, 0)[: WORTH_IMAGES - 1]

    assert list(fetched(store, refs)) == [body_of(ref) for ref in refs]

    assert store.gets == {ref.key: 1 for ref in refs}


def test_few_images_that_are_much_of_a_pack_are_read_from_it(monkeypatch):
    store = CountingStore()
    refs = add_pack(store, 0)[:4]
    monkeypatch.setattr(fetching, "WORTH_BYTES", 4 * refs[0].size_bytes)

    assert list(fetched(store, refs)) == [body_of(ref) for ref in refs]

    assert store.gets == {"packs/0.bin": 1}


def test_images_of_a_few_packs_may_come_in_any_order():
    store = CountingStore()
    refs = [ref for number in range(MOST_HELD_PACKS) for ref in add_pack(store, number)]
    random.Random(1).shuffle(refs)

    assert list(fetched(store, refs)) == [body_of(ref) for ref in refs]

    assert store.gets == {f"packs/{number}.bin": 1 for number in range(MOST_HELD_PACKS)}


def test_images_of_many_packs_that_come_by_turns_are_read_one_by_one():
    store = CountingStore()
    by_pack = [add_pack(store, number) for number in range(MOST_HELD_PACKS + 1)]
    refs = [ref for turn in zip(*by_pack, strict=True) for ref in turn]

    assert list(fetched(store, refs)) == [body_of(ref) for ref in refs]

    assert store.gets == {ref.key: 1 for ref in refs}


def test_images_of_packs_and_objects_come_in_the_order_asked_for():
    store = CountingStore()
    refs = [*add_pack(store, 0), *add_objects(store, 100), *add_pack(store, 1)]
    random.Random(2).shuffle(refs)
    refs += refs[:30]

    assert list(fetched(store, refs)) == [body_of(ref) for ref in refs]


def test_nothing_asked_for_is_nothing_read():
    store = CountingStore()

    assert list(fetched(store, [])) == []

    assert not store.gets


def test_of_a_pack_with_a_flipped_bit_the_one_image_is_read_from_its_object(caplog):
    store = CountingStore()
    refs = add_pack(store, 0)
    body = bytearray(store.objects["packs/0.bin"])
    body[refs[7].offset + 3] ^= 1
    store.put("packs/0.bin", bytes(body))

    with caplog.at_level(logging.WARNING):
        assert list(fetched(store, refs)) == [body_of(ref) for ref in refs]

    assert store.gets == {"packs/0.bin": 1, refs[7].key: 1}
    (record,) = caplog.records
    assert "s3://memory/packs/0.bin" in record.message
    assert "1 of 20 images" in record.message


@pytest.mark.parametrize("left", [0, 1, 100, 170])
def test_of_a_pack_that_is_cut_off_the_rest_is_read_from_the_objects(left, caplog):
    store = CountingStore()
    refs = add_pack(store, 0)
    store.put("packs/0.bin", store.objects["packs/0.bin"][:left])

    with caplog.at_level(logging.WARNING):
        assert list(fetched(store, refs)) == [body_of(ref) for ref in refs]

    behind = [ref for ref in refs if ref.offset + ref.size_bytes > left]
    assert store.gets == {"packs/0.bin": 1, **{ref.key: 1 for ref in behind}}
    assert len(caplog.records) == 1


def test_a_pack_that_is_gone_is_told_of_once(caplog):
    store = CountingStore()
    refs = [*add_pack(store, 0), *add_pack(store, 1)]
    store.delete("packs/0.bin")

    with caplog.at_level(logging.WARNING):
        assert list(fetched(store, refs)) == [body_of(ref) for ref in refs]

    assert ["packs/0.bin" in record.message for record in caplog.records] == [True]


@pytest.mark.parametrize(("offset", "size"), [(10**9, 16), (3, 16), (0, 10**9), (-5, 5), (0, -1)])
def test_a_place_that_an_index_makes_up_is_found_out(offset, size):
    store = CountingStore()
    refs = add_pack(store, 0)
    told = [*refs[:-1], ImageRef(refs[-1].image_id, refs[-1].key, refs[-1].bytes_sha256, refs[-1].pack, offset, size)]

    assert list(fetched(store, told)) == [body_of(ref) for ref in refs]


def test_an_image_that_neither_pack_nor_object_has_as_it_was_accepted_stops_there():
    store = CountingStore()
    refs = add_pack(store, 0)
    store.put("packs/0.bin", store.objects["packs/0.bin"].replace(body_of(refs[5]), b"x" * refs[5].size_bytes))
    store.put(refs[5].key, b"another image")
    bodies = fetched(store, refs)

    before = [next(bodies) for _ in range(5)]
    with pytest.raises(ArtifactIntegrityError) as caught:
        next(bodies)

    assert before == [body_of(ref) for ref in refs[:5]]
    assert caught.value.uri == f"s3://memory/{refs[5].key}"
    assert caught.value.got == f"sha256 {sha256(b'another image')}"


def test_a_store_that_is_away_is_no_reason_to_distrust_a_pack(caplog):
    class Store(InMemoryStore):
        def get(self, key):
            raise StorageUnavailableError(f"get {key}", "down")

    refs = add_pack(InMemoryStore(), 0)

    with pytest.raises(StorageUnavailableError, match="packs/0.bin"):
        list(fetched(Store(), refs))

    assert not caplog.records


class HeldStore(CountingStore):
    """Tells, whenever an object is read, what was read and not yet taken."""

    def __init__(self):
        super().__init__()
        self.most_packs = 0
        self.most_objects = 0
        self.taken = set()

    def get(self, key):
        body = super().get(key)
        with self.counting:
            untaken = [it for it in self.gets if it not in self.taken]
            self.most_packs = max(self.most_packs, sum(it.startswith("packs/") for it in untaken))
            self.most_objects = max(self.most_objects, sum(not it.startswith("packs/") for it in untaken))
        return body


def take_all(store, refs):
    """Takes all images; what was taken whole is remembered when the next image is asked for."""
    left = Counter(ref.pack or ref.key for ref in refs)
    for ref, body in zip(refs, fetched(store, refs), strict=True):
        assert body == body_of(ref)
        left[ref.pack or ref.key] -= 1
        if not left[ref.pack or ref.key]:
            with store.counting:
                store.taken.add(ref.pack or ref.key)


def test_a_few_packs_are_in_memory_at_a_time():
    store = HeldStore()
    refs = [ref for number in range(40) for ref in add_pack(store, number)]

    take_all(store, refs)

    assert 2 <= store.most_packs <= 2 * MOST_HELD_PACKS + 1


def test_packs_that_are_used_by_turns_are_all_held_and_no_more():
    store = HeldStore()
    refs = []
    for start in range(0, 40, MOST_HELD_PACKS):
        group = [ref for number in range(start, start + MOST_HELD_PACKS) for ref in add_pack(store, number)]
        random.Random(start).shuffle(group)
        refs += group

    take_all(store, refs)

    assert MOST_HELD_PACKS <= store.most_packs <= 2 * MOST_HELD_PACKS + 1


def test_objects_are_read_ahead_and_not_without_bounds():
    store = HeldStore()
    refs = add_objects(store, 1000)

    take_all(store, refs)

    assert 2 <= store.most_objects <= READ_AHEAD + 1


def test_objects_that_turn_out_large_are_read_less_far_ahead(monkeypatch):
    store = HeldStore()
    refs = add_objects(store, 300)
    size = len(body_of(refs[-1]))
    monkeypatch.setattr(fetching, "READ_AHEAD_BYTES", 5 * size)
    monkeypatch.setattr(fetching, "_FIRST_GUESS_BYTES", 1)
    bodies = fetched(store, refs)

    for ref in refs:
        assert next(bodies) == body_of(ref)
        with store.counting:
            store.taken.add(ref.key)
            if len(store.taken) == 200:
                store.most_objects = 0

    assert store.most_objects <= 6


@pytest.mark.parametrize("kind", ["objects", "packs"])
def test_reading_ahead_goes_on_to_the_end(kind, monkeypatch):
    store = CountingStore()
    if kind == "packs":
        refs = [ref for number in range(30) for ref in add_pack(store, number)]
    else:
        refs = add_objects(store, 500)
    monkeypatch.setattr(fetching, "_FIRST_GUESS_BYTES", fetching.READ_AHEAD_BYTES // 4)
    bodies = fetched(store, refs)
    n_taken = len(refs) - 3 * IMAGES

    for _ in range(n_taken):
        next(bodies)

    ahead = refs[n_taken + IMAGES]
    deadline = time.monotonic() + 20
    while not store.gets[ahead.pack or ahead.key] and time.monotonic() < deadline:
        time.sleep(0.001)
    assert store.gets[ahead.pack or ahead.key] == 1
    bodies.close()


def test_an_object_larger_than_all_read_ahead_is_read(monkeypatch):
    store = HeldStore()
    monkeypatch.setattr(fetching, "READ_AHEAD_BYTES", 1)

    take_all(store, [*add_objects(store, 5), *add_pack(store, 0)])

    assert store.most_objects <= 2


def test_who_stops_early_has_the_rest_not_read():
    store = CountingStore()
    refs = add_objects(store, 1000)
    bodies = fetched(store, refs)

    next(bodies)
    bodies.close()

    assert len(store.gets) <= READ_AHEAD + 1
