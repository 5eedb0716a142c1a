from __future__ import annotations

import csv
import io

import pytest

from include.retraining.errors import ConfigurationError
from include.retraining.intake.corrections import Correction, by_name, corrections_to_edit, read_corrections
from include.retraining.intake.quarantine import QuarantinedImage, quarantine_images, read_quarantine
from tests.builders import make_run
from tests.unit.retraining.intake.deliveries import DAY, keep_verdicts_of

REFUSED = {"outcome": "quarantined", "reason": "unknown_label", "label": "rose"}
PREFIX = "incoming/flowers/2026-01-02/"


def images_of(*rows) -> list[QuarantinedImage]:
    run = make_run()
    quarantine_images(run, keep_verdicts_of(run, *rows))
    return read_quarantine(run.store, "flowers", DAY)


@pytest.fixture
def written(tmp_path):
    def write(body: str | bytes):
        path = tmp_path / "corrections.csv"
        path.write_bytes(body.encode() if isinstance(body, str) else body)
        return path

    return write


def test_lines_are_read_letter_for_letter_with_their_numbers(written):
    path = written('image,label,split\n"a, b.png", daisy,test\n\nc.png,poppy\n')

    assert read_corrections(path).lines == (
        Correction(line=2, image="a, b.png", label=" daisy", split="test"),
        Correction(line=4, image="c.png", label="poppy"),
    )


@pytest.mark.parametrize("body", [b"\xef\xbb\xbfimage,label\r\na.png,daisy\r\n", b"label,image\ndaisy,a.png"])
def test_a_file_from_a_spreadsheet_is_read_too(written, body):
    (line,) = read_corrections(written(body)).lines

    assert (line.image, line.label) == ("a.png", "daisy")


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("", "the first line is ''; expected image,label"),
        ("image\na.png\n", "the first line is 'image'"),
        ("image;label\na.png;daisy\n", "the first line is 'image;label'"),
        ("image,label,spilt\na.png,daisy,test\n", "expected image,label and any of group,split,file"),
        ("image,label,label\na.png,daisy,daisy\n", "the first line is 'image,label,label'"),
        ("image,label\n", "it names no image"),
        ("image,label\na.png,daisy,test\n", "line 2 has 3 fields, and the header 2"),
        ('image,label\n"a.png,daisy\n', "is not valid CSV"),
        (b"image,label\n\xff,daisy\n", "byte 12 is not UTF-8"),
    ],
)
def test_what_is_no_file_of_corrections_is_one_clear_error(written, body, problem):
    with pytest.raises(ConfigurationError) as refusal:
        read_corrections(written(body))

    assert problem in str(refusal.value)
    assert "quarantine CLASSIFIER DAY --csv` writes such a file; nothing was released" in str(refusal.value)


def test_a_file_that_is_not_there_is_a_clear_error(tmp_path):
    with pytest.raises(ConfigurationError, match=r"none\.csv: it cannot be read \(No such file or directory\)"):
        read_corrections(tmp_path / "none.csv")


def test_an_image_is_found_by_its_name_and_by_its_key():
    named = by_name(images_of({**REFUSED, "image": "a.png"}, {**REFUSED, "image": "b.png"}))

    assert named["a.png"] is named[f"{PREFIX}a.png"]
    assert named["b.png"].image == "b.png"
    assert named.keys() == {"a.png", "b.png", f"{PREFIX}a.png", f"{PREFIX}b.png"}


def test_a_name_that_two_images_have_means_none_of_them():
    named = by_name(images_of({**REFUSED, "image": "a.png"}, {**REFUSED, "image": "a.png", "key": f"{PREFIX}x/a.png"}))

    assert named.keys() == {f"{PREFIX}a.png", f"{PREFIX}x/a.png"}


def test_an_image_that_no_manifest_names_is_found_by_its_key_alone():
    named = by_name(images_of({**REFUSED, "image": "", "key": f"{PREFIX}stray.png"}))

    assert named.keys() == {f"{PREFIX}stray.png"}


def test_a_file_to_edit_has_one_line_an_object_under_what_names_it_and_can_be_read_back(written):
    hostile = 'a,"b"\n.png'
    images = images_of(
        {**REFUSED, "image": "a.png", "label": "daisy", "group": "g1", "split": "tset"},
        {**REFUSED, "image": "./a.png", "key": f"{PREFIX}a.png", "label": "poppy"},
        {**REFUSED, "image": "", "key": f"{PREFIX}stray.png", "label": ""},
        {**REFUSED, "image": hostile},
    )

    text = corrections_to_edit(images)

    assert list(csv.reader(io.StringIO(text, newline=""))) == [
        ["image", "label", "group", "split", "file"],
        [hostile, "rose", "", "", ""],
        ["./a.png", "poppy", "", "", ""],
        [f"{PREFIX}stray.png", "", "", "", ""],
    ]
    assert {line.image for line in read_corrections(written(text)).lines} <= by_name(images).keys()
