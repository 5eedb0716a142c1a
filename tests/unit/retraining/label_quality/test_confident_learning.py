from __future__ import annotations

import numpy as np
import pytest

from include.retraining.label_quality.confident_learning import find_doubts


def test_a_small_example_agrees_with_the_paper_s_equations_worked_by_hand():
    y = np.array([0, 0, 0, 1, 1, 2, 2])
    probabilities = np.array(
        [
            [0.90, 0.05, 0.05],
            [0.70, 0.20, 0.10],
            [0.20, 0.75, 0.05],
            [0.30, 0.65, 0.05],
            [0.65, 0.25, 0.10],
            [0.30, 0.30, 0.40],  # reaches no threshold
            [0.05, 0.15, 0.80],
        ]
    )

    doubts = find_doubts(y, probabilities)

    assert doubts.thresholds == pytest.approx([(0.9 + 0.7 + 0.2) / 3, (0.65 + 0.25) / 2, (0.4 + 0.8) / 2])
    assert doubts.confident_joint.tolist() == [[2, 1, 0], [1, 1, 0], [0, 0, 1]]
    assert doubts.rows.tolist() == [2, 4]
    assert doubts.suggested.tolist() == [1, 0]


def test_a_row_whose_label_is_the_most_probable_is_not_doubted_though_it_reaches_another_threshold_only():
    y = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2]])

    doubts = find_doubts(y, probabilities)

    assert doubts.confident_joint[0].tolist() == [1, 1, 0]
    assert doubts.rows.tolist() == []


def test_a_rare_class_of_low_probabilities_is_not_doubted_as_a_whole():
    y = np.array([0] * 20 + [1] * 4)
    probabilities = np.array([[0.95, 0.05]] * 20 + [[0.7, 0.3]] * 4)

    # The most probable class contradicts all of the rare class; measured by its own threshold, nothing does.
    assert (probabilities.argmax(axis=1) != y).sum() == 4
    assert len(find_doubts(y, np.vstack([probabilities[:20], probabilities[20:]])).rows) == 0


def test_the_least_self_confident_row_comes_first_and_equal_ones_keep_their_order():
    y = np.array([0, 0, 0, 0, 0, 1, 1])
    wrong = [[0.10, 0.90], [0.02, 0.98], [0.10, 0.90]]
    probabilities = np.array([*wrong, [0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.2, 0.8]])

    assert find_doubts(y, probabilities).rows.tolist() == [1, 0, 2]


def test_a_class_without_rows_is_never_suggested():
    doubts = find_doubts(np.array([0, 0, 1]), np.array([[0.1, 0.1, 0.8], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]]))

    assert doubts.thresholds[2] == np.inf
    assert doubts.rows.tolist() == []


@pytest.mark.parametrize("broken", [[[0.5, np.nan]], [[-0.1, 1.1]]], ids=["nan", "negative"])
def test_what_is_no_probability_is_refused(broken: list[list[float]]):
    with pytest.raises(ValueError, match="Expected probabilities from 0 to 1"):
        find_doubts(np.array([0]), np.array(broken))


def test_probabilities_of_other_rows_are_refused():
    with pytest.raises(ValueError, match=r"got shapes \(2,\) and \(1, 2\)"):
        find_doubts(np.array([0, 1]), np.array([[0.5, 0.5]]))
