from __future__ import annotations

import pytest

from include.retraining.errors import DataContractError
from include.retraining.intake.manifests import ManifestRow, parse_manifest

BATCH = "s3://lake/incoming/flowers/2026-01-02/"


def test_columns_may_stand_in_any_order_and_the_optional_ones_may_be_missing():
    body = b"label,split,image\ndaisy,test,a.png\npoppy,,b.png\n"

    assert parse_manifest(body, BATCH) == [
        ManifestRow("a.png", "daisy", "", "test"),
        ManifestRow("b.png", "poppy", "", ""),
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_any_line_ends_are_read(line_end):
    body = "\ufeff" + line_end.join(["image,label", "a.png,daisy", "", "ü.png,poppy"])

    rows = parse_manifest(body.encode(), BATCH)

    assert [(row.image, row.label) for row in rows] == [("a.png", "daisy"), ("ü.png", "poppy")]


def test_names_and_labels_are_kept_letter_for_letter():
    body = b'image,label\n" a,b.png"," Daisy"\n"two\nlines.png",daisy\n'

    rows = parse_manifest(body, BATCH)

    assert [(row.image, row.label) for row in rows] == [(" a,b.png", " Daisy"), ("two\nlines.png", "daisy")]


def test_a_short_line_ends_in_empty_fields():
    assert parse_manifest(b"image,label,group,split\na.png,daisy\nb.png\n", BATCH) == [
        ManifestRow("a.png", "daisy", "", ""),
        ManifestRow("b.png", "", "", ""),
    ]


def test_a_line_with_too_many_fields_keeps_its_image_but_no_label():
    assert parse_manifest(b"image,label,split\na,b.png,daisy,test\n", BATCH) == [ManifestRow("a", "", "", "")]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"a.png,daisy\nb.png,poppy\n", "the header is 'a.png,daisy'", id="no header"),
        pytest.param(b"image;label\na.png;daisy\n", "separated by commas", id="semicolons"),
        pytest.param(b"image,group\na.png,7\n", "expected 'image,label'", id="missing column"),
        pytest.param(b"image,label,spilt\na.png,daisy,test\n", "'image,label,spilt'", id="misspelt column"),
        pytest.param(b"image,label,label\na.png,daisy,poppy\n", "a column twice", id="column twice"),
        pytest.param("image,label\n".encode("utf-16"), "save the file as UTF-8", id="utf-16"),
        pytest.param(b'image,label\na.png,"daisy\nb.png,poppy\n', "correct its quotes", id="open quote"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused_with_what_must_be_done(body, told):
    with pytest.raises(DataContractError) as refusal:
        parse_manifest(body, BATCH)

    message = str(refusal.value)
    assert message.startswith(f"{BATCH} is refused: labels.csv: ")
    assert told in message
    assert "The data owner must correct the delivery" in message
