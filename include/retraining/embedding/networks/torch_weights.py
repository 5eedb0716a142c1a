"""Reads the legacy format of `torch.save` without torch and without trusting the pickles inside it.

The format is five pickles (a magic number, a protocol version, the writer's platform, the objects, the names of the
storages), then per storage an int64 count and the raw items. A tensor is a view of a storage: offset, shape, strides.
"""

from __future__ import annotations

import collections
import io
import math
import pickle
import reprlib
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from include.retraining.errors import ArtifactIntegrityError

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
STORAGE_DTYPES = {"FloatStorage": "<f4", "LongStorage": "<i8"}

# What the C unpickler raises on bytes that are no pickle, or on one that calls its globals with nonsense.
_BROKEN_PICKLE = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    IndexError,
    KeyError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
)


class _RefusedError(Exception):
    """What the bytes say is not what this reader accepts; `read_torch_weights` adds the URI."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


@dataclass(frozen=True)
class _Storage:
    name: str
    dtype: str
    count: int


@dataclass(frozen=True)
class _View:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _WhitelistingUnpickler(pickle.Unpickler):
    """Knows the four globals of a dictionary of tensors, of which none can do anything but hold values."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        if (module_name, global_name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module_name, global_name) == ("torch._utils", "_rebuild_tensor_v2"):
            # A new function each time: a pickle may set attributes on it, and they must not outlive the pickle.
            return lambda *arguments: _to_view(arguments)
        if module_name == "torch" and global_name in STORAGE_DTYPES:
            return STORAGE_DTYPES[global_name]
        raise _RefusedError("only the globals of a dictionary of tensors", f"the global {module_name}.{global_name}")

    def persistent_load(self, pid: Any, /) -> _Storage:
        match pid:
            case ("storage", str(dtype), str(name), "cpu", int(count), None) if dtype in STORAGE_DTYPES.values():
                return _Storage(name, dtype, count)
        raise _RefusedError("storages of float32 or int64 on the cpu", f"the reference {reprlib.repr(pid)}")


def _to_view(arguments: tuple[object, ...]) -> _View:
    match arguments:
        case (_Storage() as storage, int(offset), tuple(shape), tuple(strides), bool(), collections.OrderedDict()):
            numbers = (offset, *shape, *strides)
            if len(shape) == len(strides) and all(type(number) is int and number >= 0 for number in numbers):
                return _View(storage, offset, shape, strides)
    raise _RefusedError("tensors as offset, shape and strides, none negative", reprlib.repr(arguments[1:4]))


def read_torch_weights(body: bytes, uri: str) -> dict[str, np.ndarray]:
    """Returns the tensors of a file that torch wrote in its legacy format.

    Args:
        body: The bytes of the file: one dictionary of tensors, float32 or int64.
        uri: Where they come from, for the error.

    Returns:
        Contiguous arrays by name, in the file's order, with the shapes that torch gives them.

    Raises:
        ArtifactIntegrityError: If the bytes are cut short, go on after the last storage, are not of this format, name
            a global outside the whitelist (nothing of it is imported or called), or view items outside a storage.
    """
    try:
        return _read(io.BytesIO(body))
    except _RefusedError as refusal:
        raise ArtifactIntegrityError(uri, refusal.expected, refusal.got) from None
    except _BROKEN_PICKLE as error:
        raise ArtifactIntegrityError(
            uri, "the pickles of torch's legacy format", f"{type(error).__name__}: {error}"
        ) from error


def _read(file: io.BytesIO) -> dict[str, np.ndarray]:
    magic, version, platform, objects, names = (_WhitelistingUnpickler(file).load() for _ in range(5))
    if magic != MAGIC_NUMBER or version != PROTOCOL_VERSION:
        raise _RefusedError(
            f"magic number {MAGIC_NUMBER:#x}, protocol {PROTOCOL_VERSION}",
            f"{reprlib.repr(magic)}, {reprlib.repr(version)}",
        )
    if not isinstance(platform, dict) or platform.get("little_endian") is not True:
        raise _RefusedError("a file written in little-endian order", reprlib.repr(platform))
    if not isinstance(objects, dict) or not all(
        isinstance(name, str) and isinstance(view, _View) for name, view in objects.items()
    ):
        raise _RefusedError("one dictionary of tensors by name", reprlib.repr(objects))
    storages = _read_storages(file, names, {view.storage.name: view.storage for view in objects.values()})
    return {name: _take(name, view, storages[view.storage.name]) for name, view in objects.items()}


def _read_storages(file: io.BytesIO, names: object, declared: dict[str, _Storage]) -> dict[str, np.ndarray]:
    if not isinstance(names, list) or len(names) != len(declared) or set(names) != declared.keys():
        raise _RefusedError(f"the names of {len(declared)} storages", "other names")
    storages = {}
    for name in names:
        storage = declared[name]
        (count,) = struct.unpack("<q", _exactly(file, 8))
        if count != storage.count:
            raise _RefusedError(f"{storage.count} items in storage {name}", f"a count of {count}")
        items = _exactly(file, count * np.dtype(storage.dtype).itemsize)
        storages[name] = np.frombuffer(items, storage.dtype)
    if rest := len(file.getbuffer()) - file.tell():
        raise _RefusedError("the end of the file after the last storage", f"{rest} more bytes")
    return storages


def _exactly(file: io.BytesIO, size: int) -> bytes:
    body = file.read(size) if size >= 0 else b""
    if len(body) != size:
        raise _RefusedError(f"{size} bytes of a storage", f"{len(body)} before the end of the file")
    return body


def _take(name: str, view: _View, items: np.ndarray) -> np.ndarray:
    n_items = math.prod(view.shape)
    last = view.offset + sum((n - 1) * stride for n, stride in zip(view.shape, view.strides, strict=True))
    # Stride 0 could spread one item over any amount of memory: no tensor is larger than its storage.
    if n_items > len(items) or (n_items and last >= len(items)):
        raise _RefusedError(
            f"tensor {name!r} inside its storage of {len(items)} items",
            f"offset {view.offset}, shape {view.shape}, strides {view.strides}",
        )
    if not n_items:
        return np.empty(view.shape, items.dtype)
    strides = tuple(stride * items.itemsize for stride in view.strides)
    return as_strided(items[view.offset :], view.shape, strides).copy()
