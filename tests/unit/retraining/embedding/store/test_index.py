from __future__ import annotations

import contextlib
import hashlib

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from include.retraining.embedding.store import index as index_module
from include.retraining.embedding.store.index import ENTRIES, PARTS, merge_index, open_index
from include.retraining.embedding.store.parts import IDS, binary_ids
from include.retraining.embedding.store.vectors import read_vectors, write_part
from include.retraining.errors import ArtifactIntegrityError, StorageUnavailableError
from include.retraining.storage import layout
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST
from tests.stores import DyingStore, RememberingStore, holding

FINGERPRINT = "f00d"
ROOT = layout.embedding_index(FINGERPRINT)

# Ids that differ in the second eight bytes alone, in the last one of the first sixteen, or end in zero bytes.
AWKWARD = ["00" * 32, "ff" * 32, "61" + "00" * 31, *(f"{'ab' * 8}{number:02x}{'00' * 23}" for number in range(4))]
AWKWARD += [f"{'cd' * 15}{number:02x}{'ee' * 16}" for number in range(3)]
UNIVERSE = [*AWKWARD, *(hashlib.sha256(bytes([number])).hexdigest() for number in range(14))]
assert len({image_id[:32] for image_id in UNIVERSE}) == len(UNIVERSE)
numbers = st.integers(0, len(UNIVERSE) - 1)


def ids_of(chosen) -> list[str]:
    return [UNIVERSE[number] for number in sorted(chosen)]


def write(store: InMemoryStore, *chosen: int) -> str:
    vectors = np.array([[number, 1] for number in sorted(chosen)], np.float32)
    return key_of(store, write_part(store, FINGERPRINT, ids_of(chosen), vectors))


def stored(store: InMemoryStore) -> set[int]:
    missing = open_index(store, FINGERPRINT).missing(UNIVERSE)
    return {number for number, is_missing in enumerate(missing) if not is_missing}


def names_of_merged(store: InMemoryStore) -> set[str]:
    return {key.removeprefix(ROOT).split("/")[0] for key in store.objects if key.startswith(ROOT)}


@pytest.fixture
def merging_early(monkeypatch) -> None:
    monkeypatch.setattr(index_module, "MOST_LOOSE_PARTS", 2)


@pytest.fixture
def merged(merging_early: None) -> InMemoryStore:
    """Five parts in a merged index."""
    store = InMemoryStore()
    for number in range(0, 15, 3):
        write(store, number, number + 1, number + 2)
    merge_index(store, FINGERPRINT)
    assert len(names_of_merged(store)) == 1
    return store


# What may happen to a store, one after the other: a part of these ids is written, or something befalls the store.
events = st.lists(
    st.one_of(
        st.sets(numbers, min_size=1, max_size=6),
        st.sampled_from(["merge", "harm merged", "lose merged", "die merging", "lose part", "harm ids"]),
        st.integers(0, 9),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events, st.randoms(use_true_random=False))
def test_whatever_happened_the_index_answers_as_a_set_would(merging_early: None, happened, rng):
    store = InMemoryStore()
    parts: dict[str, set[int]] = {}
    for event in happened:
        if isinstance(event, set):
            parts[write(store, *event)] = event
        elif parts and event == "lose part":
            lost = rng.choice(sorted(parts))
            del parts[lost]
            store.delete(f"{lost}{MANIFEST}")
        elif parts and event == "harm ids":
            # The index may know these ids from before, so the part is repaired at once.
            part = rng.choice(sorted(parts))
            store.put(f"{part}{IDS}", b"rubbish")
            assert stored(store) <= set().union(*parts.values())
            write(store, *parts[part])
        else:
            _befall(store, event, rng)

        assert stored(store) == set().union(*parts.values())

    everything = sorted(set().union(*parts.values()))
    if everything:
        found = read_vectors(store, FINGERPRINT, ids_of(everything))
        assert [int(row[0]) for row in found] == everything


def _befall(store: InMemoryStore, event: str | int, rng) -> None:
    if event == "merge":
        merge_index(store, FINGERPRINT)
    elif isinstance(event, int):
        dying = DyingStore(event)
        dying.objects = store.objects
        with contextlib.suppress(StorageUnavailableError):
            merge_index(dying, FINGERPRINT)
    elif keys := sorted(key for key in store.objects if key.startswith(ROOT)):
        key = rng.choice(keys)
        if event == "lose merged":
            store.delete(key)
        else:
            store.put(key, store.objects[key][:-3] + b"???")


@given(st.lists(st.sets(numbers, min_size=1, max_size=8), min_size=1, max_size=8), st.lists(numbers, max_size=20))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_holder_of_an_id_is_told_in_order(merging_early: None, chosen, asked):
    store = InMemoryStore()
    for number, some in enumerate(chosen):
        write(store, *some)
        if number == 4:
            merge_index(store, FINGERPRINT)
    parts = {write(store, *some).split("/")[-2]: some for some in chosen}

    index = open_index(store, FINGERPRINT)
    rows, holders = index.holders(binary_ids([UNIVERSE[number] for number in asked]))

    names = [part.name for part in index.parts]
    assert names == sorted(parts)
    expected = [(row, names.index(name)) for row, number in enumerate(asked) for name in names if number in parts[name]]
    assert list(zip(rows.tolist(), holders.tolist(), strict=True)) == expected


def test_where_nothing_is_stored_everything_is_missing():
    index = open_index(InMemoryStore(), FINGERPRINT)

    assert index.missing(UNIVERSE).all()
    assert index.missing([]).shape == (0,)
    assert index.parts == ()


def test_questions_longer_than_a_block_are_answered_in_their_order(merged: InMemoryStore, monkeypatch):
    monkeypatch.setattr(index_module, "_AT_ONCE", 4)

    missing = open_index(merged, FINGERPRINT).missing(UNIVERSE)

    assert missing.tolist() == [number >= 15 for number in range(len(UNIVERSE))]


def test_what_is_no_image_id_is_refused(merged: InMemoryStore):
    with pytest.raises(ValueError, match="64 hexadecimal digits in lower case; got 'elsewhere'"):
        open_index(merged, FINGERPRINT).missing(["elsewhere"])


def test_no_vector_is_read_and_after_a_merge_no_part_either(merged: InMemoryStore):
    fetched = []

    class WatchedStore(InMemoryStore):
        def get(self, key):
            fetched.append(key)
            return super().get(key)

    watched = WatchedStore()
    watched.objects.update(merged.objects)
    write(watched, 20)
    fetched.clear()

    assert stored(watched) == {*range(15), 20}

    assert [key.rsplit("/", 1)[-1] for key in fetched if "/parts/" in key] == [IDS]


def test_few_loose_parts_are_not_merged_and_one_more_is(merging_early: None):
    store = InMemoryStore()
    write(store, 0)
    write(store, 1)
    merge_index(store, FINGERPRINT)
    assert not names_of_merged(store)

    write(store, 2)
    merge_index(store, FINGERPRINT)

    assert len(names_of_merged(store)) == 1
    assert open_index(store, FINGERPRINT).loose.parts == ()


def test_merging_again_writes_nothing(merged: InMemoryStore):
    before = dict(merged.objects)

    merge_index(merged, FINGERPRINT)

    assert merged.objects == before


def test_equal_parts_give_an_equal_index_in_whichever_order_they_came(merging_early: None):
    one, other = InMemoryStore(), InMemoryStore()
    for store, order in ((one, (6, 0, 1, 3, 4, 5)), (other, (3, 4, 5, 6, 0, 1))):  # 3 to 6 share their first half
        for start in (0, 3):
            for number in order[start : start + 3]:
                write(store, number)
            merge_index(store, FINGERPRINT)

    name = open_index(one, FINGERPRINT).merged_name

    assert open_index(other, FINGERPRINT).merged_name == name
    for file in (ENTRIES, PARTS, MANIFEST):
        assert one.objects[f"{ROOT}{name}/{file}"] == other.objects[f"{ROOT}{name}/{file}"]


def test_the_index_that_was_merged_from_stays_for_its_readers_and_older_ones_go(merged: InMemoryStore):
    (first,) = names_of_merged(merged)
    for number in (15, 16, 17):
        write(merged, number)
    merge_index(merged, FINGERPRINT)
    (second,) = names_of_merged(merged) - {first}
    assert first in names_of_merged(merged)

    for number in (18, 19, 20):
        write(merged, number)
    merge_index(merged, FINGERPRINT)

    assert first not in names_of_merged(merged)
    assert second in names_of_merged(merged)
    assert len(names_of_merged(merged)) == 2


@pytest.mark.parametrize("file", [ENTRIES, PARTS, MANIFEST])
@pytest.mark.parametrize("harm", ["flip", "lose"])
def test_a_harmed_merged_index_is_passed_over_and_merged_anew(merged: InMemoryStore, caplog, file: str, harm: str):
    (name,) = names_of_merged(merged)
    key = f"{ROOT}{name}/{file}"
    body = bytearray(merged.objects[key])
    body[len(body) // 2] ^= 1
    merged.put(key, bytes(body))
    if harm == "lose":
        merged.delete(key)

    index = open_index(merged, FINGERPRINT)

    assert index.merged_name == ""
    assert stored(merged) == set(range(15))
    assert ("passed over" in caplog.text) == (not (file == MANIFEST and harm == "lose"))  # that one looks unfinished

    merge_index(merged, FINGERPRINT)
    assert open_index(merged, FINGERPRINT).merged_name == name


def test_of_several_merged_indexes_the_next_is_taken_where_the_largest_is_harmed(merged: InMemoryStore):
    (first,) = names_of_merged(merged)
    for number in (15, 16, 17):
        write(merged, number)
    merge_index(merged, FINGERPRINT)
    (second,) = names_of_merged(merged) - {first}
    assert open_index(merged, FINGERPRINT).merged_name == second

    merged.put(f"{ROOT}{second}/{ENTRIES}", b"")

    index = open_index(merged, FINGERPRINT)
    assert index.merged_name == first
    assert len(index.loose.parts) == 3
    assert stored(merged) == set(range(18))


def test_a_merged_index_does_not_speak_for_parts_that_are_gone(merged: InMemoryStore):
    gone = write(merged, 0, 1, 2)
    for key in [key for key in merged.objects if key.startswith(gone)]:
        merged.delete(key)

    assert stored(merged) == set(range(3, 15))
    with pytest.raises(ArtifactIntegrityError, match="none of 1 of them"):
        read_vectors(merged, FINGERPRINT, ids_of([0, 3]))

    for number in (15, 16, 17):
        write(merged, number)
    merge_index(merged, FINGERPRINT)
    index = open_index(merged, FINGERPRINT)
    assert len(index.merged.parts) == 7
    assert stored(merged) == set(range(3, 18))


def test_a_part_whose_ids_are_harmed_counts_as_missing_and_does_not_hide_others(merging_early: None, caplog):
    store = InMemoryStore()
    harmed = write(store, 0, 1)
    write(store, 1, 2)
    store.put(f"{harmed}{IDS}", b"rubbish")

    assert stored(store) == {1, 2}
    assert f"passed over uri=s3://memory/{harmed}{IDS}" in caplog.text


def test_every_moment_of_a_merge_gives_the_same_answers_and_no_warning(merged: InMemoryStore, caplog):
    for number in (15, 16, 17):
        write(merged, number)
    store = RememberingStore(merged.objects)
    merge_index(store, FINGERPRINT)
    for number in (18, 19, 20):
        write(store, number)
    store.states.clear()

    merge_index(store, FINGERPRINT)

    assert len(store.states) >= 6  # three writes, three removals
    for objects in store.states:
        assert stored(holding(objects)) == set(range(21))
    assert "passed over" not in caplog.text


def test_a_reader_whose_index_is_removed_between_listing_and_reading_reads_the_parts(merged: InMemoryStore):
    class RacingStore(InMemoryStore):
        def get(self, key):
            if key.endswith(ENTRIES):
                self.delete(key)
            return super().get(key)

    racing = RacingStore()
    racing.objects.update(merged.objects)

    assert stored(racing) == set(range(15))
