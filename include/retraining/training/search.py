"""Looks for better settings of a head within a bounded number of trials. What a trial is scored by is not here.

The best of many trials on the same folds looks a little better than it is, and more so the more trials there are.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from dataclasses import dataclass

from include.retraining.artifacts import CrossValidation, Trial
from include.retraining.config import HeadSettings, Search
from include.retraining.errors import TrainingDivergedError

logger = logging.getLogger(__name__)

Score = Callable[[HeadSettings], CrossValidation]


@dataclass(frozen=True)
class Found:
    """How a search ended.

    Attributes:
        settings: Those of the best trial.
        cross_validation: How they did.
        trials: All that could be trained, best first; of equals the earlier.
    """

    settings: HeadSettings
    cross_validation: CrossValidation
    trials: tuple[Trial, ...]


def search_settings(search: Search, own: HeadSettings, score: Score) -> Found:
    """Tries the head's own settings, then what a tree-structured Parzen estimator proposes; equal scores, equal trials.

    Side effects:
        Tells Optuna to log warnings only, for the whole process.

    Args:
        search: Ranges, number of trials, seed.
        own: The settings that the recipe gives the head; what has no range stays so in every trial.
        score: Cross-validates settings.

    Raises:
        TrainingDivergedError: If every trial diverged; where some did, they are left out.

    References:
        Bergstra et al., 2011, "Algorithms for Hyper-Parameter Optimization", section 4 (TPE).
        Akiba et al., 2019, "Optuna: A Next-generation Hyperparameter Optimization Framework".
    """
    import optuna  # a second; most recipes search nothing

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    ranges: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(between.low, between.high, log=between.log)
        for name, between in search.ranges.items()
    }
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=search.seed))
    start = {name: float(getattr(own, name)) for name in ranges}
    teaches = all(between.low <= start[name] <= between.high for name, between in search.ranges.items())
    if teaches:
        study.enqueue_trial(start)
    results: list[tuple[Trial, HeadSettings, CrossValidation]] = []
    for number in range(search.trials):
        # Settings outside the ranges are tried too, but the estimator cannot be told of them.
        trial = study.ask(ranges) if number or teaches else None
        tried = trial.params if trial else start
        settings = dataclasses.replace(own, **tried)
        try:
            result = score(settings)
        except TrainingDivergedError as error:
            logger.warning("search trial=%d diverged settings=%s", number + 1, tried)
            diverged = error
            if trial:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        results.append((Trial(tried, result.mean), settings, result))
        if trial:
            study.tell(trial, result.mean)
    if not results:
        raise diverged
    results.sort(key=lambda one: -one[0].mean)  # stable: of equals the earlier
    _, settings, best = results[0]
    return Found(settings, best, tuple(trial for trial, _, _ in results))
