from __future__ import annotations

import logging
from datetime import date

import numpy as np
import pandas as pd
import pytest

from include.retraining.evaluation.slices import slice_metrics, slice_values
from include.retraining.metrics import classification_metrics
from include.retraining.schemas import SNAPSHOT
from include.retraining.storage.tables import from_parquet, to_parquet
from tests.builders import LABELS
from tests.datasets import row

NORTH, SOUTH = '{"camera":"1","site":"north"}', '{"site":"south"}'


def snapshot(*changes):
    """Rows as a snapshot is read back."""
    rows = [row(str(number), **{"date": date(2026, 1, 2), **one}) for number, one in enumerate(changes)]
    return from_parquet(to_parquet(pd.DataFrame(rows, columns=SNAPSHOT.names), SNAPSHOT), SNAPSHOT, "")


def scores(y_pred, confidence=0.8):
    rest = (1 - confidence) / (len(LABELS) - 1)
    return np.where(np.eye(len(LABELS), dtype=bool)[y_pred], confidence, rest).astype(np.float32)


def sliced(rows, y_true, y_pred, *columns):
    y_true, y_pred = np.array(y_true, np.int64), np.array(y_pred, np.int64)
    return slice_metrics(rows, y_true, scores(y_pred), y_pred, labels=LABELS, columns=columns)


def test_a_row_has_the_value_of_its_manifest_and_none_where_that_says_nothing():
    rows = snapshot({"attributes": NORTH}, {"attributes": SOUTH}, {})

    assert slice_values(rows, "site").tolist() == ["north", "south", ""]
    assert slice_values(rows, "camera").tolist() == ["1", "", ""]


def test_groups_and_days_are_columns_too():
    rows = snapshot({"group": "patient 1", "date": date(2026, 1, 3)}, {"attributes": '{"group":"x","day":"y"}'})

    assert slice_values(rows, "group").tolist() == ["patient 1", ""]
    assert slice_values(rows, "date").tolist() == ["2026-01-03", "2026-01-02"]


@pytest.mark.parametrize("column", ["weather", "label", "split", "attributes"])
def test_a_column_that_no_manifest_has_is_empty_in_every_row(column):
    assert slice_values(snapshot({"attributes": NORTH}, {}), column).tolist() == ["", ""]


def test_values_that_end_in_a_nul_are_told_apart():
    rows = snapshot({"attributes": '{"site":"a\\u0000"}'}, {"attributes": '{"site":"a"}'})

    assert [one.total for one in sliced(rows, [0, 0], [0, 0], "site")] == [1, 1]


def test_a_slice_has_the_metrics_of_its_rows_alone():
    rows = snapshot(*[{"attributes": NORTH}] * 6, *[{"attributes": SOUTH}] * 3)
    y_true, y_pred = [0, 0, 1, 1, 2, 2, 0, 1, 2], [0, 1, 1, 1, 2, 2, 1, 2, 0]

    north, south = sliced(rows, y_true, y_pred, "site")

    alone = classification_metrics(np.array(y_true[:6]), scores(y_pred[:6]), LABELS, np.array(y_pred[:6]))
    assert (north.name, north.total, south.name, south.total) == ("site=north", 6, "site=south", 3)
    assert (north.macro_recall, north.minimum_recall) == (alone.macro_recall, 0.5)
    assert (north.accuracy, north.ece) == (alone.accuracy, pytest.approx(abs(5 / 6 - 0.8), abs=1e-6))
    assert north.recall == alone.recall
    assert (south.macro_recall, south.minimum_recall, south.accuracy) == (0, 0, 0)


def test_a_class_without_rows_has_no_recall_and_takes_no_part_in_the_mean():
    (one,) = sliced(snapshot({}, {}, {}), [0, 0, 1], [0, 2, 1], "site")

    assert one.n_rows == {LABELS[0]: 2, LABELS[1]: 1, LABELS[2]: 0}
    assert one.recall == {LABELS[0]: 0.5, LABELS[1]: 1.0, LABELS[2]: None}
    assert (one.macro_recall, one.minimum_recall) == (0.75, 0.5)


def test_slices_come_by_column_and_then_by_size_and_then_by_value():
    sites = ["b", "a", "c", "c", ""]
    rows = snapshot(*[{"attributes": f'{{"site":"{it}"}}' if it else "", "group": "g"} for it in sites])

    found = sliced(rows, [0] * 5, [0] * 5, "site", "group")

    assert [one.name for one in found] == ["site=c", "site=", "site=a", "site=b", "group=g"]


def test_of_many_values_the_largest_slices_are_kept_and_it_is_told(caplog):
    rows = snapshot(*[{"attributes": f'{{"site":"{number:02}"}}'} for number in [*range(60), 59, 58]])

    with caplog.at_level(logging.WARNING):
        found = sliced(rows, [0] * 62, [0] * 62, "site")

    assert [one.value for one in found] == ["58", "59", *[f"{number:02}" for number in range(48)]]
    assert "column=site values=60 kept=50" in caplog.text


def test_fifty_values_are_all_kept(caplog):
    rows = snapshot(*[{"attributes": f'{{"site":"{number}"}}'} for number in range(50)])

    assert len(sliced(rows, [0] * 50, [0] * 50, "site")) == 50
    assert caplog.text == ""


def test_no_rows_have_no_slices():
    assert sliced(snapshot(), [], [], "site", "date", "group") == ()
