from __future__ import annotations

import pytest

from include.retraining.errors import DataContractError
from include.retraining.intake.delivery.manifest_csv import read_csv
from include.retraining.intake.delivery.manifest_rows import Manifest, ManifestFile, ManifestRow

BATCH = "s3://lake/incoming/flowers/2026-01-02/"


def read(body: bytes) -> Manifest:
    return read_csv(ManifestFile(BATCH, "labels.csv", body))


def test_columns_may_stand_in_any_order_and_the_optional_ones_may_be_missing():
    manifest = read(b"label,split,image\ndaisy,test,a.png\npoppy,,b.png\n")

    assert manifest == Manifest(
        rows=(ManifestRow("a.png", "daisy", "", "test"), ManifestRow("b.png", "poppy", "", "")), warnings=()
    )


@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_a_byte_order_mark_and_any_line_ends_are_read(line_end):
    body = "\ufeff" + line_end.join(["image,label", "a.png,daisy", "", "ü.png,poppy"])

    manifest = read(body.encode())

    assert [(row.image, row.label) for row in manifest.rows] == [("a.png", "daisy"), ("ü.png", "poppy")]
    assert manifest.warnings == ()


@pytest.mark.parametrize(
    "name",
    [
        " a b.png",
        "a,b.png",
        "日本 ñ e\u0301.png",
        "../a.png",
        "/etc/passwd",
        "two\nlines.png",
        'a "quoted" name.png',
        "<script>alert(1)</script>.png",
        "a\0b.png",
    ],
)
@pytest.mark.parametrize("label", ["daisy", " Daisy", "DAISY ", ""])
def test_names_and_labels_are_kept_letter_for_letter(name, label):
    quoted = name.replace('"', '""')

    manifest = read(f'image,label\n"{quoted}","{label}"\n'.encode())

    assert manifest.rows == (ManifestRow(name, label, "", ""),)


def test_an_image_that_is_listed_twice_has_two_rows():
    manifest = read(b"image,label\na.png,daisy\na.png,poppy\n")

    assert [row.label for row in manifest.rows] == ["daisy", "poppy"]


def test_a_short_line_ends_in_empty_fields():
    assert read(b"image,label,group,split\na.png,daisy\nb.png\n").rows == (
        ManifestRow("a.png", "daisy", "", ""),
        ManifestRow("b.png", "", "", ""),
    )


def test_a_line_with_too_many_fields_keeps_its_image_but_no_label_and_is_told_by_its_number():
    manifest = read(b"image,label,split\nc.png,daisy,\na,b.png,daisy,test\nd,e.png,daisy,test\n")

    assert manifest.rows[1:] == (ManifestRow("a", "", "", ""), ManifestRow("d", "", "", ""))
    (warning,) = manifest.warnings
    assert warning.startswith("labels.csv: 2 lines have more fields than the header, the first is line 3;")


def test_lines_that_say_nothing_are_no_rows():
    assert read(b"\n,,\nimage,label,group\na.png,daisy,\n,,\n\n").rows == (ManifestRow("a.png", "daisy", "", ""),)


def test_a_header_without_lines_has_no_rows():
    assert read(b"image,label\n") == Manifest(rows=(), warnings=())


@pytest.mark.parametrize(("delimiter", "word"), [(";", "semicolons"), ("\t", "tabs")])
def test_another_delimiter_is_recognised_from_the_header_and_told(delimiter, word):
    lines = ["image,label,group", "a.png,daisy,7", '"x,y.png",poppy,']
    body = "\n".join([lines[0].replace(",", delimiter), lines[1].replace(",", delimiter)])
    body += f'\n"x,y.png"{delimiter}poppy{delimiter}\n'

    manifest = read(body.encode())

    assert manifest.rows == (ManifestRow("a.png", "daisy", "7", ""), ManifestRow("x,y.png", "poppy", "", ""))
    assert manifest.warnings == (f"labels.csv: separated by {word}, and read so; commas are expected",)


def test_names_with_a_semicolon_do_not_change_the_delimiter():
    manifest = read(b"image,label\na;b;c.png,daisy\n")

    assert manifest == Manifest(rows=(ManifestRow("a;b;c.png", "daisy", "", ""),), warnings=())


def test_other_columns_are_the_attributes_of_a_row_by_name_and_an_empty_cell_is_none():
    manifest = read("site,image,label,camera\nnord ü,a.png,daisy, Left\n,b.png,poppy,\nsüd,c.png,poppy\n".encode())

    assert [row.attributes for row in manifest.rows] == ['{"camera":" Left","site":"nord ü"}', "", '{"site":"süd"}']
    assert manifest.warnings == ()


def test_a_column_whose_name_no_recipe_could_use_is_left_out_and_named():
    names = ["", "a=b", '"x\ny"', "ü" * 65, "camera", ""]

    manifest = read(f"image,label,{','.join(names)}\na.png,daisy,1,2,3,4,left,6\n".encode())

    assert manifest.rows == (ManifestRow("a.png", "daisy", "", "", '{"camera":"left"}'),)
    (warning,) = manifest.warnings
    assert warning == (
        "labels.csv: not used, since a column needs a name of 1 to 64 printable characters, without '=' and without "
        f"spaces around it: '', 'a=b', 'x\\ny', '{'ü' * 65}'"
    )


def test_a_line_of_attributes_alone_is_no_row():
    assert read(b"image,label,id\na.png,daisy,1\n,,2\n").rows == (ManifestRow("a.png", "daisy", "", "", '{"id":"1"}'),)


def test_a_line_with_too_many_fields_has_no_attributes():
    manifest = read(b"image,label,site\na,b.png,daisy,north\n")

    assert manifest.rows == (ManifestRow("a", "", "", ""),)


def test_as_many_and_as_long_attributes_as_are_allowed_are_read():
    names = [f"{number:064}" for number in range(32)]
    body = f"image,label,{','.join(names)}\na.png,daisy,{','.join(['x' * 200] * 32)}\n"

    (row,) = read(body.encode()).rows

    assert row.attributes.count("x" * 200) == 32


@pytest.mark.parametrize(
    ("body", "told"),
    [
        pytest.param(b"", "the file is empty", id="empty"),
        pytest.param(b"\xef\xbb\xbf \r\n\r\n", "the file is empty", id="blank"),
        pytest.param(b"a.png,daisy\nb.png,poppy\n", "no column 'image' and 'label'; its columns are", id="no header"),
        pytest.param(b"image,group\na.png,7\n", "no column 'label'", id="missing column"),
        pytest.param(b"image;group\na.png;7\n", "no column 'label'; its columns are 'image', 'group'", id="semicolons"),
        pytest.param(b"image|label\na.png|daisy\n", "no column 'image' and 'label'", id="bars"),
        pytest.param(b"image,label,spilt\na.png,daisy,test\n", "'spilt'; did you mean 'split'", id="misspelt split"),
        pytest.param(b"image,label,gruop\na.png,daisy,7\n", "'gruop'; did you mean 'group'", id="misspelt group"),
        pytest.param(b"image,lable\na.png,daisy\n", "'lable'; did you mean 'label'", id="misspelt label"),
        pytest.param(b"Image,label\na.png,daisy\n", "'Image'; did you mean 'image'", id="other case"),
        pytest.param(b"image,label,label\na.png,daisy,poppy\n", "the column 'label' twice", id="column twice"),
        pytest.param(b"image,label,at,at\na.png,daisy,1,2\n", "the column 'at' twice", id="attribute twice"),
        pytest.param(b"image,label,date\na.png,daisy,x\n", "the column 'date' is taken", id="the day's name"),
        pytest.param(
            f"image,label,site\na.png,daisy,x\nb.png,daisy,{'x' * 201}\n".encode(),
            "line 3 has 201 characters as 'site', and 200 are kept at most",
            id="long attribute",
        ),
        pytest.param(
            f"image,label,{','.join(map(str, range(33)))}\na.png,daisy{',x' * 33}\n".encode(),
            "line 2 says 33 things beside image, label, group and split, and 32 are kept",
            id="many attributes",
        ),
        pytest.param("image,label\n".encode("utf-16"), "save the file as UTF-8", id="utf-16"),
        pytest.param(b'image,label\na.png,"daisy\nb.png,poppy\n', "correct its quotes", id="open quote"),
        pytest.param(b'image,label\n"a"b.png,daisy\n', "line 2 is not valid CSV", id="text behind a quote"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "is not UTF-8", id="an image"),
    ],
)
def test_a_manifest_that_cannot_be_read_is_refused_with_what_must_be_done(body, told):
    with pytest.raises(DataContractError) as refusal:
        read(body)

    message = str(refusal.value)
    assert message.startswith(f"{BATCH} is refused: labels.csv: ")
    assert told in message
    assert "The data owner must correct the delivery" in message
    assert len(message) < 500


def test_an_endless_header_does_not_make_an_endless_message():
    with pytest.raises(DataContractError) as refusal:
        read(b"x" * 10_000 + b",label\n")

    assert len(str(refusal.value)) < 600
