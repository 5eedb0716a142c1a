from __future__ import annotations

import io
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from include.retraining.errors import DataContractError
from include.retraining.intake.delivery import manifest_parquet
from include.retraining.intake.delivery.manifest_parquet import read_parquet
from include.retraining.intake.delivery.manifest_rows import Manifest, ManifestFile, ManifestRow

BATCH = "s3://lake/incoming/flowers/2026-01-02/"


def body_of(table: pa.Table, **options: object) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def read(body: bytes) -> Manifest:
    return read_parquet(ManifestFile(BATCH, "labels.parquet", body))


def test_each_row_is_a_row_and_columns_may_stand_in_any_order():
    table = pa.table({"split": ["test", None], "label": ["daisy", " Poppy"], "image": ["a.png", "two\nlines.png"]})

    assert read(body_of(table)) == Manifest(
        rows=(ManifestRow("a.png", "daisy", "", "test"), ManifestRow("two\nlines.png", " Poppy", "", "")), warnings=()
    )


def test_all_row_groups_are_read_some_rows_at_a_time(monkeypatch):
    monkeypatch.setattr(manifest_parquet, "BATCH_ROWS", 7)
    table = pa.table({"image": [f"{number}.png" for number in range(100)], "label": ["daisy"] * 100})

    rows = read(body_of(table, row_group_size=30)).rows

    assert [row.image for row in rows] == [f"{number}.png" for number in range(100)]
    assert set(rows[0][1:]) == {"daisy", ""}


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        pytest.param(pa.array([7, None]), ["7", ""], id="whole numbers"),
        pytest.param(pa.array([7.0, None, 0.5, float("nan")]), ["7", "", "0.5", ""], id="numbers with gaps"),
        pytest.param(pa.array([1.5, 2.0], pa.float16()), ["1.5", "2"], id="short numbers"),
        pytest.param(pa.array([True, False]), ["true", "false"], id="booleans"),
        pytest.param(pa.array([Decimal("1.50")]), ["1.50"], id="decimals"),
        pytest.param(pa.array([date(2026, 1, 2)]), ["2026-01-02"], id="dates"),
        pytest.param(
            pa.array([datetime(2026, 1, 2, 3, tzinfo=UTC)], pa.timestamp("ns", "UTC")),
            ["2026-01-02T03:00:00+00:00"],
            id="moments",
        ),
        pytest.param(pa.array([None, None], pa.null()), ["", ""], id="nothing"),
        pytest.param(pa.array(["a", "b"]).dictionary_encode(), ["a", "b"], id="categories"),
        pytest.param(pa.array(["a"], pa.large_string()), ["a"], id="long texts"),
    ],
)
def test_values_that_are_no_text_become_text_by_a_stated_rule(values, texts):
    table = pa.table({"image": ["a.png"] * len(values), "label": ["daisy"] * len(values), "group": values})

    assert [row.group for row in read(body_of(table)).rows] == texts


def test_rows_that_say_nothing_are_no_rows():
    table = pa.table({"image": ["a.png", None, ""], "label": ["daisy", None, ""], "extra": [1, 2, 3]})

    manifest = read(body_of(table))

    assert manifest == Manifest(rows=(ManifestRow("a.png", "daisy", "", "", '{"extra":"1"}'),), warnings=())


def test_other_columns_are_attributes_and_those_without_plain_values_are_left_out_and_told():
    table = pa.table(
        {
            "image": ["a.png", "b.png"],
            "label": ["daisy", "poppy"],
            "scale": [2.0, None],
            "box": [[1], [2]],
            "is_night": [True, False],
            "thumb": [b"x", b"y"],
            "a=b": [1, 2],
        }
    )

    manifest = read(body_of(table))

    assert [row.attributes for row in manifest.rows] == ['{"is_night":"true","scale":"2"}', '{"is_night":"false"}']
    names, values = manifest.warnings
    assert names.endswith("without '=' and without spaces around it: 'a=b'")
    assert values == "labels.parquet: not used, since they hold no plain values: 'box', 'thumb'"


def test_a_row_with_too_long_an_attribute_is_refused_by_its_number(monkeypatch):
    monkeypatch.setattr(manifest_parquet, "BATCH_ROWS", 7)
    texts = ["x"] * 16 + ["x" * 201]
    table = pa.table({"image": texts, "label": ["daisy"] * 17, "note": texts})

    with pytest.raises(DataContractError, match="row 17 has 201 characters as 'note', and 200 are kept at most"):
        read(body_of(table))


def test_a_table_without_rows_has_no_rows():
    schema = pa.schema({"image": pa.string(), "label": pa.string()})

    assert read(body_of(schema.empty_table())) == Manifest(rows=(), warnings=())


GOOD = body_of(pa.table({"image": ["a.png"] * 500, "label": ["daisy"] * 500}))


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(b"", "cannot be read as Parquet", id="empty"),
        pytest.param(b"image,label\na.png,daisy\n", "cannot be read as Parquet", id="CSV"),
        pytest.param(GOOD[: len(GOOD) // 2], "cannot be read as Parquet", id="cut off"),
        pytest.param(GOOD[:20] + bytes(60) + GOOD[80:], "cannot be read as Parquet", id="damaged"),
        pytest.param(body_of(pa.table({"image": ["a.png"]})), "no column 'label'", id="missing column"),
        pytest.param(
            body_of(pa.table({"image": ["a"], "label": ["b"], "gruop": ["c"]})), "did you mean 'group'", id="misspelt"
        ),
        pytest.param(
            body_of(pa.Table.from_arrays([pa.array(["a"])] * 3, ["image", "label", "label"])), "twice", id="twice"
        ),
        pytest.param(
            body_of(pa.table({"image": ["a"], "label": ["b"], "date": [1]})), "'date' is taken", id="the day's name"
        ),
        pytest.param(
            body_of(pa.table({"image": [{"path": "a.png", "bytes": b""}], "label": ["daisy"]})),
            "'image' holds values of type struct<",
            id="nested",
        ),
        pytest.param(
            body_of(pa.table({"image": ["a.png"], "label": [["daisy"]]})),
            "'label' holds values of type list<",
            id="list",
        ),
        pytest.param(
            body_of(pa.table({"image": [b"a.png"], "label": ["daisy"]})), "'image' holds values of type bin", id="bytes"
        ),
    ],
)
def test_a_table_that_cannot_be_read_is_refused_with_what_must_be_done(body, told):
    with pytest.raises(DataContractError) as refusal:
        read(body)

    message = str(refusal.value)
    assert message.startswith(f"{BATCH} is refused: labels.parquet: ")
    assert told in message
    assert len(message) < 600


def test_text_that_is_not_utf_8_is_refused():
    raw = pa.StringArray.from_buffers(1, pa.py_buffer(b"\0\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    body = body_of(pa.table({"image": raw, "label": ["daisy"]}))

    with pytest.raises(DataContractError, match="cannot be read as Parquet"):
        read(body)
