from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.retraining.errors import DataContractError
from include.retraining.intake.delivery.manifest_rows import ManifestRow
from include.retraining.intake.delivery.manifests import read_manifest, read_released
from include.retraining.storage.memory import InMemoryStore

PREFIX = "incoming/flowers/2026-01-02/"


def parquet() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"image": ["a.png"], "label": ["daisy"]}), sink)
    return sink.getvalue()


BODIES = {
    "labels.csv": b"image,label\na.png,daisy\n",
    "labels.parquet": parquet(),
    "labels.jsonl": b'{"image": "a.png", "label": "daisy"}\n',
}


def store_with(*names: str) -> InMemoryStore:
    store = InMemoryStore()
    for name in names:
        store.put(f"{PREFIX}{name}", BODIES[name.rpartition("/")[2]])
    return store


@pytest.mark.parametrize("name", BODIES)
def test_each_format_says_the_same(name):
    store = store_with(name)

    manifest = read_manifest(store, PREFIX, store.objects)

    assert manifest is not None
    assert manifest.rows == (ManifestRow("a.png", "daisy", "", ""),)


def test_without_a_manifest_there_is_none():
    store = store_with("deep/labels.csv", "released/labels.jsonl")

    assert read_manifest(store, PREFIX, store.objects) is None
    assert read_released(store, PREFIX, store.objects) is None


@pytest.mark.parametrize(
    "names",
    [("labels.csv", "labels.parquet"), ("labels.csv", "labels.jsonl"), ("labels.parquet", "labels.jsonl")],
)
def test_two_manifests_are_refused_by_name(names):
    store = store_with(*names)

    with pytest.raises(DataContractError) as refusal:
        read_manifest(store, PREFIX, store.objects)

    assert refusal.value.batch == f"s3://memory/{PREFIX}"
    assert refusal.value.failed_checks == (f"it holds {names[0]} and {names[1]}: leave one manifest there",)


def test_the_manifest_of_released_images_stands_beside_the_owners():
    store = store_with("labels.jsonl", "released/labels.csv")

    released = read_released(store, PREFIX, store.objects)

    assert released is not None
    assert released.rows == (ManifestRow("a.png", "daisy", "", ""),)
    assert read_manifest(store, PREFIX, store.objects) is not None


def test_a_refusal_of_the_released_manifest_names_it():
    store = InMemoryStore()
    store.put(f"{PREFIX}released/labels.csv", b"")

    with pytest.raises(DataContractError, match=f"{PREFIX} is refused: released/labels.csv: the file is empty"):
        read_released(store, PREFIX, store.objects)
