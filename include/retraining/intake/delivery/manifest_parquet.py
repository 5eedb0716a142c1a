"""A manifest in Parquet. Which columns there may be is in `manifest_rows.py`."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from include.retraining.intake.delivery.manifest_rows import (
    COLUMNS,
    Manifest,
    ManifestFile,
    ManifestRow,
    check_columns,
    is_usable,
    made_manifest,
    made_row,
    shown,
    text_of,
)

BATCH_ROWS = 8192  # that are in memory as Arrow values at a time


def read_parquet(file: ManifestFile) -> Manifest:
    """Returns what a Parquet table says, read some rows at a time. How values become text says `text_of`.

    An attribute that holds lists, objects or bytes is left out.

    Raises:
        DataContractError: If the file cannot be read, a column is missing or unclear, or a known one holds no plain
            values.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(file.body)) as table:
            warnings = check_columns(table.schema_arrow.names, file)
            _check_types(table.schema_arrow, file)
            usable = [field for field in table.schema_arrow if is_usable(field.name)]
            plain = [field.name for field in usable if _is_plain(field.type)]
            if left_out := [field.name for field in usable if field.name not in plain]:
                ignored = shown(", ".join(repr(name) for name in left_out))
                warnings += (f"{file.name}: not used, since they hold no plain values: {ignored}",)
            return made_manifest(_rows(table, plain, file), warnings)
    except (pa.ArrowException, OSError, ValueError) as error:
        problem = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise file.refusal(f"it cannot be read as Parquet ({problem}): write it again") from error


def _rows(table: pq.ParquetFile, columns: Sequence[str], file: ManifestFile) -> Iterator[ManifestRow]:
    numbers = itertools.count(1)
    for rows in table.iter_batches(BATCH_ROWS, columns=columns):
        texts = [[text_of(value) for value in rows.column(name).to_pylist()] for name in columns]
        for *values, number in zip(*texts, numbers, strict=False):  # numbers last: else each batch would lose one
            try:
                yield made_row(dict(zip(columns, values, strict=True)))
            except ValueError as error:
                raise file.refusal(f"row {number} {error}") from error


def _check_types(schema: pa.Schema, file: ManifestFile) -> None:
    for name in COLUMNS:
        if name in schema.names and not _is_plain(kind := schema.field(name).type):
            raise file.refusal(f"the column {name!r} holds values of type {kind}; texts are expected: write it as text")


def _is_plain(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    is_plain = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_boolean,
        pa.types.is_date,
        pa.types.is_timestamp,
        pa.types.is_null,
    )
    return any(holds(kind) for holds in is_plain)
