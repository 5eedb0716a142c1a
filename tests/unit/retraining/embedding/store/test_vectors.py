from __future__ import annotations

import contextlib
import hashlib
import threading
from collections.abc import Callable

import numpy as np
import pytest

from include.retraining.embedding.store import index as index_module
from include.retraining.embedding.store.index import merge_index, open_index
from include.retraining.embedding.store.parts import IDS
from include.retraining.embedding.store.vectors import damaged, read_vectors, stored_part, write_part
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, StorageUnavailableError
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST, manifest_of, problems_of
from tests.stores import DyingStore, RememberingStore, holding

FINGERPRINT = "f00d"
FILES = (IDS, "vectors-", MANIFEST)


def ids_of(letters: str) -> list[str]:
    return [hashlib.sha256(letter.encode()).hexdigest() for letter in letters]


def vectors_of(letters: str) -> np.ndarray:
    """A vector a letter that tells which one it is."""
    return np.array([[float(ord(letter)), -float(ord(letter)), 0.5] for letter in letters], np.float32)


def write(store: InMemoryStore, letters: str, *, plus: float = 0.0) -> str:
    return key_of(store, write_part(store, FINGERPRINT, ids_of(letters), vectors_of(letters) + np.float32(plus)))


def read(store: InMemoryStore, letters: str) -> np.ndarray:
    return read_vectors(store, FINGERPRINT, ids_of(letters))


def key_in(store: InMemoryStore, prefix: str, file: str) -> str:
    (key,) = (key for key in store.objects if key.startswith(f"{prefix}{file}"))
    return key


def flip(store: InMemoryStore, key: str, at: int = -1) -> None:
    body = bytearray(store.objects[key])
    body[at] ^= 1
    store.put(key, bytes(body))


def vanish(store: InMemoryStore, key: str) -> None:
    store.delete(key)


def stored(store: InMemoryStore, letters: str) -> str:
    """Those of the letters that have a vector."""
    missing = open_index(store, FINGERPRINT).missing(ids_of(letters))
    return "".join(letter for letter, is_missing in zip(letters, missing, strict=True) if not is_missing)


@pytest.fixture
def store() -> InMemoryStore:
    store = InMemoryStore()
    write(store, "abc")
    write(store, "de")
    return store


def test_vectors_come_in_the_order_asked_for_from_whichever_part_holds_them(store: InMemoryStore):
    found = read(store, "eacd")

    assert np.array_equal(found, vectors_of("eacd"))
    assert found.dtype == np.float32


def test_a_vector_of_another_extractor_is_not_taken(store: InMemoryStore):
    write_part(store, "beef", ids_of("z"), vectors_of("z"))

    with pytest.raises(ArtifactIntegrityError, match=r"vectors of 2 images, got none of 1 of them; a new run computes"):
        read(store, "az")


def test_where_nothing_is_stored_yet_every_vector_is_missing():
    with pytest.raises(ArtifactIntegrityError, match="none of 2 of them"):
        read(InMemoryStore(), "ab")


def test_a_part_is_found_by_its_images_in_any_order_and_by_no_others(store: InMemoryStore):
    part = write(store, "xyz")

    assert stored_part(store, FINGERPRINT, ids_of("zxy")) == f"s3://memory/{part}"
    for letters in ("xy", "xyzw", "abcde", ""):
        assert stored_part(store, FINGERPRINT, ids_of(letters)) is None
    assert stored_part(store, "beef", ids_of("xyz")) is None


def test_the_same_images_computed_twice_are_one_part(store: InMemoryStore):
    before = dict(store.objects)

    write(store, "abc")
    write(store, "cab")

    assert store.objects == before


def test_the_vectors_that_were_published_first_stay_where_another_processor_gives_others(store: InMemoryStore):
    before = dict(store.objects)

    write(store, "abc", plus=1e-5)

    assert store.objects == before


def test_a_shard_that_was_cut_otherwise_the_second_time_gives_the_same_vectors(store: InMemoryStore):
    write(store, "cd")

    assert np.array_equal(read(store, "abcde"), vectors_of("abcde"))


def test_which_of_two_parts_is_read_does_not_depend_on_what_is_merged(store: InMemoryStore, monkeypatch):
    write(store, "cdxy", plus=1)
    before = read(store, "abcdexy")
    monkeypatch.setattr(index_module, "MOST_LOOSE_PARTS", 0)

    merge_index(store, FINGERPRINT)

    assert open_index(store, FINGERPRINT).merged_name
    assert np.array_equal(read(store, "abcdexy"), before)


@pytest.mark.parametrize("writes", range(3))
def test_a_part_whose_writer_was_killed_is_not_seen_and_a_repeat_completes_it(store: InMemoryStore, writes: int):
    dying = DyingStore(writes, store.objects)
    with pytest.raises(StorageUnavailableError):
        write(dying, "fg")
    left = holding(dying.objects)

    assert stored(left, "abcdefg") == "abcde"
    assert stored_part(left, FINGERPRINT, ids_of("fg")) is None
    with pytest.raises(ArtifactIntegrityError):
        read(left, "f")

    write(left, "fg")

    assert np.array_equal(read(left, "fa"), vectors_of("fa"))


def test_only_parts_that_hold_an_asked_image_are_fetched(store: InMemoryStore):
    fetched = []

    class WatchedStore(InMemoryStore):
        def get(self, key):
            fetched.append(key)
            return super().get(key)

    watched = WatchedStore()
    watched.objects.update(store.objects)

    read_vectors(watched, FINGERPRINT, ids_of("d"))

    assert sum("/vectors-" in key for key in fetched) == 1


@pytest.mark.parametrize("harm", [flip, vanish])
@pytest.mark.parametrize("file", FILES)
def test_a_part_that_was_harmed_is_no_stored_part_and_writing_it_again_repairs_it(
    store: InMemoryStore, harm: Callable[[InMemoryStore, str], None], file: str
):
    part = write(store, "hi")
    harm(store, key_in(store, part, file))
    assert stored_part(store, FINGERPRINT, ids_of("hi")) is None

    write(store, "hi", plus=1e-3)

    assert problems_of(store, part) == []
    assert stored_part(store, FINGERPRINT, ids_of("hi")) == f"s3://memory/{part}"
    assert np.array_equal(read(store, "ahi")[1:], vectors_of("hi") + np.float32(1e-3))


def test_a_part_whose_manifest_names_no_vectors_is_no_stored_part_and_is_repaired(store: InMemoryStore):
    part = write(store, "hi")
    only_ids = manifest_of({IDS: store.objects[f"{part}{IDS}"]})
    store.put(f"{part}{MANIFEST}", only_ids.to_json())
    assert problems_of(store, part) == []
    assert stored_part(store, FINGERPRINT, ids_of("hi")) is None

    write(store, "hi")

    assert np.array_equal(read(store, "hi"), vectors_of("hi"))


@pytest.mark.parametrize("file", FILES)
def test_a_repair_that_is_killed_leaves_nothing_wrong_and_a_repeat_completes_it(store: InMemoryStore, file: str):
    part = write(store, "hi")
    flip(store, key_in(store, part, file))
    for writes in range(3):
        dying = DyingStore(writes, store.objects)
        with pytest.raises(StorageUnavailableError):
            write(dying, "hi", plus=1e-3)
        left = holding(dying.objects)
        try:
            found = read(left, "hi")
            assert any(np.array_equal(found, vectors_of("hi") + np.float32(plus)) for plus in (0, 1e-3))
        except ArtifactIntegrityError:
            pass

        write(left, "hi", plus=1e-3)

        assert problems_of(left, part) == []


@pytest.mark.parametrize("at", [100, -1, -150, -300])
def test_vectors_with_a_flipped_bit_are_a_miss_that_is_said(store: InMemoryStore, caplog, at: int):
    key = key_in(store, write(store, "hi"), "vectors-")
    flip(store, key, at)

    with pytest.raises(ArtifactIntegrityError, match="vectors of 3 images, got none of 2 of them"):
        read(store, "hia")

    assert f"passed over uri=s3://memory/{key} expected=sha256" in caplog.text


@pytest.mark.parametrize("file", ["vectors-", MANIFEST])
def test_images_of_a_harmed_part_are_taken_from_another_part_that_holds_them(store: InMemoryStore, file: str):
    parts = {write(store, "hi"): "hi", write(store, "ij", plus=1): "ij", write(store, "ik", plus=2): "ik"}
    first = min(parts)  # the one that is read where all are whole
    key = key_in(store, first, file)
    flip(store, key, 3)

    found = read(store, "ai")

    rest = {key_of: value for key_of, value in parts.items() if key_of != first}
    plus = {"hi": 0.0, "ij": 1.0, "ik": 2.0}[rest[min(rest)]]
    assert np.array_equal(found[1], vectors_of("i")[0] + np.float32(plus))
    assert np.array_equal(found[0], vectors_of("a")[0])


def test_ids_that_were_exchanged_give_no_image_another_s_vector(store: InMemoryStore):
    part, other = write(store, "hi"), write(store, "jk")
    store.put(key_in(store, part, IDS), store.objects[key_in(store, other, IDS)])

    assert stored(store, "hijk") == "jk"
    assert np.array_equal(read(store, "kj"), vectors_of("kj"))


def test_two_ids_that_share_their_first_half_are_not_taken_for_one(store: InMemoryStore):
    (known,) = ids_of("a")
    twin = known[:32] + ("0" if known[32] != "0" else "1") + known[33:]

    with pytest.raises(ArtifactIntegrityError, match="none of 1 of them"):
        read_vectors(store, FINGERPRINT, [twin])

    write_part(store, FINGERPRINT, [twin], vectors_of("t"))
    assert np.array_equal(read_vectors(store, FINGERPRINT, [twin, known]), vectors_of("ta"))


def test_vectors_of_another_length_are_refused(store: InMemoryStore):
    write_part(store, FINGERPRINT, ids_of("z"), np.zeros((1, 5), np.float32))

    with pytest.raises(ArtifactIntegrityError, match="vectors of one length"):
        read(store, "az")


def test_damaged_images_are_those_that_no_whole_part_holds(store: InMemoryStore):
    flip(store, key_in(store, write(store, "hij"), "vectors-"))
    write(store, "jk")

    assert damaged(store, FINGERPRINT, ids_of("abchijkz")) == set(ids_of("hi"))
    assert damaged(store, FINGERPRINT, ids_of("abcjkz")) == set()
    assert damaged(store, FINGERPRINT, []) == set()
    assert damaged(InMemoryStore(), FINGERPRINT, ids_of("a")) == set()


def test_looking_for_damage_holds_no_more_parts_than_a_few_at_a_time(store: InMemoryStore, monkeypatch):
    alive, most = 0, 0

    class CountedBytes(bytes):
        def __del__(self) -> None:
            nonlocal alive
            alive -= 1

    class CountingStore(InMemoryStore):
        def get(self, key):
            nonlocal alive, most
            body = super().get(key)
            if "/vectors-" not in key:
                return body
            alive += 1
            most = max(most, alive)
            return CountedBytes(body)

    counting = CountingStore()
    letters = [chr(300 + number) for number in range(400)]
    for letter in letters:
        write(counting, letter)

    assert damaged(counting, FINGERPRINT, ids_of("".join(letters))) == set()
    assert 0 < most < 100
    assert alive == 0


@pytest.mark.parametrize("call", [read_vectors, stored_part, damaged])
def test_an_image_that_is_asked_for_twice_is_refused(store: InMemoryStore, call):
    with pytest.raises(ValueError, match="Expected distinct ids; got 3 of which 2 differ"):
        call(store, FINGERPRINT, ids_of("aba"))


def test_an_image_that_is_written_twice_in_one_part_is_refused(store: InMemoryStore):
    with pytest.raises(ValueError, match="Expected distinct ids; got 3 of which 2 differ"):
        write(store, "xyx")


def test_asking_for_no_image_is_refused(store: InMemoryStore):
    with pytest.raises(ValueError, match="at least one image id"):
        read(store, "")


@pytest.mark.parametrize("stored_as", ["float32", "float16"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_never_stored(store: InMemoryStore, bad: float, stored_as: str):
    vectors = vectors_of("xy")
    vectors[1, 2] = bad

    with pytest.raises(ValueError, match="Expected finite vectors"):
        write_part(store, FINGERPRINT, ids_of("xy"), vectors, stored_as=stored_as)
    assert stored(store, "abcdexy") == "abcde"


@pytest.mark.parametrize("n_vectors", [0, 2])
def test_as_many_vectors_as_ids_are_expected(store: InMemoryStore, n_vectors: int):
    with pytest.raises(ValueError, match="got 1 ids and vectors of shape"):
        write_part(store, FINGERPRINT, ids_of("x"), vectors_of("xy"[:n_vectors]))


def test_a_part_of_no_image_is_refused(store: InMemoryStore):
    with pytest.raises(ValueError, match="got 0 ids"):
        write_part(store, FINGERPRINT, [], np.empty((0, 3), np.float32))


def test_float16_keeps_eleven_bits_takes_half_the_bytes_and_comes_back_as_float32():
    vectors = np.random.default_rng(0).normal(0, 10, (500, 64)).astype(np.float32)
    ids = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(len(vectors))]
    stores = {kind: InMemoryStore() for kind in ("float32", "float16")}
    for kind, store in stores.items():
        write_part(store, FINGERPRINT, ids, vectors, stored_as=kind)

    found = read_vectors(stores["float16"], FINGERPRINT, ids)

    assert found.dtype == np.float32
    assert np.allclose(found, vectors, rtol=2**-11, atol=2**-24)
    assert not np.array_equal(found, vectors)
    sizes = {kind: sum(map(len, store.objects.values())) for kind, store in stores.items()}
    assert sizes["float32"] - sizes["float16"] == pytest.approx(vectors.nbytes / 2, abs=64)


def test_a_number_that_is_too_large_for_float16_is_refused_with_the_way_out(store: InMemoryStore):
    vectors = vectors_of("xy") + np.float32(65_500)

    with pytest.raises(ConfigurationError, match=r"holds 65621, and float16 ends at 65504\. Use `stored_as: float32`"):
        write_part(store, FINGERPRINT, ids_of("xy"), vectors, stored_as="float16")
    write_part(store, FINGERPRINT, ids_of("xy"), vectors)
    assert np.array_equal(read(store, "xy"), vectors)


def test_of_two_writers_of_one_part_every_moment_leaves_it_absent_or_whole():
    """One writer was thought dead; its repeat runs on another processor, which rounds the last bit otherwise."""
    for attempt in range(20):
        store = RememberingStore()
        start = threading.Barrier(2)

        def writer(plus: float, store: RememberingStore = store, start: threading.Barrier = start) -> None:
            start.wait()
            write(store, "xyz", plus=plus)

        threads = [threading.Thread(target=writer, args=(plus,)) for plus in (0.0, 1e-5 * (attempt + 1))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        for objects in (*store.states, store.objects):
            left = holding(objects)
            if any(key.endswith(MANIFEST) for key in objects):
                assert len(read(left, "xyz")) == 3
                assert stored_part(left, FINGERPRINT, ids_of("xyz")) is not None


@pytest.mark.parametrize("writes", range(4))
def test_a_slow_writer_that_overtakes_itself_or_dies_harms_nothing_that_a_fast_one_published(writes: int):
    fast = InMemoryStore()

    class SlowStore(DyingStore):
        """Has seen no part when its first write begins; meanwhile the fast writer publishes."""

        def put(self, key, body, *, content_type="application/octet-stream"):
            if not fast.objects:
                write(fast, "xyz", plus=1)
                self.objects = fast.objects
            super().put(key, body, content_type=content_type)

    slow = SlowStore(writes)

    with contextlib.suppress(StorageUnavailableError):
        write(slow, "xyz")

    part = key_of(fast, stored_part(fast, FINGERPRINT, ids_of("xyz")) or "")
    assert problems_of(fast, part) == []
    assert np.array_equal(read(fast, "xyz"), vectors_of("xyz") + np.float32(writes < 3))
