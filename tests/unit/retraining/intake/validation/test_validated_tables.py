from __future__ import annotations

from collections import Counter
from datetime import date

import numpy as np
import pandas as pd
import pytest

from include.retraining.intake.drift.drift import DriftFigures, Shift
from include.retraining.intake.drift.statistics import BatchStatistics
from include.retraining.intake.summary import BatchSummary
from include.retraining.intake.validation.validated_tables import batch_table, related_table, row_table, shifts
from tests.unit.retraining.intake.deliveries import facts_of


def shift(psi, chance=0.01):
    return Shift(psi=psi, chance=chance, kl=psi / 2, n_batch=100, n_baseline=1000, batch={"a": 100}, baseline={"a": 1})


def drift(labels=None, **images):
    return DriftFigures(labels=labels, images=images, is_registering=False, baseline_days=(date(2026, 1, 1),))


def test_what_is_unknown_is_null():
    nan = float("nan")
    table = row_table(
        facts_of(
            {
                "key": "",
                "size_bytes": -1,
                "format": "",
                "width": 0,
                "height": 0,
                "label": "",
                "brightness": nan,
                "contrast": nan,
                "sharpness": nan,
            }
        )
    )

    unknown = set(table.columns[table.iloc[0].isna()])

    assert unknown == set(table.columns) - {"image", "problem"}
    assert table["problem"].tolist() == ["none"]


def test_all_text_of_a_delivery_is_escaped():
    hostile = "<script>&"
    table = row_table(facts_of(dict.fromkeys(("key", "image", "format", "label", "split", "problem"), hostile)))

    assert not any("<" in str(value) for value in table.iloc[0])


def test_bounds_mean_what_they_say_though_measurements_are_of_single_precision():
    rows = facts_of({"brightness": 0.999, "contrast": 0.001}).astype({"brightness": "float32", "contrast": "float32"})

    table = row_table(rows)

    assert (table["brightness"].iloc[0], table["contrast"].iloc[0]) == (0.999, 0.001)


def test_the_index_is_the_position_whatever_the_rows_were_called():
    rows = facts_of({}, {"width": 3}, {})
    rows.index = pd.Index([70, 80, 90])

    table = row_table(rows)

    assert table.index.tolist() == [0, 1, 2]
    assert table["pixels"].tolist() == [144, 36, 144]
    assert table["aspect_ratio"].tolist() == [1, 4, 1]
    assert related_table(pd.Series(["", "duplicate"], index=[7, 9]))["finding"].tolist() == ["none", "duplicate"]


def test_a_batch_is_a_row_of_figures():
    summary = BatchSummary(
        outcomes=Counter(accepted=6, skipped=2, quarantined=2),
        first_reasons=Counter(duplicate=2, no_label=2),
        usable=Counter({"<b>": 8}),
        accepted=BatchStatistics(),
    )

    table = batch_table(summary, drift(labels=shift(0.4), size=shift(0.1, chance=0.2)), ("<b>", "x"))

    (row,) = table.to_dict("records")
    assert (row["quarantined_fraction"], row["usable_rows"], row["new_rows"]) == (0.2, 8, 6)
    assert (row["n_&lt;b&gt;"], row["n_x"]) == (8, 0)
    assert (row["label_psi"], row["label_kl"], row["label_within_chance"]) == (0.4, 0.2, "no")
    assert (row["size_psi"], row["size_within_chance"]) == (0.1, "yes")
    assert pd.isna(row["brightness_psi"])


@pytest.mark.parametrize("psi", [np.nan, np.inf])
def test_a_shift_that_is_no_number_is_a_defect_not_a_pass(psi):
    summary = BatchSummary(Counter(accepted=1), Counter(), Counter(), BatchStatistics())

    with pytest.raises(RuntimeError, match="label"):
        batch_table(summary, drift(labels=shift(psi)), ("x",))


def test_shifts_come_labels_first_and_only_where_measured():
    assert [name for name, _ in shifts(drift(labels=shift(0.1), size=shift(0.2), brightness=shift(0.3)))] == [
        "label",
        "brightness",
        "size",
    ]
