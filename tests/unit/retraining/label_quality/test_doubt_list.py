from __future__ import annotations

import csv
import io

import pytest

from include.retraining.label_quality.doubt_list import COLUMNS, harmless_cell, to_csv
from tests.builders import make_label_doubt


def lines_of(body: bytes) -> list[list[str]]:
    return list(csv.reader(io.StringIO(body.decode(), newline=""), strict=True))


def test_the_doubts_are_ranked_with_their_numbers():
    header, first, second = lines_of(to_csv([make_label_doubt(7), make_label_doubt(8, split="test")]))

    assert tuple(header) == COLUMNS
    assert first == [
        "1",
        "incoming/flowers/2026-01-02/images/000007.png",
        f"{7:064x}",
        "train",
        "daisy",
        "poppy",
        "0.020000",
        "0.950000",
        "0.930000",
    ]
    assert second[0] == "2"
    assert second[3] == "test"


def test_without_doubts_the_columns_are_there():
    assert lines_of(to_csv([])) == [list(COLUMNS)]


@pytest.mark.parametrize(
    ("hostile", "harmless"),
    [
        pytest.param("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0", id="equals"),
        pytest.param("+1", "'+1", id="plus"),
        pytest.param("-1", "'-1", id="minus"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="at"),
        pytest.param("  =1", "'  =1", id="after spaces"),
        pytest.param("\t=1", "\\t=1", id="tab"),
        pytest.param("\r\n=1", "\\r\\n=1", id="line end"),
        pytest.param("＝1", "'＝1", id="full width"),
        pytest.param("a;=1", "a;'=1", id="where semicolons end a cell"),
        pytest.param("a,-1,b", "a,'-1,b", id="where a reader ignores quotes"),
        pytest.param("a|@x", "a|'@x", id="pipe"),
        pytest.param("größe-1=2 (a+b).png", "größe-1=2 (a+b).png", id="harmless inside"),
        pytest.param("\ufeff=1", "\\ufeff=1", id="byte-order mark"),
    ],
)
def test_no_cell_starts_a_formula(hostile: str, harmless: str):
    assert harmless_cell(hostile) == harmless


def test_a_hostile_key_stays_one_cell_of_one_line():
    doubt = make_label_doubt(key='a"b,c\n=1,"', given="=label", suggested="-other")

    body = to_csv([doubt])

    assert body.count(b"\n") == 2
    assert lines_of(body)[1][1:6] == ['a"b,c\\n=1,"', doubt.image_id, "train", "'=label", "'-other"]
