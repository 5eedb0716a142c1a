from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest

from include.retraining.embedding.networks.imagenet_weights import PACKAGES
from include.retraining.embedding.networks.torch_weights import MAGIC_NUMBER, PROTOCOL_VERSION, read_torch_weights
from include.retraining.errors import ArtifactIntegrityError

URI = "package://weights.pth"
PLATFORM = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}


def opcodes(value: object) -> bytes:
    return pickle.dumps(value, 2)[2:-1]  # without the header and the stop


def tensor(
    storage: str, count: int, *, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0, dtype: str = "Float"
) -> bytes:
    """Opcodes of one tensor, as torch would write them."""
    reference = b"(" + opcodes("storage") + b"ctorch\n" + dtype.encode() + b"Storage\n" + opcodes(storage)
    reference += opcodes("cpu") + opcodes(count) + b"NtQ"
    view = opcodes(offset) + opcodes(shape) + opcodes(strides) + opcodes(False)
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + reference + view + b"ccollections\nOrderedDict\n)RtR"


def legacy_file(
    tensors: dict[str, bytes],
    storages: dict[str, np.ndarray],
    *,
    platform: dict[str, object] = PLATFORM,
    count_error: int = 0,
) -> bytes:
    items = b"".join(opcodes(name) + body + b"s" for name, body in tensors.items())
    body = pickle.dumps(MAGIC_NUMBER, 2) + pickle.dumps(PROTOCOL_VERSION, 2) + pickle.dumps(platform, 2)
    body += b"\x80\x02ccollections\nOrderedDict\n)R" + items + b"."
    body += pickle.dumps(list(storages), 2)
    for array in storages.values():
        body += struct.pack("<q", array.size + count_error) + array.tobytes()
    return body


def two_by_three(**view: object) -> bytes:
    view = {"shape": (2, 3), "strides": (3, 1)} | view
    return legacy_file({"w": tensor("s", 6, **view)}, {"s": np.arange(6, dtype="<f4")})


def test_a_tensor_is_read_through_its_offset_and_strides():
    storage = np.arange(10, dtype="<f4")
    body = legacy_file(
        {
            "rows": tensor("s", 10, shape=(2, 3), strides=(3, 1)),
            "columns": tensor("s", 10, shape=(2, 3), strides=(1, 2), offset=4),
            "steps": tensor("n", 1, shape=(), strides=(), dtype="Long"),
            "nothing": tensor("s", 10, shape=(0, 3), strides=(3, 1)),
        },
        {"s": storage, "n": np.array([7], dtype="<i8")},
    )
    tensors = read_torch_weights(body, URI)
    assert list(tensors) == ["rows", "columns", "steps", "nothing"]
    assert tensors["rows"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["columns"].tolist() == [[4, 6, 8], [5, 7, 9]]
    assert tensors["columns"].flags.c_contiguous
    assert (tensors["steps"].shape, tensors["steps"].dtype, int(tensors["steps"])) == ((), np.int64, 7)
    assert tensors["nothing"].shape == (0, 3)


@pytest.mark.parametrize("position", range(5))
def test_a_pickle_that_would_run_a_command_is_refused_and_runs_nothing(tmp_path: Path, position: int):
    trace = tmp_path / "was_here"

    class Attack:
        def __reduce__(self) -> tuple[object, ...]:
            return os.system, (f"touch {trace}",)

    pickles = [pickle.dumps(value, 2) for value in (MAGIC_NUMBER, PROTOCOL_VERSION, PLATFORM, {}, [])]
    pickles[position] = pickle.dumps(Attack(), 2)
    pickle.loads(pickles[position])
    assert trace.exists(), "the attack itself must work, or this test shows nothing"
    trace.unlink()
    with pytest.raises(ArtifactIntegrityError, match=r"weights\.pth: expected only the globals .* posix\.system"):
        read_torch_weights(b"".join(pickles), URI)
    assert not trace.exists()


@pytest.mark.parametrize(
    "attack",
    [
        pytest.param(b"cbuiltins\neval\n(" + opcodes("1") + b"tR.", id="global"),
        pytest.param(b"(ibuiltins\neval\n.", id="inst"),
        pytest.param(b"\x80\x04" + opcodes("builtins") + opcodes("eval") + b"\x93.", id="stack_global"),
        pytest.param(b"ctorch\nDoubleStorage\n.", id="other_storage"),
        pytest.param(b"\x80\x04" + opcodes("collections") + opcodes("OrderedDict.fromkeys") + b"\x93.", id="dotted"),
        pytest.param(b"ctorch._utils\n_rebuild_tensor\n.", id="other_rebuild"),
    ],
)
def test_every_global_outside_the_whitelist_is_refused(attack: bytes):
    with pytest.raises(ArtifactIntegrityError, match="only the globals of a dictionary of tensors"):
        read_torch_weights(attack, URI)


def test_bytes_cut_short_anywhere_are_refused():
    body = two_by_three()
    assert read_torch_weights(body, URI)["w"].shape == (2, 3)
    for size in range(len(body)):
        with pytest.raises(ArtifactIntegrityError):
            read_torch_weights(body[:size], URI)


@pytest.mark.parametrize(
    "view",
    [
        pytest.param({"strides": (4, 1)}, id="stride"),
        pytest.param({"offset": 1}, id="offset"),
        pytest.param({"shape": (2, 4)}, id="shape"),
        pytest.param({"shape": (10**6, 10**6), "strides": (0, 0)}, id="one_item_spread_over_terabytes"),
    ],
)
def test_a_view_beyond_its_storage_is_refused(view: dict[str, object]):
    with pytest.raises(ArtifactIntegrityError, match="tensor 'w' inside its storage of 6 items"):
        read_torch_weights(two_by_three(**view), URI)


@pytest.mark.parametrize(
    "view",
    [
        pytest.param({"offset": -1}, id="offset"),
        pytest.param({"strides": (-3, 1)}, id="stride"),
        pytest.param({"shape": (-2, 3)}, id="shape"),
        pytest.param({"strides": (1,)}, id="fewer_strides"),
        pytest.param({"shape": (2, 3.0)}, id="float"),
    ],
)
def test_a_view_that_makes_no_sense_is_refused(view: dict[str, object]):
    with pytest.raises(ArtifactIntegrityError, match="none negative"):
        read_torch_weights(two_by_three(**view), URI)


def test_a_storage_of_another_count_than_declared_is_refused():
    body = legacy_file(
        {"w": tensor("s", 6, shape=(6,), strides=(1,))}, {"s": np.arange(6, dtype="<f4")}, count_error=-1
    )
    with pytest.raises(ArtifactIntegrityError, match="6 items in storage s, got a count of 5"):
        read_torch_weights(body, URI)


def test_a_tensor_without_its_storage_is_refused():
    with pytest.raises(ArtifactIntegrityError, match="names of 1 storages"):
        read_torch_weights(legacy_file({"w": tensor("s", 6, shape=(6,), strides=(1,))}, {}), URI)


def test_bytes_after_the_last_storage_are_refused():
    with pytest.raises(ArtifactIntegrityError, match="got 3 more bytes"):
        read_torch_weights(two_by_three() + b"abc", URI)


def test_a_file_of_a_big_endian_machine_is_refused():
    body = legacy_file({}, {}, platform={**PLATFORM, "little_endian": False})
    with pytest.raises(ArtifactIntegrityError, match="little-endian"):
        read_torch_weights(body, URI)


@pytest.mark.parametrize("body", [b"", b"no pickle at all", b"PK\x03\x04" + bytes(100)])
def test_other_files_are_refused(body: bytes):
    with pytest.raises(ArtifactIntegrityError, match=r"weights\.pth: expected the pickles of torch's legacy format"):
        read_torch_weights(body, URI)


def test_values_that_are_no_tensors_are_refused():
    with pytest.raises(ArtifactIntegrityError, match="one dictionary of tensors"):
        read_torch_weights(legacy_file({"w": opcodes(3)}, {}), URI)


def test_the_real_file_holds_the_model_of_4694024_parameters():
    from importlib import resources

    package = PACKAGES["efficientnet_lite0"]
    tensors = read_torch_weights(resources.files(package.module).joinpath(package.file).read_bytes(), URI)
    parameters = {name: array for name, array in tensors.items() if not name.endswith("num_batches_tracked")}
    assert len(tensors) == 296
    assert sum(array.size for array in parameters.values()) == 4_694_024
    assert {array.dtype for array in parameters.values()} == {np.dtype(np.float32)}
    assert tensors["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert all(np.isfinite(array).all() for array in parameters.values())
