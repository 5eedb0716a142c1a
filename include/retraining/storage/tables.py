"""Tables as Parquet with a declared schema: same rows, same bytes."""

from __future__ import annotations

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from include.retraining.errors import ArtifactIntegrityError


def to_parquet(frame: pd.DataFrame, schema: pa.Schema) -> bytes:
    """Returns the columns of a schema as Parquet; equal rows give equal bytes under one version of Arrow."""
    table = pa.Table.from_pandas(frame[schema.names], schema=schema, preserve_index=False)
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(None), sink, compression="zstd")
    return sink.getvalue()


def from_parquet(body: bytes, schema: pa.Schema, uri: str) -> pd.DataFrame:
    """Returns the rows of a table.

    Raises:
        ArtifactIntegrityError: If the bytes are no table of this schema.
    """
    try:
        table = pq.read_table(io.BytesIO(body))
    except (pa.ArrowException, OSError) as error:
        raise ArtifactIntegrityError(uri, "a Parquet table", "bytes that are none") from error
    if not table.schema.equals(schema, check_metadata=False):
        raise ArtifactIntegrityError(uri, f"columns {schema.names}", f"columns {table.schema.names} or other types")
    frame: pd.DataFrame = table.to_pandas()
    return frame
