from __future__ import annotations

import math
from datetime import date

import numpy as np
import pytest

from include.retraining.config import ExpectationsConfig
from include.retraining.intake.drift.drift import Baseline, DriftFigures, Moved, chance, measure_drift, shift
from include.retraining.intake.drift.statistics import BINS, statistics_of
from tests.builders import LABELS
from tests.unit.retraining.intake.deliveries import verdict_rows

MAXIMUM_PSI = ExpectationsConfig().label_distribution.maximum_psi
EVERYTHING = ExpectationsConfig()
DAYS = (date(2026, 1, 1),)

SHARES = {
    "ten equal labels": np.ones(10),
    "labels from 4000 to 40": np.geomspace(4000, 40, 10),
    "two labels, 99 to 1": np.array([99.0, 1.0]),
    "a hundred labels from 1000 to 1": np.geomspace(1000, 1, 100),
    "a histogram": np.exp(-0.5 * ((np.arange(20) - 8.0) / 3) ** 2),
}


def counted(counts) -> dict[str, int]:
    return {f"bin {it}": int(count) for it, count in enumerate(counts)}


def alarms(batches, baselines) -> tuple[int, int]:
    """How many shifts are above chance, and how many above chance and what is allowed too."""
    found = [shift(counted(batch), counted(baseline)) for batch, baseline in zip(batches, baselines, strict=True)]
    above = [it for it in found if it.psi > it.chance]
    return len(above), sum(it.psi > MAXIMUM_PSI for it in above)


def rows_of(daisies: int, poppies: int, **measured):
    return verdict_rows(*[measured] * daisies, *[measured | {"label": "poppy"}] * poppies)


def baseline_of(rows) -> Baseline:
    statistics = statistics_of(rows, LABELS)
    return Baseline(labels=statistics, images=statistics, days=DAYS)


def test_psi_and_kl_are_their_formulas_with_half_a_row_more_in_each_bin():
    found = shift({"a": 6, "b": 2}, {"a": 10, "b": 30})

    p, q = (6.5 / 9, 2.5 / 9), (10.5 / 41, 30.5 / 41)
    assert found.psi == pytest.approx(sum((x - y) * math.log(x / y) for x, y in zip(p, q, strict=True)))
    assert found.kl == pytest.approx(sum(x * math.log(x / y) for x, y in zip(p, q, strict=True)))
    assert (found.n_batch, found.n_baseline) == (8, 40)


def test_chance_is_the_quantile_of_chi_squared_over_the_harmonic_size():
    assert chance(10, 100, 400) == pytest.approx(27.877 * 500 / 40_000, rel=1e-4)  # χ²(9) at 0.999, from tables
    assert chance(2, 50, 50) == pytest.approx(10.828 * 2 / 50, rel=1e-4)  # χ²(1) at 0.999
    assert chance(1, 50, 50) == 0


def test_equal_shares_do_not_differ_whatever_the_sizes():
    found = shift({"a": 100, "b": 300}, {"a": 10_000, "b": 30_000})

    assert found.psi == pytest.approx(0, abs=1e-4)
    assert found.kl == pytest.approx(0, abs=1e-4)


def test_an_empty_bin_gives_a_finite_shift():
    found = shift({"a": 500, "b": 0}, {"a": 0, "b": 500})

    assert 1 < found.psi < 20
    assert 1 < found.kl < 10


def test_only_occupied_bins_count_and_are_kept():
    found = shift({"a": 5, "b": 5, "c": 0}, {"a": 9, "d": 0, "e": 2})

    assert found.batch == {"a": 5, "e": 0, "b": 5}
    assert found.baseline == {"a": 9, "e": 2, "b": 0}
    assert found.chance == chance(3, 10, 11)


def test_no_rows_on_a_side_are_nothing_to_compare():
    assert shift({"a": 0}, {"a": 5}) is None
    assert shift({"a": 5}, {}) is None


def test_what_moved_most_comes_first_with_its_shares_and_what_stayed_is_left_out():
    found = shift({"a": 10, "b": 80, "c": 10}, {"a": 40, "b": 50, "c": 10})

    assert found.moved == (Moved("a", 0.1, 0.4), Moved("b", 0.8, 0.5))


@pytest.mark.parametrize("n_baseline", [30, 300, 30_000])
@pytest.mark.parametrize("n_batch", [30, 300])
@pytest.mark.parametrize("shares", SHARES.values(), ids=SHARES)
def test_batches_that_do_not_differ_alarm_about_once_in_a_thousand_or_less(shares, n_batch, n_baseline):
    rng = np.random.default_rng(7)
    p = shares / shares.sum()

    by_chance, alarmed = alarms(rng.multinomial(n_batch, p, 2000), rng.multinomial(n_baseline, p, 2000))

    # Were the rate 1 in 1000, more than 8 of 2000 would come up in 2 of 10,000 tests.
    assert by_chance <= 8
    assert alarmed <= by_chance


@pytest.mark.parametrize(("n_batch", "caught"), [(100, 0.9), (300, 0.99), (3000, 1.0)])
def test_a_planted_shift_is_caught(n_batch, caught):
    rng = np.random.default_rng(7)
    shares = SHARES["labels from 4000 to 40"] / SHARES["labels from 4000 to 40"].sum()
    planted = np.roll(shares, 3)

    _, alarmed = alarms(rng.multinomial(n_batch, planted, 200), rng.multinomial(30_000, shares, 200))

    assert alarmed >= caught * 200


def test_a_batch_is_measured_by_labels_and_by_every_statistic_of_its_images():
    batch = statistics_of(rows_of(60, 20, brightness=0.2, sharpness=50.0), LABELS)

    drift = measure_drift(batch, baseline_of(rows_of(60, 20)), EVERYTHING)

    assert drift.labels.psi == pytest.approx(0, abs=1e-9)
    assert drift.images.keys() == BINS.keys()
    moved = {name for name, found in drift.images.items() if found.psi > max(MAXIMUM_PSI, found.chance)}
    assert moved == {"brightness", "sharpness"}
    assert drift.images["brightness"].moved[0].name == "0.2 to 0.25"
    assert drift.images["brightness"].baseline == {"0.2 to 0.25": 0, "0.5 to 0.55": 80}
    assert drift.baseline_days == DAYS
    assert not drift.is_registering


@pytest.mark.parametrize("baseline", [None, Baseline()], ids=["none", "empty"])
def test_without_a_baseline_there_is_nothing_to_compare(baseline):
    drift = measure_drift(statistics_of(rows_of(5, 5), LABELS), baseline, EVERYTHING)

    assert drift == DriftFigures(labels=None, images={}, is_registering=False, baseline_days=())


def test_a_batch_that_begins_a_baseline_says_so():
    drift = measure_drift(statistics_of(rows_of(5, 5), LABELS), Baseline(is_registering=True), EVERYTHING)

    assert drift == DriftFigures(labels=None, images={}, is_registering=True, baseline_days=())


def test_a_batch_without_accepted_rows_is_not_compared():
    drift = measure_drift(statistics_of(rows_of(0, 1).iloc[:0], LABELS), baseline_of(rows_of(5, 5)), EVERYTHING)

    assert drift == DriftFigures(labels=None, images={}, is_registering=False, baseline_days=())


def test_what_is_off_is_not_measured():
    off = ExpectationsConfig.model_validate({"image_statistics": {"severity": "off"}})
    batch, baseline = statistics_of(rows_of(5, 5), LABELS), baseline_of(rows_of(5, 5))

    drift = measure_drift(batch, baseline, off)

    assert drift.labels is not None
    assert drift.images == {}
