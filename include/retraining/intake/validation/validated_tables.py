"""The tables that Great Expectations sees: a shard's rows, and the figures of a day. What is expected is in `suite.py`.

Great Expectations shows values as they are, so a file called `<script>…` would run in its reader's browser: all text
that a delivery brings is HTML-escaped in these tables, and no other. What is unknown is null, which it skips.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from include.retraining.intake.drift.statistics import BINS
from include.retraining.intake.outcomes import ACCEPTED, QUARANTINED, SKIPPED

if TYPE_CHECKING:
    from include.retraining.intake.drift.drift import DriftFigures, Shift
    from include.retraining.intake.summary import BatchSummary

NOTHING = "none"  # in place of a reason's code
TEXTS = ("key", "image", "format", "label", "split")
UNKNOWN: Mapping[str, int] = {"size_bytes": -1, "width": 0, "height": 0}
MEASUREMENTS = ("brightness", "contrast", "sharpness")
IMAGE_STATISTICS = tuple(BINS)
DECIMALS = 6  # of a measurement: single precision holds 0.999 as 0.99900001, which no bound means


def row_table(rows: pd.DataFrame) -> pd.DataFrame:
    """Returns what is looked at of each row by itself; its index is the row's position.

    Args:
        rows: Schema `FACTS`.
    """
    columns: dict[str, object] = {name: _escaped(rows[name]) for name in TEXTS}
    columns["problem"] = _codes(rows["problem"])
    for name, unknown in UNKNOWN.items():
        values = rows[name].to_numpy().astype(np.float64)
        columns[name] = np.where(values == unknown, np.nan, values)
    width, height = columns["width"], columns["height"]
    for name in MEASUREMENTS:
        columns[name] = rows[name].to_numpy().astype(np.float64).round(DECIMALS)
    table = pd.DataFrame(columns)
    table["pixels"] = width * height  # type: ignore[operator]
    table["aspect_ratio"] = np.maximum(width, height) / np.minimum(width, height)  # type: ignore[call-overload]
    is_measured = table["brightness"].notna()
    table["near_constant"] = pd.Series(rows["near_constant"].to_numpy(), dtype=object).where(is_measured, None)
    return table


def related_table(findings: pd.Series) -> pd.DataFrame:
    """Returns what was found by comparing each row with others; its index is the row's position.

    Args:
        findings: Code of a reason, or empty.
    """
    return pd.DataFrame({"finding": _codes(findings)})


def batch_table(summary: BatchSummary, drift: DriftFigures, labels: tuple[str, ...]) -> pd.DataFrame:
    """Returns the figures of a day as a table of one row; those of drift are null where nothing is compared.

    Raises:
        RuntimeError: If a shift is no number: a defect of ours.
    """
    accepted, skipped = summary.outcomes[ACCEPTED], summary.outcomes[SKIPPED]
    figures: dict[str, object] = {
        "quarantined_fraction": summary.outcomes[QUARANTINED] / summary.delivered,
        "usable_rows": accepted + skipped,
        "new_rows": accepted,
        **{count_column(label): summary.usable[label] for label in labels},
    }
    for name in ("label", *IMAGE_STATISTICS):
        shift = shift_of(drift, name)
        if shift is not None and not (math.isfinite(shift.psi) and math.isfinite(shift.kl)):
            # Great Expectations skips what is no number: it would pass.
            raise RuntimeError(f"The shift of {name} is no number: {shift}.")
        figures[psi_column(name)] = None if shift is None else float(shift.psi)
        figures[kl_column(name)] = None if shift is None else float(shift.kl)
        figures[within_chance_column(name)] = "no" if shift is not None and shift.psi > shift.chance else "yes"
    return pd.DataFrame({name: [value] for name, value in figures.items()})


def shift_of(drift: DriftFigures, name: str) -> Shift | None:
    """Returns the shift of the labels (`label`) or of an image statistic, if it was measured."""
    return drift.labels if name == "label" else drift.images.get(name)


def shifts(drift: DriftFigures) -> Iterator[tuple[str, Shift]]:
    """Yields the shifts that were measured, by name."""
    for name in ("label", *IMAGE_STATISTICS):
        shift = shift_of(drift, name)
        if shift is not None:
            yield name, shift


def count_column(label: str) -> str:
    """Returns the column of a label's usable rows."""
    return f"n_{html.escape(label)}"


def psi_column(figure: str) -> str:
    """Returns the column of a figure's population stability index."""
    return f"{figure}_psi"


def kl_column(figure: str) -> str:
    """Returns the column of a figure's Kullback-Leibler divergence."""
    return f"{figure}_kl"


def within_chance_column(figure: str) -> str:
    """Returns the column that says whether chance explains a figure's shift: yes or no."""
    return f"{figure}_within_chance"


def _escaped(values: pd.Series) -> pd.Series:
    return pd.Series([html.escape(value) or None for value in values], dtype=object)


def _codes(reasons: pd.Series) -> pd.Series:
    return pd.Series([html.escape(code) or NOTHING for code in reasons], dtype=object)
