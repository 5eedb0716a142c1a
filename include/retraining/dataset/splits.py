"""The splits of a frozen dataset, counted. Which split an image has was decided in `intake/relations/splits.py`."""

from __future__ import annotations

import pandas as pd

from include.retraining.artifacts import SPLITS, Split


def split_counts(rows: pd.DataFrame, labels: tuple[str, ...]) -> dict[Split, dict[str, int]]:
    """Returns the images by split and label, zeros included."""
    found = rows.groupby(["split", "label"]).size()
    return {split: {label: int(found.get((split, label), 0)) for label in labels} for split in SPLITS}
