from __future__ import annotations

import pytest

from include.retraining.artifacts import CandidateRecord, CrossValidation
from include.retraining.reporting.plots import (
    confusion_cells,
    count_bars,
    loss_panels,
    recall_panels,
    share_bars,
    whisker_plot,
)
from tests.builders import LABELS, make_candidate, make_metrics


def scored(mean: float, standard_error: float) -> CandidateRecord:
    return make_candidate(cross_validation=CrossValidation((mean, mean), mean, standard_error))


def lengths(row_bars: tuple[object, ...]) -> list[float | None]:
    return [None if bar is None else bar.percent for bar in row_bars]  # type: ignore[attr-defined]


def test_counts_are_drawn_on_a_logarithmic_scale_up_to_the_largest() -> None:
    plot = count_bars(("a", "b", "c"), {"a": 1000, "b": 10, "c": 1}, {"a": 1000, "b": 100, "c": 0})

    assert [lengths(row.bars) for row in plot.rows] == [
        [100.0, 100.0],
        [pytest.approx(33.33), pytest.approx(66.67)],
        [0.0, 0.0],
    ]
    assert [(tick.position, tick.label) for tick in plot.ticks] == [
        (0.0, "1"),
        (33.33, "10"),
        (66.67, "100"),
        (100.0, "1,000"),
    ]


def test_counts_below_ten_still_have_an_axis() -> None:
    plot = count_bars(("a",), {"a": 1}, {"a": 3})

    assert [tick.label for tick in plot.ticks] == ["1", "10"]
    assert all(0 <= bar.percent <= 100 for row in plot.rows for bar in row.bars if bar)


def test_a_label_that_only_one_series_knows_has_a_gap_in_the_other() -> None:
    plot = count_bars(("a",), {"a": 5}, {"a": 5, "stranger": 7})

    assert [row.label for row in plot.rows] == ["a", "stranger"]
    assert plot.rows[1].bars[0] is None


def test_an_undefined_share_has_no_bar() -> None:
    plot = share_bars(LABELS, {"daisy": 0.5, "poppy": None, "orchid": 1.0})

    assert [lengths(row.bars) for row in plot.rows] == [[50.0], [None], [100.0]]
    assert plot.rows[0].bars[0].label == "0.500"  # type: ignore[union-attr]


def test_all_candidates_share_the_axes_of_their_curves() -> None:
    good = make_candidate("smote", validation_macro_recall=(0.5, 0.9), loss=(2.0, 0.5), best_epoch=2)
    bad = make_candidate("none", validation_macro_recall=(0.2, 0.4), loss=(4.0, 3.0), best_epoch=1)

    panels = recall_panels([good, bad])

    assert panels[0].y_ticks == panels[1].y_ticks  # type: ignore[union-attr]
    assert [tick.label for tick in panels[0].y_ticks] == ["0.20", "0.55", "0.90"]  # type: ignore[union-attr]
    assert panels[0].points == "36.0,56.0 292.0,8.0"  # type: ignore[union-attr]
    assert panels[1].kept == (36.0, 92.0)  # type: ignore[union-attr]
    assert [tick.label for tick in loss_panels([good, bad])[0].y_ticks] == ["0.00", "2.00", "4.00"]  # type: ignore[union-attr]


def test_the_labels_of_neighbouring_epochs_do_not_touch() -> None:
    long = make_candidate(n_epochs=20, best_epoch=19)

    panel = recall_panels([long])[0]

    assert [tick.label for tick in panel.x_ticks] == ["1", "19"]  # type: ignore[union-attr]


def test_a_candidate_of_one_epoch_or_none_is_drawn_or_left_out() -> None:
    one = make_candidate(validation_macro_recall=(0.5,), loss=(1.0,), best_epoch=1)
    none = make_candidate(validation_macro_recall=(), loss=(), best_epoch=0)

    panels = recall_panels([one, none])

    assert panels[0].points == "36.0,92.0"  # type: ignore[union-attr]
    assert panels[1] is None
    assert loss_panels([none]) == [None]


def test_a_confusion_matrix_is_normalised_by_rows() -> None:
    metrics = make_metrics(confusion=((8, 2), (3, 1)), labels=("a", "b"))

    cells = confusion_cells(metrics)

    assert [[cell.share for cell in row] for row in cells] == [[0.8, 0.2], [0.75, 0.25]]
    assert [[cell.is_strong for cell in row] for row in cells] == [[True, False], [True, False]]
    assert cells[1][0].count == 3


def test_a_class_without_test_images_has_an_empty_row() -> None:
    metrics = make_metrics(confusion=((4, 0), (0, 0)), labels=("a", "b"))

    assert [cell.share for cell in confusion_cells(metrics)[1]] == [0.0, 0.0]


def test_means_are_drawn_with_their_standard_errors_on_one_axis_of_round_numbers() -> None:
    plot = whisker_plot([scored(0.86, 0.02), scored(0.80, 0.04)], 0.84)

    assert [(tick.position, tick.label) for tick in plot.ticks] == [
        (0.0, "0.75"),
        (33.33, "0.80"),
        (66.67, "0.85"),
        (100.0, "0.90"),
    ]
    assert (plot.rows[0].low, plot.rows[0].mean, plot.rows[0].high) == (60.0, 73.33, 86.67)
    assert (plot.rows[1].low, plot.rows[1].mean, plot.rows[1].high) == (6.67, 33.33, 60.0)
    assert plot.bound == 60.0


def test_a_mean_at_the_bound_reaches_it() -> None:
    plot = whisker_plot([scored(0.86, 0.02), scored(0.84, 0.01), scored(0.8399, 0.01)], 0.84)

    assert [row.reaches_bound for row in plot.rows] == [True, True, False]


@pytest.mark.parametrize("mean", [0.0, 0.5, 1.0])
def test_a_mean_without_spread_has_an_axis_too(mean: float) -> None:
    plot = whisker_plot([scored(mean, 0.0)], mean)

    assert len(plot.ticks) >= 2
    assert 0.0 <= plot.rows[0].low == plot.rows[0].mean == plot.rows[0].high <= 100.0


@pytest.mark.parametrize(("low", "high"), [(0.8, 0.81), (0.31, 0.99), (0.0, 1.0), (0.843, 0.871), (0.7, 1.05)])
def test_the_axis_holds_every_whisker_and_has_few_marks(low: float, high: float) -> None:
    middle, half = (low + high) / 2, (high - low) / 2

    plot = whisker_plot([scored(middle, half)], middle)

    assert 2 <= len(plot.ticks) <= 7
    assert (plot.ticks[0].position, plot.ticks[-1].position) == (0.0, 100.0)
    assert plot.rows[0].low >= 0
    assert plot.rows[0].high <= 100
