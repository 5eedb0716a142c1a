from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from include.retraining.intake.drift.statistics import BINS, BatchStatistics, statistics_of
from include.retraining.schemas import BATCH, VERDICTS
from tests.builders import LABELS
from tests.unit.retraining.intake.deliveries import verdict_rows


def occupied(statistics: BatchStatistics, measurement: str) -> dict[str, int]:
    counts = zip(BINS[measurement].names, statistics.histograms[measurement], strict=True)
    return {name: count for name, count in counts if count}


def test_labels_are_counted_with_zeros_and_only_those_of_the_recipe():
    rows = verdict_rows({}, {}, {"label": "poppy"}, {"label": "of an older recipe"})

    statistics = statistics_of(rows, LABELS)

    assert statistics.labels == {"daisy": 2, "poppy": 1, "orchid": 0}
    assert statistics.n_rows == 3


def test_measurements_fall_into_bins_that_their_names_describe():
    rows = verdict_rows(
        {"brightness": 0.0, "contrast": 0.0, "sharpness": 0.0, "width": 1, "height": 5},
        {"brightness": 0.52, "contrast": 0.26, "sharpness": 900.0, "width": 640, "height": 480},
        {"brightness": 1.0, "contrast": 0.5, "sharpness": 2e6, "width": 300, "height": 20_000},
    )

    statistics = statistics_of(rows, LABELS)

    assert occupied(statistics, "brightness") == {"under 0.05": 1, "0.5 to 0.55": 1, "from 0.95": 1}
    assert occupied(statistics, "contrast") == {"under 0.025": 1, "0.25 to 0.275": 1, "from 0.475": 1}
    assert occupied(statistics, "sharpness") == {"under 1": 1, "724.1 to 1,024": 1, "from 1,048,576": 1}
    assert occupied(statistics, "size") == {"under 8 pixels": 1, "512 to 724.1 pixels": 1, "from 16,384 pixels": 1}


@pytest.mark.parametrize("side", [8, 16, 1024, 8192])
def test_a_power_of_two_begins_a_bin_and_the_pixel_before_it_ends_one(side):
    rows = verdict_rows({"width": side, "height": 1}, {"width": side - 1, "height": 1})

    counts = statistics_of(rows, LABELS).histograms["size"]

    below, above = np.flatnonzero(counts)
    assert above == below + 1
    assert BINS["size"].edges[below] == side


@pytest.mark.parametrize("turned", [(28, 40), (40, 28)])
def test_the_size_is_the_longer_side_however_the_image_is_turned(turned):
    rows = verdict_rows({"width": turned[0], "height": turned[1]})

    assert occupied(statistics_of(rows, LABELS), "size") == {"32 to 45.25 pixels": 1}


def test_bins_rise_and_their_names_are_distinct():
    for bins in BINS.values():
        assert list(bins.edges) == sorted(set(bins.edges))
        assert len(set(bins.names)) == len(bins.edges) + 1


def test_statistics_of_parts_add_up_to_those_of_the_whole():
    rng = np.random.default_rng(0)
    rows = verdict_rows(
        *(
            {"label": LABELS[it % 3], "brightness": rng.random(), "sharpness": float(rng.lognormal(5, 2))}
            for it in range(50)
        )
    )
    parts = [statistics_of(rows.iloc[start : start + 7], LABELS) for start in range(0, 50, 7)]

    assert sum(parts, start=BatchStatistics()) == statistics_of(rows, LABELS)


def test_no_rows_are_the_statistics_that_change_nothing():
    some = statistics_of(verdict_rows({}, {}), LABELS)
    none = statistics_of(verdict_rows({}).iloc[:0], LABELS)

    assert none.n_rows == BatchStatistics().n_rows == 0
    assert some + none == none + some == some + BatchStatistics() == some


def test_what_was_not_measured_is_in_no_bin():
    statistics = statistics_of(verdict_rows({"sharpness": math.nan}, {}), LABELS)

    assert sum(statistics.histograms["sharpness"]) == 1
    assert sum(statistics.histograms["brightness"]) == 2


def test_a_batch_has_the_statistics_of_the_verdicts_that_it_was_made_of():
    verdicts = verdict_rows({"brightness": 0.1}, {"label": "orchid"})
    types = {name: str(VERDICTS.field(name).type) for name in ("brightness", "contrast", "sharpness")}
    stored = verdicts.astype({name: "float32" for name, kind in types.items() if kind == "float"})
    batch = pd.DataFrame(stored.rename(columns={"pixel_sha256": "image_id"}), columns=BATCH.names)

    assert statistics_of(batch, LABELS) == statistics_of(stored, LABELS)
