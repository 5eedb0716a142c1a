"""What a batch is compared by: label counts, and histograms of its images. The comparison is in `drift.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

COLUMNS = ("label", "brightness", "contrast", "sharpness", "width", "height")
"""Columns of `BATCH` and of `VERDICTS` that the statistics are made of."""


@dataclass(frozen=True)
class Bins:
    """Bins that are the same for every batch, so that histograms can be added.

    Attributes:
        edges: Edges between the bins, rising; a value on an edge lies above it. Values under the first edge and over
            the last are counted too, so that there is one bin more than there are edges.
        unit: What the edges are in, as people read it; may be empty.
    """

    edges: tuple[float, ...]
    unit: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """The bins as people read them, from the lowest."""
        texts = [f"{edge:,.0f}" if edge >= 1000 else f"{edge:.4g}" for edge in self.edges]
        inner = [f"{low} to {high}" for low, high in zip(texts, texts[1:], strict=False)]
        return tuple(f"{name} {self.unit}".rstrip() for name in (f"under {texts[0]}", *inner, f"from {texts[-1]}"))

    def counts(self, values: npt.NDArray[np.floating]) -> tuple[int, ...]:
        """Returns how many values lie in each bin; NaN in none."""
        bins = np.searchsorted(self.edges, values[~np.isnan(values)], side="right")
        return tuple(np.bincount(bins, minlength=len(self.edges) + 1).tolist())


def _half_octaves(low: int, high: int) -> tuple[float, ...]:
    """Powers of √2 from `2**low` to `2**high`."""
    return tuple(float(2.0 ** (step / 2)) for step in range(2 * low, 2 * high + 1))


BINS: Mapping[str, Bins] = {
    # Both are means over a picture of a bounded quantity; a twentieth of the range is about the least that one sees.
    "brightness": Bins(tuple(step / 20 for step in range(1, 20))),
    "contrast": Bins(tuple(step / 40 for step in range(1, 20))),
    # It spans six orders of magnitude from blurred to noise, and blur changes it by a factor, hence logarithms. The
    # Laplacian of values 0 to 255 is within ±1020, so that its variance is at most 2**20.
    "sharpness": Bins(_half_octaves(0, 20)),
    # Cameras and exports change by factors too. Half octaves part 640, 1024 and 1600 pixels from each other, and a
    # power of two, the usual side of an export, begins a bin.
    "size": Bins(_half_octaves(3, 14), unit="pixels"),
}
"""How the images' measurements are binned; `size` is the longer side."""


def _nothing() -> Mapping[str, tuple[int, ...]]:
    return {name: (0,) * (len(bins.edges) + 1) for name, bins in BINS.items()}


@dataclass(frozen=True)
class BatchStatistics:
    """Counts over some accepted rows; `a + b` are the counts over both, and those over no rows are the default.

    Attributes:
        labels: Rows by label; zeros may be left out.
        histograms: Rows by bin, for each key of `BINS`.
    """

    labels: Mapping[str, int] = field(default_factory=dict)
    histograms: Mapping[str, tuple[int, ...]] = field(default_factory=_nothing)

    @property
    def n_rows(self) -> int:
        """Rows with a label that the recipe knows."""
        return sum(self.labels.values())

    def __add__(self, other: BatchStatistics) -> BatchStatistics:
        """Returns the counts over both."""
        labels = Counter(self.labels)
        labels.update(other.labels)
        histograms = {
            name: tuple(ours + theirs for ours, theirs in zip(counts, other.histograms[name], strict=True))
            for name, counts in self.histograms.items()
        }
        return BatchStatistics(dict(labels), histograms)


def statistics_of(rows: pd.DataFrame, labels: Sequence[str]) -> BatchStatistics:
    """Returns the counts over accepted rows.

    Args:
        rows: Any table with the columns `COLUMNS`: a batch (schema `BATCH`) or verdicts (schema `VERDICTS`).
        labels: The recipe's labels; rows of others, which an older recipe knew, are not counted as labels.
    """
    counted = Counter(rows["label"])
    values = {
        "brightness": rows["brightness"].to_numpy(np.float64),
        "contrast": rows["contrast"].to_numpy(np.float64),
        "sharpness": rows["sharpness"].to_numpy(np.float64),
        "size": rows[["width", "height"]].to_numpy(np.float64).max(axis=1, initial=0.0),
    }
    return BatchStatistics(
        labels={label: counted[label] for label in labels},
        histograms={name: bins.counts(values[name]) for name, bins in BINS.items()},
    )
