"""A `.keras` file whose bytes depend on the model alone. Keras itself writes the time and memory addresses into it."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import keras

from include.retraining.errors import ArtifactIntegrityError

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip entry can have


def to_bytes(model: keras.Model) -> bytes:
    """Returns a model as a `.keras` file; equal models give equal bytes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        return canonical(path.read_bytes())


def from_bytes(body: bytes, uri: str = "a .keras file") -> keras.Model:
    """Returns the model that a `.keras` file holds.

    Args:
        body: The file.
        uri: Where it comes from, for the error.

    Raises:
        ArtifactIntegrityError: If it is none, or holds code, which is not run (Keras's safe mode).
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        path.write_bytes(body)
        try:
            return keras.saving.load_model(path, compile=False, safe_mode=True)
        except MemoryError:
            raise  # the worker's fault
        except Exception as error:
            # Keras says by all kinds of exceptions that a file is none, holds code, or is of another release.
            said = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]}"
            raise ArtifactIntegrityError(uri, "a Keras model that loads in safe mode", said) from error


def canonical(body: bytes) -> bytes:
    """Returns a `.keras` file without the moment it was saved at and with objects numbered in order of appearance."""
    sink = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(body)) as source, zipfile.ZipFile(sink, "w") as target:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "metadata.json":
                metadata = json.loads(content)
                metadata.pop("date_saved", None)
                content = json.dumps(metadata, sort_keys=True).encode()
            elif name == "config.json":
                content = json.dumps(_renumber(json.loads(content), {}), sort_keys=True).encode()
            entry = zipfile.ZipInfo(name, date_time=EPOCH)
            target.writestr(entry, content, compress_type=zipfile.ZIP_STORED)
    return sink.getvalue()


def _renumber(node: Any, numbers: dict[int, int]) -> Any:
    """Replaces shared object ids, which are memory addresses, by 0, 1, 2, … in order of appearance."""
    if isinstance(node, list):
        return [_renumber(item, numbers) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: numbers.setdefault(value, len(numbers)) if key == "shared_object_id" else _renumber(value, numbers)
        for key, value in node.items()
    }
