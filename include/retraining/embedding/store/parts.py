"""Parts of the embedding store: some images' ids and vectors as two Arrow files, and a manifest that names them.

A part is named by its ids alone, so whoever is about to compute vectors can ask first whether they are there. Its file
of vectors is named by its bytes: of two writers whose processors round the last bit otherwise, neither overwrites what
the other's manifest names. What to do with parts is in `vectors.py`, where each id lies in `index.py`.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import get_many, put_many
from include.retraining.storage.publishing import (
    MANIFEST,
    Manifest,
    content_type_of,
    manifest_of,
    parse_manifest,
    sha256,
)

IDS = "ids.arrow"
ID_BYTES = 32
ID = np.dtype(f"S{ID_BYTES}")  # compares byte by byte, as unsigned numbers; NUL bytes at the end differ from nothing

_VECTORS = "vectors-"
_ID_FIELD = pa.field("image_id", pa.binary(ID_BYTES), nullable=False)
_AT_ONCE = 256

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StoredPart:
    """What a listing tells of a published part.

    Attributes:
        name: The folder that it lies in.
        size_bytes: Of all that lies there.
    """

    name: str
    size_bytes: int


@dataclass(frozen=True)
class Part:
    """The content of a part.

    Attributes:
        ids: Shape `(n_images,)`, `ID`, ascending.
        vectors: Shape `(n_images, n_features)`, float32 or float16.
    """

    ids: np.ndarray
    vectors: np.ndarray


def binary_ids(image_ids: Sequence[str]) -> np.ndarray:
    """Returns image ids as the 32 bytes that their 64 hexadecimal digits stand for, shape `(n_images,)`, `ID`.

    Raises:
        ValueError: If one is not 64 hexadecimal digits in lower case.
    """
    joined = "".join(image_ids)
    try:
        body = bytes.fromhex(joined)
    except ValueError:
        body = b""
    # fromhex skips blanks and takes capitals: then two texts would be one id.
    if len(body) != ID_BYTES * len(image_ids) or joined != joined.lower() or set(map(len, image_ids)) - {2 * ID_BYTES}:
        _refuse_ids(image_ids)
    return np.frombuffer(body, ID)


def part_name(ids: np.ndarray) -> str:
    """Returns the name of the part that holds these ids, which must be ascending."""
    return sha256(ids.tobytes())[:16]


def part_prefix(fingerprint: str, name: str) -> str:
    """Returns the prefix of a part."""
    return f"{layout.embedding_parts(fingerprint)}{name}/"


def list_parts(store: ObjectStore, fingerprint: str) -> tuple[StoredPart, ...]:
    """Returns the published parts of an extractor in the order of their names; a listing alone, nothing is read."""
    root = layout.embedding_parts(fingerprint)
    sizes: dict[str, int] = {}
    published = set()
    for found in store.list(root):
        name, _, file = found.key.removeprefix(root).partition("/")
        sizes[name] = sizes.get(name, 0) + found.size_bytes
        if file == MANIFEST:
            published.add(name)
    return tuple(StoredPart(name, sizes[name]) for name in sorted(published))


def has_parts(store: ObjectStore, fingerprint: str) -> bool:
    """Tells whether an extractor has any published part."""
    return any(found.key.endswith(f"/{MANIFEST}") for found in store.list(layout.embedding_parts(fingerprint)))


def part_files(part: Part) -> dict[str, bytes]:
    """Returns the files of a part by name, equal for equal parts under one version of Arrow."""
    vectors = _vectors_to_arrow(part)
    return {
        IDS: to_arrow(pa.record_batch([_id_array(part.ids)], pa.schema([_ID_FIELD]))),
        _vectors_name(vectors): vectors,
    }


def put_part(store: ObjectStore, prefix: str, files: Mapping[str, bytes]) -> None:
    """Writes files and then their manifest, whatever was there before."""
    put_many(store, {f"{prefix}{name}": body for name, body in files.items()}, content_type_of)
    store.put(f"{prefix}{MANIFEST}", manifest_of(files).to_json(), content_type="application/json")


def ids_of(body: bytes | None, name: str, uri: str) -> np.ndarray:
    """Returns the ids in the bytes of a part's `ids.arrow`; the part's name vouches for them, no manifest is needed.

    Raises:
        ArtifactIntegrityError: If they are not the ids that the part is named by.
    """
    if body is None:
        raise ArtifactIntegrityError(uri, f"ids of part {name}", "no object")
    return _named_ids(from_arrow(body, uri), name, uri)


def read_parts(
    store: ObjectStore, fingerprint: str, parts: Sequence[StoredPart]
) -> Iterator[tuple[StoredPart, Part | None]]:
    """Yields the content of parts in the order given; None, and a warning, where bytes are not those published.

    Memory does not depend on the number of parts: `get_many` bounds how many bytes are read ahead.
    """
    for start in range(0, len(parts), _AT_ONCE):
        some = parts[start : start + _AT_ONCE]
        manifests = _read_manifests(store, fingerprint, some)
        known = [part for part in some if part.name in manifests]
        keys = [f"{part_prefix(fingerprint, part.name)}{vectors_file(manifests[part.name])}" for part in known]
        bodies = get_many(store, keys, [part.size_bytes for part in known])
        for part in some:
            if part.name not in manifests:
                yield part, None
                continue
            uri = uri_of(store, f"{part_prefix(fingerprint, part.name)}{vectors_file(manifests[part.name])}")
            try:
                yield part, _verified_part(next(bodies), manifests[part.name], part.name, uri)
            except ArtifactIntegrityError as error:
                pass_over(error)
                yield part, None


def pass_over(problem: ArtifactIntegrityError) -> None:
    """Says in the log that stored bytes are not used, and why."""
    logger.warning("passed over uri=%s expected=%s got=%s", problem.uri, problem.expected, problem.got)


def vectors_file(manifest: Manifest) -> str:
    """Returns the name of the file of vectors; empty where the manifest lists none, or several."""
    names = [name for name in manifest.files if name.startswith(_VECTORS)]
    return names[0] if len(names) == 1 else ""


def to_arrow(batch: pa.RecordBatch) -> bytes:
    """Returns a batch as an Arrow file, not compressed, so that it can be read in place."""
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return sink.getvalue()


def from_arrow(body: bytes, uri: str) -> pa.RecordBatch:
    """Returns the one batch of an Arrow file; its columns lie in the bytes given.

    Raises:
        ArtifactIntegrityError: If the bytes are no Arrow file of one batch.
    """
    try:
        with pa.ipc.open_file(pa.BufferReader(body)) as reader:
            if reader.num_record_batches == 1:
                return reader.get_batch(0)
    except (pa.ArrowException, OSError) as error:
        raise ArtifactIntegrityError(uri, "an Arrow file", "bytes that are none") from error
    raise ArtifactIntegrityError(uri, "an Arrow file of one batch", "another number of batches")


def _refuse_ids(image_ids: Sequence[str]) -> None:
    digits = set("0123456789abcdef")
    wrong = next(it for it in image_ids if len(it) != 2 * ID_BYTES or not digits.issuperset(it))
    raise ValueError(f"Expected image ids of {2 * ID_BYTES} hexadecimal digits in lower case; got {wrong!r}.")


def _read_manifests(store: ObjectStore, fingerprint: str, parts: Sequence[StoredPart]) -> dict[str, Manifest]:
    """Returns the manifests by part; one that cannot be used is left out, with a warning."""
    manifests = {}
    keys = [f"{part_prefix(fingerprint, part.name)}{MANIFEST}" for part in parts]
    for part, key, body in zip(parts, keys, get_many(store, keys), strict=True):
        try:
            manifest = parse_manifest(body or b"", uri_of(store, key))
            if not vectors_file(manifest):
                raise ArtifactIntegrityError(uri_of(store, key), "one file of vectors", f"{list(manifest.files)}")
            manifests[part.name] = manifest
        except ArtifactIntegrityError as error:
            pass_over(error)
    return manifests


def _verified_part(body: bytes | None, manifest: Manifest, name: str, uri: str) -> Part:
    expected = manifest.files[vectors_file(manifest)]
    if body is None or sha256(body) != expected:
        got = "no object" if body is None else f"sha256 {sha256(body)}"
        raise ArtifactIntegrityError(uri, f"sha256 {expected}", got)
    batch = from_arrow(body, uri)
    ids = _named_ids(batch, name, uri)
    kind = batch.schema.field(1).type if batch.num_columns == 2 else None
    if not isinstance(kind, pa.FixedSizeListType) or kind.value_type not in (pa.float32(), pa.float16()):
        raise ArtifactIntegrityError(uri, "ids and vectors of float32 or float16", f"columns {batch.schema.names}")
    numbers = batch.column(1).flatten().to_numpy(zero_copy_only=True)
    return Part(ids, numbers.reshape(len(ids), kind.list_size))


def _named_ids(batch: pa.RecordBatch, name: str, uri: str) -> np.ndarray:
    column = batch.column(0) if batch.num_columns else None
    if column is None or column.type != _ID_FIELD.type or column.null_count:
        raise ArtifactIntegrityError(uri, f"ids of {ID_BYTES} bytes", f"columns {batch.schema.names}")
    ids = np.frombuffer(column.buffers()[1], ID, count=len(column), offset=column.offset * ID_BYTES)
    if part_name(ids) != name:
        raise ArtifactIntegrityError(uri, f"ids of part {name}", f"ids of part {part_name(ids)}")
    return ids


def _vectors_to_arrow(part: Part) -> bytes:
    flat = pa.array(np.ascontiguousarray(part.vectors).reshape(-1))
    kind = pa.list_(pa.field("item", flat.type, nullable=False), part.vectors.shape[1])
    schema = pa.schema([_ID_FIELD, pa.field("vector", kind, nullable=False)])
    vectors = pa.FixedSizeListArray.from_arrays(flat, type=kind)
    return to_arrow(pa.record_batch([_id_array(part.ids), vectors], schema))


def _vectors_name(body: bytes) -> str:
    return f"{_VECTORS}{sha256(body)[:16]}.arrow"


def _id_array(ids: np.ndarray) -> pa.Array:
    return pa.FixedSizeBinaryArray.from_buffers(_ID_FIELD.type, len(ids), [None, pa.py_buffer(ids.tobytes())])
