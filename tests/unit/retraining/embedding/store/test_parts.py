from __future__ import annotations

import hashlib

import numpy as np
import pyarrow as pa
import pytest

from include.retraining.embedding.store.parts import (
    ID,
    IDS,
    Part,
    binary_ids,
    from_arrow,
    ids_of,
    list_parts,
    part_files,
    part_name,
    part_prefix,
    put_part,
    read_parts,
    to_arrow,
)
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import MANIFEST, manifest_of, problems_of

FINGERPRINT = "f00d"


def id_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def make_part(*numbers: int, kind: str = "float32", n_features: int = 3) -> Part:
    ids = np.sort(binary_ids([id_of(number) for number in numbers]))
    return Part(ids, np.arange(len(ids) * n_features).reshape(len(ids), n_features).astype(kind))


def put(store: InMemoryStore, part: Part) -> str:
    name = part_name(part.ids)
    put_part(store, part_prefix(FINGERPRINT, name), part_files(part))
    return name


def read_one(store: InMemoryStore) -> Part | None:
    ((_, part),) = read_parts(store, FINGERPRINT, list_parts(store, FINGERPRINT))
    return part


def vectors_key(store: InMemoryStore) -> str:
    (key,) = (key for key in store.objects if "/vectors-" in key)
    return key


@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_a_part_is_read_as_it_was_written_without_copying_its_numbers(kind: str):
    store, part = InMemoryStore(), make_part(1, 2, 3, kind=kind)
    put(store, part)

    found = read_one(store)

    assert found.vectors.dtype == np.dtype(kind)
    assert np.array_equal(found.vectors, part.vectors)
    assert found.ids.tobytes() == part.ids.tobytes()
    assert not found.vectors.flags.owndata
    assert not found.vectors.flags.writeable


def test_any_arrow_reader_can_read_a_file_of_vectors():
    body = next(body for name, body in part_files(make_part(1, 2)).items() if name != IDS)

    table = pa.ipc.open_file(pa.BufferReader(body)).read_all()

    assert table.schema.field("image_id").type == pa.binary(32)
    assert pa.types.is_fixed_size_list(table.schema.field("vector").type)
    assert {value.hex() for value in table["image_id"].to_pylist()} == {id_of(1), id_of(2)}
    assert table["vector"].to_pylist() == [[0, 1, 2], [3, 4, 5]]


def test_equal_parts_have_equal_bytes_and_others_have_files_of_their_own():
    files, other = part_files(make_part(1, 2)), make_part(1, 2)
    other.vectors[0, 0] += 1

    assert files == part_files(make_part(1, 2))
    assert set(files) & set(part_files(other)) == {IDS}


def test_ids_that_end_in_zero_bytes_survive():
    ids = ["00" * 32, "61" + "00" * 31, "6100" + "01" * 30]
    store, part = InMemoryStore(), Part(np.sort(binary_ids(ids)), np.zeros((3, 2), np.float32))
    put(store, part)

    found = read_one(store)

    assert [bytes(row).hex() for row in found.ids.view(np.uint8).reshape(-1, 32)] == sorted(ids)


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param("elsewhere", id="no digits"),
        pytest.param("ab" * 31, id="too short"),
        pytest.param("ab" * 33, id="too long"),
        pytest.param("AB" * 32, id="capitals"),
        pytest.param("ab" * 31 + " c", id="a blank"),
        pytest.param("ab" * 31 + "é0", id="another alphabet"),
        pytest.param("", id="nothing"),
    ],
)
def test_what_is_no_image_id_is_refused_with_its_text(wrong: str):
    with pytest.raises(ValueError, match=f"64 hexadecimal digits in lower case; got '{wrong}'"):
        binary_ids([id_of(1), wrong])


def test_texts_whose_lengths_only_add_up_are_refused():
    with pytest.raises(ValueError, match="64 hexadecimal digits"):
        binary_ids(["ab" * 31, "ab" * 33])


def test_no_ids_are_an_empty_array():
    assert binary_ids([]).shape == (0,)
    assert binary_ids([]).dtype == ID


def test_only_published_parts_are_listed_in_the_order_of_their_names_with_all_their_bytes():
    store = InMemoryStore()
    names = sorted(put(store, make_part(number)) for number in range(5))
    store.delete(f"{part_prefix(FINGERPRINT, names[1])}{MANIFEST}")

    listed = list_parts(store, FINGERPRINT)

    assert [part.name for part in listed] == names[:1] + names[2:]
    assert listed[0].size_bytes == sum(
        len(body) for key, body in store.objects.items() if key.startswith(part_prefix(FINGERPRINT, names[0]))
    )


@pytest.mark.parametrize("damage", ["flipped bit", "cut short", "gone"])
def test_a_part_whose_vectors_are_not_those_published_gives_none_and_says_so(caplog, damage: str):
    store = InMemoryStore()
    put(store, make_part(1, 2))
    key = vectors_key(store)
    body = store.objects.pop(key)
    if damage == "flipped bit":
        store.put(key, body[:-200] + bytes([body[-200] ^ 1]) + body[-199:])
    elif damage == "cut short":
        store.put(key, body[:-1])

    assert read_one(store) is None
    assert f"passed over uri=s3://memory/{key} expected=sha256" in caplog.text


@pytest.mark.parametrize("body", [b"", b"no manifest", b'{"digest": "d", "files": {}}'])
def test_a_part_whose_manifest_was_changed_gives_none(body: bytes):
    store = InMemoryStore()
    name = put(store, make_part(1, 2))
    store.put(f"{part_prefix(FINGERPRINT, name)}{MANIFEST}", body)

    assert read_one(store) is None


def test_a_manifest_that_names_no_vectors_gives_none():
    store = InMemoryStore()
    name = put(store, make_part(1, 2))
    files = {IDS: part_files(make_part(1, 2))[IDS]}
    store.put(f"{part_prefix(FINGERPRINT, name)}{MANIFEST}", manifest_of(files).to_json())

    assert read_one(store) is None


def test_vectors_that_lie_under_the_name_of_another_part_are_none_of_its_images():
    store = InMemoryStore()
    put_part(store, part_prefix(FINGERPRINT, part_name(make_part(7).ids)), part_files(make_part(1)))

    assert read_one(store) is None


@pytest.mark.parametrize(
    "batch",
    [
        pa.record_batch({"image_id": pa.array([b"i" * 32], pa.binary(32))}),
        pa.record_batch({"image_id": pa.array(["text"]), "vector": pa.array([1.0])}),
        pa.record_batch({"image_id": pa.array([b"i" * 32], pa.binary(32)), "vector": pa.array([1.0])}),
    ],
)
def test_a_whole_file_of_other_columns_gives_none(batch: pa.RecordBatch):
    store = InMemoryStore()
    name = part_name(np.array([b"i" * 32], ID))
    put_part(store, part_prefix(FINGERPRINT, name), {"vectors-1.arrow": to_arrow(batch)})

    assert read_one(store) is None


def test_parts_come_in_the_order_asked_for_and_a_damaged_one_does_not_shift_the_others():
    store = InMemoryStore()
    contents = {put(store, make_part(number, number + 100)): number for number in range(6)}
    parts = list_parts(store, FINGERPRINT)[::-1]
    broken = parts[2].name
    (key,) = (key for key in store.objects if f"/{broken}/vectors-" in key)
    store.delete(key)

    found = {part.name: content for part, content in read_parts(store, FINGERPRINT, parts)}

    assert list(found) == [part.name for part in parts]
    assert [name for name, content in found.items() if content is None] == [broken]
    for name in set(found) - {broken}:
        expected = make_part(contents[name], contents[name] + 100).ids
        assert found[name].ids.tobytes() == expected.tobytes()


def test_the_ids_of_a_part_need_no_manifest_because_its_name_vouches_for_them():
    part, uri = make_part(1, 2), "s3://memory/ids"
    body, name = part_files(part)[IDS], part_name(part.ids)

    assert ids_of(body, name, uri).tobytes() == part.ids.tobytes()
    for wrong in (None, b"", body[:-9], part_files(make_part(3))[IDS]):
        with pytest.raises(ArtifactIntegrityError, match=uri):
            ids_of(wrong, name, uri)


def test_an_arrow_file_of_several_batches_is_refused():
    sink = pa.BufferOutputStream()
    batch = pa.record_batch({"a": pa.array([1])})
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
        writer.write_batch(batch)

    with pytest.raises(ArtifactIntegrityError, match="one batch"):
        from_arrow(sink.getvalue().to_pybytes(), "s3://memory/file")


def test_a_part_that_is_put_again_is_whole_whatever_was_there():
    store = InMemoryStore()
    name = put(store, make_part(1, 2))
    prefix = part_prefix(FINGERPRINT, name)
    for key in list(store.objects):
        store.put(key, b"rubbish")

    put(store, make_part(1, 2))

    assert problems_of(store, prefix) == []
    assert all(key.startswith(layout.embedding_parts(FINGERPRINT)) for key in store.objects)
