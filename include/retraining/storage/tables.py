"""Tables as Parquet with a declared schema: same rows, same bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.schemas import ADDED


def to_parquet(frame: pd.DataFrame, schema: pa.Schema) -> bytes:
    """Returns the columns of a schema as Parquet; equal rows give equal bytes under one version of Arrow."""
    return arrow_to_parquet(to_arrow(frame, schema))


def to_arrow(frame: pd.DataFrame, schema: pa.Schema) -> pa.Table:
    """Returns the columns of a schema as an Arrow table: several of them together take little memory."""
    table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    return table.replace_schema_metadata(None)


def arrow_to_parquet(table: pa.Table) -> bytes:
    """Returns an Arrow table as Parquet; equal rows in one chunk give equal bytes, as `to_parquet` does."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def from_parquet(body: bytes, schema: pa.Schema, uri: str, *, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Returns the rows of a table.

    Args:
        body: The table.
        schema: What its columns must be; those that an earlier version did not have (`ADDED`) may be missing.
        uri: Where it comes from, for the error.
        columns: Those of its columns to read; all by default.

    Raises:
        ArtifactIntegrityError: If the bytes are no table of this schema.
    """
    try:
        with pq.ParquetFile(pa.BufferReader(body)) as file:
            found = file.schema_arrow
            wanted = list(schema.names if columns is None else columns)
            table = file.read(columns=[name for name in wanted if name in found.names])
    except (pa.ArrowException, OSError) as error:
        raise ArtifactIntegrityError(uri, "a Parquet table", "bytes that are none") from error
    expected = pa.schema([field for field in schema if field.name in found.names or field.name not in ADDED])
    if not found.equals(expected, check_metadata=False):
        raise ArtifactIntegrityError(uri, f"columns {schema.names}", f"columns {found.names} or other types")
    frame: pd.DataFrame = table.to_pandas()
    missing = {name: text for name, text in ADDED.items() if name in wanted and name not in found.names}
    return frame.assign(**missing)[wanted] if missing else frame
