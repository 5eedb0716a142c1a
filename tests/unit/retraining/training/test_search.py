from __future__ import annotations

import logging
import math

import pytest

from include.retraining.artifacts import CrossValidation
from include.retraining.config import HeadSettings, Search
from include.retraining.errors import TrainingDivergedError
from include.retraining.training.search import Found, search_settings

OWN = HeadSettings(hidden_units=(4,), weight_decay=1.0, dropout=0.25, learning_rate=0.01)
DECAY = {"weight_decay": {"low": 0.01, "high": 100.0, "log": True}}


def searching(trials: int = 12, seed: int = 0, **ranges: dict[str, float]) -> Search:
    return Search(trials=trials, seed=seed, **(ranges or DECAY))


class Remembered:
    """A score that is highest at a weight decay of 10, and remembers what it was asked."""

    def __init__(self, diverges_at: int = -1) -> None:
        self.asked: list[HeadSettings] = []
        self._diverges_at = diverges_at

    def __call__(self, settings: HeadSettings) -> CrossValidation:
        self.asked.append(settings)
        if len(self.asked) - 1 == self._diverges_at:
            raise TrainingDivergedError("smote · mlp", 3, 0)
        mean = 0.9 - 0.1 * abs(math.log10(settings.weight_decay) - 1)
        return CrossValidation((mean, mean), mean, 0.0)


def found_by(search: Search, own: HeadSettings = OWN) -> tuple[Found, list[HeadSettings]]:
    score = Remembered()
    return search_settings(search, own, score), score.asked


def test_the_head_s_own_settings_are_tried_first_and_the_number_of_trials_is_kept():
    found, asked = found_by(searching(trials=7))

    assert asked[0] == OWN
    assert len(asked) == len(found.trials) == 7
    assert len(set(asked)) == 7


def test_what_is_searched_stays_within_its_range_and_all_else_stays_as_it_is():
    _, asked = found_by(searching(trials=20, weight_decay={"low": 0.5, "high": 2.0}))

    assert all(0.5 <= settings.weight_decay <= 2.0 for settings in asked)
    assert {(it.hidden_units, it.dropout, it.learning_rate) for it in asked} == {((4,), 0.25, 0.01)}


def test_several_ranges_are_searched_together():
    ranges = {**DECAY, "dropout": {"low": 0.0, "high": 0.5}, "learning_rate": {"low": 1e-3, "high": 0.1, "log": True}}

    found, asked = found_by(searching(trials=6, **ranges))

    assert {tuple(trial.settings) for trial in found.trials} == {("weight_decay", "dropout", "learning_rate")}
    assert len({it.dropout for it in asked}) == len({it.learning_rate for it in asked}) == 6


def test_the_best_trial_wins_and_trials_are_listed_from_the_best():
    found, asked = found_by(searching(trials=15))

    means = [trial.mean for trial in found.trials]
    assert means == sorted(means, reverse=True)
    assert found.cross_validation.mean == means[0] > 0.85
    assert found.settings in asked
    assert found.settings.weight_decay == found.trials[0].settings["weight_decay"]


def test_a_search_comes_closer_than_its_first_guesses():
    found, asked = found_by(searching(trials=40))

    def distance(settings: HeadSettings) -> float:
        return abs(math.log10(settings.weight_decay) - 1)

    assert distance(found.settings) < 0.05
    assert sum(map(distance, asked[20:])) < sum(map(distance, asked[:20]))


def test_of_equal_trials_the_earlier_is_kept():
    found = search_settings(searching(trials=5), OWN, lambda _: CrossValidation((0.5, 0.5), 0.5, 0.0))

    assert found.settings == OWN
    assert found.trials[0].settings == {"weight_decay": 1.0}


def test_the_same_seed_makes_the_same_trials_and_another_one_others():
    first, second, other = found_by(searching()), found_by(searching()), found_by(searching(seed=1))

    assert first == second
    assert first[1][1:] != other[1][1:]


@pytest.mark.parametrize("decay", [0.0, 1000.0], ids=["below", "above"])
def test_own_settings_outside_of_the_range_are_tried_too(decay: float):
    own = HeadSettings((4,), decay, 0.25, 0.01)
    asked: list[HeadSettings] = []

    def score(settings: HeadSettings) -> CrossValidation:
        asked.append(settings)
        return CrossValidation((0.5, 0.5), 0.5, 0.0)

    found = search_settings(searching(trials=4), own, score)

    assert asked[0] == own == found.settings
    assert len(asked) == 4


@pytest.mark.parametrize("at", [0, 4], ids=["own-settings", "later"])
def test_a_trial_that_diverges_is_left_out_and_the_search_goes_on(at: int, caplog: pytest.LogCaptureFixture):
    score = Remembered(diverges_at=at)

    with caplog.at_level(logging.WARNING):
        found = search_settings(searching(trials=8), OWN, score)

    assert len(score.asked) == 8
    assert len(found.trials) == 7
    assert score.asked[at] != found.settings
    assert f"search trial={at + 1} diverged" in caplog.text


def test_a_search_in_which_every_trial_diverges_fails_as_the_trials_did():
    def diverging(_: HeadSettings) -> CrossValidation:
        raise TrainingDivergedError("smote · mlp", 3, 0)

    with pytest.raises(TrainingDivergedError, match="not finite at epoch 3"):
        search_settings(searching(trials=3), OWN, diverging)


def test_optuna_says_nothing_of_its_own(capfd: pytest.CaptureFixture[str]):
    found_by(searching(trials=3))

    assert capfd.readouterr() == ("", "")
