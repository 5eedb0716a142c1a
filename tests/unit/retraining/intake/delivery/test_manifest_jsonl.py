from __future__ import annotations

import json

import pytest

from include.retraining.errors import DataContractError
from include.retraining.intake.delivery.manifest_jsonl import read_jsonl
from include.retraining.intake.delivery.manifest_rows import Manifest, ManifestFile, ManifestRow

BATCH = "s3://lake/incoming/flowers/2026-01-02/"
GOOD = '{"image": "a.png", "label": "daisy"}'


def read(*lines: str | bytes, line_end: bytes = b"\n") -> Manifest:
    body = line_end.join(line if isinstance(line, bytes) else line.encode() for line in lines)
    return read_jsonl(ManifestFile(BATCH, "labels.jsonl", body))


def test_each_line_is_a_row_and_a_name_that_it_lacks_is_empty():
    manifest = read(GOOD, '{"split": "test", "label": "poppy", "image": "b.png"}', '{"image": "c.png", "group": "7"}')

    assert manifest == Manifest(
        rows=(
            ManifestRow("a.png", "daisy", "", ""),
            ManifestRow("b.png", "poppy", "", "test"),
            ManifestRow("c.png", "", "7", ""),
        ),
        warnings=(),
    )


def test_a_byte_order_mark_blank_lines_and_carriage_returns_are_read():
    manifest = read(b"\xef\xbb\xbf" + GOOD.encode(), "", "  ", GOOD, "", line_end=b"\r\n")

    assert manifest.rows == (ManifestRow("a.png", "daisy", "", ""),) * 2


@pytest.mark.parametrize(
    ("value", "text"),
    [("null", ""), ("7", "7"), ("-12", "-12"), ("7.0", "7"), ("0.5", "0.5"), ("true", "true"), ("false", "false")],
)
def test_values_that_are_no_text_become_text_by_a_stated_rule(value, text):
    manifest = read(f'{{"image": "a.png", "label": {value}, "group": {value}}}')

    assert manifest.rows == (ManifestRow("a.png", text, text, ""),)


@pytest.mark.parametrize(
    ("value", "attributes"),
    [
        ("7", '{"site":"7"}'),
        ("7.0", '{"site":"7"}'),
        ("true", '{"site":"true"}'),
        ('"ü"', '{"site":"ü"}'),
        ("null", ""),
        ('""', ""),
    ],
)
def test_attributes_become_text_by_the_same_rule(value, attributes):
    (row,) = read(f'{{"image": "a.png", "site": {value}, "label": "daisy"}}').rows

    assert row.attributes == attributes


def test_names_that_no_recipe_could_use_are_left_out_whatever_they_hold_and_told_once():
    odd = '{"image": "a.png", "label": "daisy", " site": "x", "\\ud800": "x", "a=b": [1], "": {}}'

    manifest = read(odd, odd)

    assert manifest.rows == (ManifestRow("a.png", "daisy", "", ""),) * 2
    (warning,) = manifest.warnings
    assert warning.endswith("without '=' and without spaces around it: ' site', '\\ud800', 'a=b', ''")


def test_a_line_with_too_long_an_attribute_is_refused_by_its_number():
    with pytest.raises(DataContractError, match="line 2 has 201 characters as 'site', and 200 are kept at most"):
        read(GOOD, f'{{"image": "b.png", "label": "daisy", "site": "{"x" * 201}"}}')


@pytest.mark.parametrize("name", [" a b.png", "日本.png", "a\u2028b.png", "two\nlines.png", '"<script>"', "../a.png"])
def test_names_are_kept_letter_for_letter(name):
    plain = json.dumps({"image": name, "label": " Daisy"}, ensure_ascii=False)
    escaped = json.dumps({"image": name, "label": " Daisy"})

    assert read(plain, escaped).rows == (ManifestRow(name, " Daisy", "", ""),) * 2


def test_attributes_that_are_lists_or_objects_are_left_out_and_told_once():
    boxed = '{"image": "a.png", "label": "daisy", "box": [1, {"x": 2}], "camera": 1}'

    manifest = read(boxed, '{"box": {}, "camera": 1}', boxed, '{"image": "b.png", "label": "daisy", "box": "none"}')

    assert [row.attributes for row in manifest.rows] == ['{"camera":"1"}', '{"camera":"1"}', '{"box":"none"}']
    assert manifest.warnings == ("labels.jsonl: not used where it is a list or an object: 'box'",)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        pytest.param('{"image": "b.png",', "line 2 is not valid JSON (", id="cut off"),
        pytest.param("b.png,daisy", "line 2 is not valid JSON (", id="CSV"),
        pytest.param("{'image': 'b.png'}", "line 2 is not valid JSON (", id="single quotes"),
        pytest.param('["b.png", "daisy"]', "line 2 is no JSON object, such as", id="list"),
        pytest.param('"b.png"', "line 2 is no JSON object", id="text"),
        pytest.param("null", "line 2 is no JSON object", id="null"),
        pytest.param('{"image": "b.png", "image": "c.png"}', "line 2 has 'image' twice", id="name twice"),
        pytest.param(
            '{"image": ["b.png"], "label": "daisy"}', "line 2 has a list or an object as 'image'", id="nested"
        ),
        pytest.param('{"image": "b", "label": {"a": 1}}', "line 2 has a list or an object as 'label'", id="object"),
        pytest.param('{"image": "b", "label": NaN}', "line 2 is not valid JSON (NaN is no number", id="NaN"),
        pytest.param('{"image": "b", "label": ' + "9" * 5000 + "}", "line 2 ", id="endless number"),
        pytest.param('{"image": "\\ud800", "label": "daisy"}', "line 2 has a text", id="half a surrogate pair"),
        pytest.param(b'{"image": "\xff"}', "line 2 is not UTF-8", id="not UTF-8"),
        pytest.param("[" * 100_000, "line 2 is nested too deep", id="nested too deep"),
    ],
)
def test_a_line_that_is_no_object_of_plain_values_is_refused_by_its_number(line, told):
    with pytest.raises(DataContractError) as refusal:
        read(GOOD, line)

    message = str(refusal.value)
    assert message.startswith(f"{BATCH} is refused: labels.jsonl: ")
    assert told in message
    assert len(message) < 500


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        pytest.param([""], "the file is empty", id="empty"),
        pytest.param(['{"image": "a.png"}'], "no column 'label'", id="missing column"),
        pytest.param([GOOD, '{"date": "2026-01-02"}'], "the column 'date' is taken", id="the day's name"),
        pytest.param(["{}"], "the file is empty", id="empty object"),
        pytest.param([GOOD, '{"image": "a", "label": "b", "spilt": 1}'], "did you mean 'split'", id="misspelt"),
    ],
)
def test_names_are_looked_at_as_the_columns_of_a_table_are(lines, told):
    with pytest.raises(DataContractError, match=told):
        read(*lines)
