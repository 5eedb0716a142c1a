from __future__ import annotations

import numpy as np
import pytest

from benchmarks.gate_errors import RECALL, SCENARIOS, Scenario, compare, measure, passes, simulate, simulate_planted
from include.retraining.config import CONFIDENCES

LARGE = Scenario("large", (20_000, 20_000), disagreement=0.06, drop=0.02)


@pytest.mark.parametrize("drop", [0.0, LARGE.drop])
def test_simulated_models_have_the_recalls_and_disagree_on_the_share_of_rows_that_were_asked(drop: float):
    rows, challenger, champion = simulate(LARGE, np.random.default_rng(0), drop=drop)

    hits = [it.y_pred == rows.y_true for it in (challenger, champion)]
    for label in (0, 1):
        of_class = rows.y_true == label
        recalls = [it[of_class].mean() for it in hits]
        assert recalls == pytest.approx([RECALL - drop, RECALL], abs=0.01)
    assert (hits[0] != hits[1]).mean() == pytest.approx(LARGE.disagreement, abs=0.005)


def test_simulated_probabilities_are_probabilities_and_the_predicted_class_has_the_largest():
    for rows, *models in (simulate(it, np.random.default_rng(1)) for it in SCENARIOS):
        for model in models:
            assert model.y_score.sum(axis=1) == pytest.approx(np.ones(len(rows.y_true)), abs=1e-5)
            assert model.y_score.min() > 0
            assert np.array_equal(model.y_score.argmax(axis=1), model.y_pred)


def test_planted_models_differ_in_the_recall_of_the_rarest_class():
    drops = []
    for seed in range(30):
        rows, challenger, champion = simulate_planted(np.random.default_rng(seed))
        hits = [it.y_pred == rows.y_true for it in (challenger, champion)]
        drops.append(
            [(hits[1][rows.y_true == label].mean() - hits[0][rows.y_true == label].mean()) for label in (0, 19)]
        )

    assert np.mean(drops, axis=0) == pytest.approx([0.0, 0.3], abs=0.03)


def test_less_calibration_error_is_better_and_more_of_any_other_metric():
    found = compare(simulate(SCENARIOS[2], np.random.default_rng(0)), resamples=200, seed=0)
    recall, ece = found["macro_recall"], found["ece"]

    at_95 = CONFIDENCES.index(0.95)
    assert passes(recall, -recall.bounds[at_95].lower, 0.95)
    assert not passes(recall, -recall.bounds[at_95].lower - 1e-6, 0.95)
    assert passes(ece, ece.bounds[at_95].upper, 0.95)
    assert not passes(ece, ece.bounds[at_95].upper - 1e-6, 0.95)


def test_a_trial_tells_shares_for_every_confidence():
    figures = measure(SCENARIOS[2], n_pairs=5)

    assert set(figures["passes_equal"]) >= {"macro_recall", "ece", "recall_of_rarest", "precision_of_rarest"}
    for kind in ("passes_equal", "percentile", "without_pseudo_rows", "passes_at_border"):
        for shares in figures[kind].values():
            assert len(shares) == len(CONFIDENCES)
            assert shares == sorted(shares, reverse=True)
            assert all(0 <= share <= 1 for share in shares)
