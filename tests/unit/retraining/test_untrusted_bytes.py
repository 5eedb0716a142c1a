"""Every reader of stored bytes is given bytes that would run code; it must refuse them, and nothing may have run."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.plan import PAIRS, ROWS, Plan, publish_plan, read_plan
from include.retraining.config import load_classifier
from include.retraining.embedding.fine_tuning import checkpoints
from include.retraining.embedding.networks.torch_weights import read_torch_weights
from include.retraining.embedding.networks.weight_files import load_hdf5
from include.retraining.embedding.projection import PROJECTION, read_projection
from include.retraining.embedding.scaling import Scaler
from include.retraining.errors import ArtifactIntegrityError, ConfigurationError, DataContractError
from include.retraining.intake.delivery.manifest_parquet import read_parquet
from include.retraining.intake.delivery.manifest_rows import ManifestFile
from include.retraining.schemas import BATCH, PLANNED_ROWS
from include.retraining.storage.arrays import from_npy, from_npz
from include.retraining.storage.base import key_of
from include.retraining.storage.memory import InMemoryStore
from include.retraining.storage.publishing import publish
from include.retraining.storage.tables import arrow_to_parquet, from_parquet
from include.retraining.training import golden, head, keras_file, saved_model
from include.retraining.training.head import Head, Layer
from tests.builders import CLASSIFIER
from tests.datasets import row

URI = "s3://lake/models/x"
ARRAYS = (from_npz, head.from_npz, golden.from_npz)


class Payload:
    """What a pickle of it does when it is loaded: it makes a folder."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.trace),)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """What is there if the code has run."""
    return tmp_path / "the code has run"


def archive_of(arrays: Mapping[str, np.ndarray]) -> bytes:
    sink = io.BytesIO()
    np.savez(sink, **arrays)
    return sink.getvalue()


def file_of(array: np.ndarray) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=True)
    return sink.getvalue()


def objects(trace: Path) -> np.ndarray:
    return np.array([Payload(trace)], dtype=object)


def head_arrays() -> dict[str, np.ndarray]:
    ones = np.ones(2, np.float32)
    made = Head(Scaler(ones, ones), (Layer(np.ones((2, 3), np.float32), np.ones(3, np.float32)),), 1.0, np.ones(3))
    return dict(np.load(io.BytesIO(made.to_npz())))


def golden_arrays() -> dict[str, np.ndarray]:
    return dict(np.load(io.BytesIO(golden.Golden((b"a", b"b"), np.ones((2, 3), np.float32)).to_npz())))


def test_the_trap_works(trace):
    np.load(io.BytesIO(archive_of({"a": objects(trace)})), allow_pickle=True)["a"]

    assert trace.exists()


@pytest.mark.parametrize("name", head_arrays())
def test_a_head_with_an_object_in_place_of_any_array_is_refused(name, trace):
    assert head.from_npz(archive_of(head_arrays()), URI).layers

    with pytest.raises(ArtifactIntegrityError, match=f"{URI}: expected a NumPy archive of plain arrays"):
        head.from_npz(archive_of(head_arrays() | {name: objects(trace)}), URI)

    assert not trace.exists()


@pytest.mark.parametrize("name", golden_arrays())
def test_a_golden_file_with_an_object_in_place_of_any_array_is_refused(name, trace):
    assert golden.from_npz(archive_of(golden_arrays()), URI).images == (b"a", b"b")

    with pytest.raises(ArtifactIntegrityError, match=f"{URI}: expected a NumPy archive of plain arrays"):
        golden.from_npz(archive_of(golden_arrays() | {name: objects(trace)}), URI)

    assert not trace.exists()


def test_an_object_that_nobody_asks_for_is_refused_too(trace):
    with pytest.raises(ArtifactIntegrityError, match="allow_pickle=False"):
        head.from_npz(archive_of(head_arrays() | {"more": objects(trace)}), URI)

    assert not trace.exists()


@pytest.mark.parametrize("read", ARRAYS, ids=["archive", "head", "golden"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_bare_pickle_is_no_archive(read: Callable[[bytes, str], object], protocol, trace):
    body = pickle.dumps(Payload(trace), protocol)

    with pytest.raises(ArtifactIntegrityError, match=f"{URI}: expected a NumPy archive"):
        read(body, URI)
    with pytest.raises(ArtifactIntegrityError, match=f"{URI}: expected a NumPy file"):
        from_npy(body, URI)

    assert not trace.exists()


def test_an_array_of_objects_is_refused_as_a_file_of_its_own(trace):
    with pytest.raises(ArtifactIntegrityError, match="allow_pickle=False"):
        from_npy(file_of(objects(trace)), URI)
    with pytest.raises(ArtifactIntegrityError, match="allow_pickle=False"):
        from_npy(file_of(np.array([(1, Payload(trace))], dtype=[("a", "i4"), ("b", object)])), URI)

    assert not trace.exists()


@pytest.mark.parametrize("read", ARRAYS, ids=["archive", "head", "golden"])
def test_an_archive_that_was_cut_or_overwritten_anywhere_is_refused_by_a_project_error_or_read(read):
    body = archive_of(golden_arrays() if read is golden.from_npz else head_arrays())
    refused = 0
    for start in range(0, len(body), 11):
        for broken in (body[:start], body[:start] + b"\x93NUMPY\x01\x00(" + body[start + 9 :]):
            try:
                read(broken, URI)
            except ArtifactIntegrityError:
                refused += 1
    assert refused > len(body) // 11


@pytest.mark.parametrize("arrays", [{}, {"mean": np.ones(2)}, head_arrays() | {"temperature": np.array("warm")}])
def test_an_archive_of_other_arrays_is_no_head(arrays):
    with pytest.raises(ArtifactIntegrityError, match=f"{URI}: expected the arrays of a head"):
        head.from_npz(archive_of(arrays), URI)


def test_an_archive_of_other_arrays_is_no_golden_file():
    with pytest.raises(ArtifactIntegrityError, match="expected images and probabilities, got the arrays"):
        golden.from_npz(archive_of({"image_000": np.ones(2)}), URI)


def test_a_projection_that_was_published_with_objects_is_refused(trace):
    store = InMemoryStore()
    arrays = {"mean": np.ones(2), "components": objects(trace), "explained": np.ones(2)}
    publish(store, "embeddings/f/projection/", {PROJECTION: archive_of(arrays)})

    with pytest.raises((ArtifactIntegrityError, ValueError)):
        read_projection(store, "s3://memory/embeddings/f/projection/")

    assert not trace.exists()


def test_a_checkpoint_with_objects_is_refused(trace):
    with pytest.raises((ArtifactIntegrityError, ValueError)):
        checkpoints.from_npz(archive_of({"loss": np.ones(1), "seconds": np.ones(1), "network_0": objects(trace)}))

    assert not trace.exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_weights_in_torch_s_formats_with_such_a_pickle_are_refused(protocol, trace):
    bare = pickle.dumps({"weight": Payload(trace)}, protocol)
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as zipped:  # the format of torch from 1.6 on
        zipped.writestr("archive/data.pkl", bare)
        zipped.writestr("archive/version", "3\n")

    for body in (bare, sink.getvalue()):
        with pytest.raises(ArtifactIntegrityError, match=URI):
            read_torch_weights(body, URI)

    assert not trace.exists()


def test_a_pickle_is_no_weight_file(trace):
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])

    with pytest.raises(ConfigurationError, match="is no HDF5"):
        load_hdf5(network, pickle.dumps(Payload(trace)), "weights.h5")

    assert not trace.exists()


def lambda_model(trace: Path) -> keras.Model:
    values = keras.Input((2,))
    path = str(trace)  # the closure travels with the code
    return keras.Model(values, keras.layers.Lambda(lambda it: (__import__("os").mkdir(path), it)[1])(values))


def saved(model: keras.Model, folder: Path, name: str) -> bytes:
    model.save(folder / name)
    return (folder / name).read_bytes()


def keras_zip(layer: Mapping[str, object]) -> bytes:
    """A `.keras` file of one layer, as its configuration says."""
    inputs = {"class_name": "InputLayer", "config": {"batch_shape": [None, 2], "name": "i"}, "name": "i"}
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "s", "layers": [inputs | {"module": "keras.layers"}, dict(layer)]},
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as zipped:
        zipped.writestr("metadata.json", json.dumps({"keras_version": keras.__version__}))
        zipped.writestr("config.json", json.dumps(config))
    return sink.getvalue()


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_a_model_that_holds_code_is_refused_in_both_of_keras_s_formats(name, tmp_path, trace):
    model = lambda_model(trace)
    if trace.exists():  # building a layer calls it
        trace.rmdir()
    body = saved(model, tmp_path, name)

    with pytest.raises(ArtifactIntegrityError, match=f"{URI}: expected a Keras model that loads in safe mode, got"):
        keras_file.from_bytes(body, URI)

    assert not trace.exists()


def test_a_harmless_configuration_of_that_form_is_read():
    relu = {"module": "keras.layers", "class_name": "Activation", "config": {"name": "a", "activation": "relu"}}

    with pytest.raises(ArtifactIntegrityError, match="Expected a model.weights.h5"):  # the next thing that is missing
        keras_file.from_bytes(keras_zip(relu), URI)


def test_a_model_whose_configuration_names_a_function_of_python_is_refused(trace):
    calls = [
        {"module": "os", "class_name": "mkdir", "config": {"path": str(trace)}},
        {"module": "builtins", "class_name": "exec", "config": {"source": f"import os; os.mkdir({str(trace)!r})"}},
        {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"},
        {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {
                "name": "l",
                "function": {"module": "os", "class_name": "function", "config": "mkdir", "registered_name": "mkdir"},
                "arguments": {"mode": 0o700},
            },
        },
        {
            "module": "keras.layers",
            "class_name": "TorchModuleWrapper",
            "config": {"name": "t", "module": base64.b64encode(pickle.dumps(Payload(trace))).decode()},
        },
    ]
    for call in calls:
        with pytest.raises(ArtifactIntegrityError, match="loads in safe mode, got (TypeError|ModuleNotFoundError)"):
            keras_file.from_bytes(keras_zip(call), URI)

    assert not trace.exists()


def test_a_model_that_would_read_a_file_of_the_worker_is_refused(tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("a\nb\n")
    config = {"name": "v", "vocabulary": str(secret), "max_tokens": None, "num_oov_indices": 1}
    layer = {"module": "keras.layers", "class_name": "StringLookup", "config": config}

    with pytest.raises(ArtifactIntegrityError, match="loads in safe mode, got TypeError") as refusal:
        keras_file.from_bytes(keras_zip(layer), URI)

    assert "disallowed by default" in str(refusal.value.__cause__)


def pickled_type(trace: Path, schema: pa.Schema) -> pa.Table:
    """Rows of a schema whose first column is of an extension type that a pickle describes."""
    field, *others = schema
    metadata = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(Payload(trace)),
    }
    rows = pd.DataFrame([row("a")]).assign(row_id="a", kept=True, image="a.png")
    table = pa.Table.from_pandas(rows[schema.names], schema=schema, preserve_index=False)
    return table.cast(pa.schema([field.with_metadata(metadata), *others]))


def test_a_table_with_a_type_that_a_pickle_describes_runs_nothing(trace):
    body = arrow_to_parquet(pickled_type(trace, BATCH))

    try:
        rows = from_parquet(body, BATCH, URI)
    except ArtifactIntegrityError:
        rows = None

    assert rows is None or list(rows["image_id"]) == ["a"]
    assert not trace.exists()


def test_a_plan_of_such_a_table_runs_nothing(trace):
    store = InMemoryStore()
    ids = np.array(["a", "b"], object)
    one = np.array([0], np.int32)
    uri, _ = publish_plan(store, CLASSIFIER, Plan(ids, Pairs(one, one + 1, np.array([0.5]), np.array([], np.int32))))
    pairs = store.get(f"{key_of(store, uri)}{PAIRS}")
    forged = {ROWS: arrow_to_parquet(pickled_type(trace, PLANNED_ROWS)), PAIRS: pairs}
    publish(store, "forged/", forged)

    with contextlib.suppress(ArtifactIntegrityError):
        read_plan(store, "s3://memory/forged/")

    assert not trace.exists()


def test_a_delivered_manifest_of_such_a_table_runs_nothing(trace):
    schema = pa.schema({"image": pa.string(), "label": pa.string()})
    body = arrow_to_parquet(pickled_type(trace, schema))

    with contextlib.suppress(DataContractError):
        read_parquet(ManifestFile("s3://lake/incoming/flowers/2026-01-02/", "labels.parquet", body))

    assert not trace.exists()


def test_a_recipe_that_names_python_s_objects_is_refused(tmp_path, trace):
    (tmp_path / "evil.yaml").write_text(f"name: !!python/object/apply:os.mkdir [{str(trace)!r}]\n")

    with pytest.raises(ConfigurationError, match="not valid YAML"):
        load_classifier("evil", tmp_path)

    assert not trace.exists()


@pytest.mark.parametrize("name", ["../evil", "variables/../../evil", "{root}/evil"])
def test_a_file_of_a_saved_model_cannot_leave_its_folder(name, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    named = name.format(root=tmp_path)

    with pytest.raises(ArtifactIntegrityError, match="evil"):
        saved_model.predict({named: b"evil"}, [b""])

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
