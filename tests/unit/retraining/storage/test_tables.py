from __future__ import annotations

from datetime import date

import pandas as pd
import pyarrow as pa
import pytest

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.storage.tables import arrow_to_parquet, from_parquet, to_arrow, to_parquet

SCHEMA = pa.schema({"image_id": pa.string(), "width": pa.int32(), "step": pa.float64(), "date": pa.date32()})


def frame(**columns: object) -> pd.DataFrame:
    values = {
        "image_id": ["a", "b", ""],
        "width": [1, 2, 3],
        "step": [0.1, 0.2, 0.3],
        "date": [date(2026, 1, day) for day in (1, 2, 3)],
    }
    return pd.DataFrame({**values, **columns})


def test_rows_come_back_as_they_were_written():
    back = from_parquet(to_parquet(frame(), SCHEMA), SCHEMA, "s3://b/k")
    assert back.to_dict("records") == frame().to_dict("records")
    assert list(back.columns) == SCHEMA.names


def test_columns_can_be_read_alone_and_the_whole_schema_must_fit_all_the_same():
    body = to_parquet(frame(), SCHEMA)

    assert list(from_parquet(body, SCHEMA, "s3://b/k", columns=["width"]).columns) == ["width"]
    with pytest.raises(ArtifactIntegrityError, match="s3://b/k: expected columns"):
        from_parquet(body, SCHEMA.remove(0), "s3://b/k", columns=["width"])


def test_parts_that_are_joined_give_the_bytes_of_the_whole():
    parts = [to_arrow(frame().iloc[start : start + 1], SCHEMA) for start in range(3)]

    joined = pa.concat_tables(parts).combine_chunks()

    assert arrow_to_parquet(joined) == to_parquet(frame(), SCHEMA)


def test_equal_rows_give_equal_bytes_whatever_the_index_the_order_of_columns_and_what_else_is_there():
    body = to_parquet(frame(), SCHEMA)
    assert to_parquet(frame().set_index(pd.Index([7, 3, 5])), SCHEMA) == body
    assert to_parquet(frame()[["date", "step", "width", "image_id"]].assign(more=1), SCHEMA) == body
    assert to_parquet(from_parquet(body, SCHEMA, "s3://b/k"), SCHEMA) == body


def test_other_rows_and_another_order_of_rows_give_other_bytes():
    bodies = {
        to_parquet(frame(), SCHEMA),
        to_parquet(frame()[::-1], SCHEMA),
        to_parquet(frame(width=[1, 2, 4]), SCHEMA),
    }
    assert len(bodies) == 3


def test_a_table_without_rows_keeps_its_columns():
    back = from_parquet(to_parquet(pd.DataFrame(columns=SCHEMA.names), SCHEMA), SCHEMA, "s3://b/k")
    assert back.empty
    assert list(back.columns) == SCHEMA.names


def test_a_missing_column_is_refused_when_writing():
    with pytest.raises(KeyError, match="width"):
        to_parquet(frame().drop(columns="width"), SCHEMA)


@pytest.mark.parametrize(
    "column", [{"width": ["wide", "wider", "widest"]}, {"width": [2**40, 1, 2]}, {"step": ["a", "b", "c"]}]
)
def test_a_column_of_another_type_is_refused_when_writing(column: dict[str, object]):
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        to_parquet(frame(**column), SCHEMA)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param(pa.schema([*SCHEMA, pa.field("more", pa.string())]), id="one more column"),
        pytest.param(pa.schema([field for field in SCHEMA if field.name != "step"]), id="one column less"),
        pytest.param(pa.schema(list(SCHEMA)[::-1]), id="another order"),
        pytest.param(SCHEMA.set(1, pa.field("width", pa.int64())), id="another type"),
    ],
)
def test_a_table_of_another_schema_is_refused(schema: pa.Schema):
    body = to_parquet(frame(more=["x", "y", "z"]), schema)
    with pytest.raises(ArtifactIntegrityError, match=r"s3://b/k: expected columns \['image_id', 'width', 'step'"):
        from_parquet(body, SCHEMA, "s3://b/k")


@pytest.mark.parametrize("columns", [None, ["attributes", "width"], ["width"]])
def test_a_column_that_an_earlier_version_did_not_have_is_empty_where_it_is_missing(columns):
    schema = pa.schema([pa.field("attributes", pa.string()), *SCHEMA])

    back = from_parquet(to_parquet(frame(), SCHEMA), schema, "s3://b/k", columns=columns)

    assert list(back.columns) == (columns or schema.names)
    assert list(back["width"]) == list(frame()["width"])
    assert "attributes" not in back or list(back["attributes"]) == [""] * len(frame())


def test_a_column_of_another_type_is_refused_though_it_may_be_missing():
    schema = pa.schema([*SCHEMA, pa.field("attributes", pa.string())])
    body = to_parquet(frame(attributes=[1, 2, 3]), schema.set(len(SCHEMA), pa.field("attributes", pa.int64())))

    with pytest.raises(ArtifactIntegrityError, match="or other types"):
        from_parquet(body, schema, "s3://b/k")


@pytest.mark.parametrize("body", [b"", b"PAR1", b"a,b\n1,2\n", b"PAR1" + bytes(64) + b"PAR1"])
def test_bytes_that_are_no_table_are_refused(body: bytes):
    with pytest.raises(ArtifactIntegrityError, match="expected a Parquet table, got bytes that are none"):
        from_parquet(body, SCHEMA, "s3://b/k")


def test_a_table_that_was_cut_or_overwritten_anywhere_is_refused_or_still_a_table():
    body = to_parquet(frame(), SCHEMA)
    refused = 0
    for start in range(0, len(body), 7):
        for broken in (body[:start], body[:start] + bytes(7) + body[start + 7 :]):
            try:
                from_parquet(broken, SCHEMA, "s3://b/k")
            except ArtifactIntegrityError:
                refused += 1
    assert refused > len(body) // 7  # every cut one, and many an overwritten one
