from __future__ import annotations

import pandas as pd

from include.retraining.dataset.splits import split_counts


def test_the_counts_name_every_split_and_label():
    rows = pd.DataFrame({"split": ["train", "train", "test"], "label": ["a", "b", "a"]})

    assert split_counts(rows, ("a", "b", "c")) == {
        "train": {"a": 1, "b": 1, "c": 0},
        "validation": {"a": 0, "b": 0, "c": 0},
        "test": {"a": 1, "b": 0, "c": 0},
    }
