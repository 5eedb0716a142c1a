"""`python -m benchmarks.gate_errors`: how often the non-inferiority gate lets a worse model pass, and an equal one."""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks.results import Benchmark, write_result
from include.retraining.artifacts import Difference
from include.retraining.config import CONFIDENCES, EvaluationConfig
from include.retraining.evaluation.bootstrap import Predictions, TestRows, differences

N_PAIRS = 1500
RESAMPLES = 400  # the standard error of the bootstrap is within some 4 % of its limit at so many
RECALL = 0.85  # of the champion, in every class
TOLERANCES = (0.01, 0.02, 0.05)
AT_BORDER = ("macro_recall", "recall_of_rarest")
METRICS = ("macro_recall", "macro_f1", "geometric_mean", "minimum_recall", "accuracy", "ece")


@dataclass(frozen=True)
class Scenario:
    """A test set, and how alike two models are on it.

    Attributes:
        name: As the result has it.
        sizes: Rows by class, the rarest last.
        disagreement: Share of the rows on which one model is right and the other is not.
        drop: By how much the challenger is worse in every class, where the gate has this much tolerance.
    """

    name: str
    sizes: tuple[int, ...]
    disagreement: float
    drop: float


SCENARIOS = (
    Scenario("balanced_10x200", (200,) * 10, disagreement=0.06, drop=0.02),
    Scenario("long_tailed_1000_to_10", (1000, 599, 359, 215, 129, 77, 46, 28, 17, 10), disagreement=0.06, drop=0.02),
    Scenario("small_3x30", (30, 30, 30), disagreement=0.1, drop=0.05),
)
PLANTED = Scenario("twenty_classes", (200,) * 19 + (50,), disagreement=0.06, drop=0.0)
PLANTED_RECALL = (0.9, 0.6)  # of the rarest class: the champion's, the challenger's
BENCHMARK = Benchmark(
    name="gate_errors",
    title="Errors of the non-inferiority gate",
    command="python -m benchmarks.gate_errors",
    method=(
        f"{N_PAIRS:,} pairs of models are simulated on each test set; both are right on {RECALL:.0%} of a class, and "
        "they disagree on a few rows. `passes_equal` is the share of pairs of equal models that the gate passes with "
        "tolerance 0: they are at its border, so it may be 1 − confidence at most. `passes_at_border` is the same of "
        "challengers that are worse by the tolerance in every class. Lists are in the order of `confidences`. "
        "`percentile` and `without_pseudo_rows` are what the usual bootstrap intervals would do with the same pairs. "
        "`power` is the share of equal models that pass at 95 % with a tolerance. `planted` are models of twenty "
        f"classes whose recall in one, of 50 rows, fell from {PLANTED_RECALL[0]} to {PLANTED_RECALL[1]}: the share "
        "that each gate catches. `rarest` is the class with the fewest rows."
    ),
    packages=("numpy", "scipy"),
)


def main() -> int:
    """Measures and writes the result; returns the exit status."""
    started = time.perf_counter()
    figures: dict[str, Any] = {"pairs": N_PAIRS, "resamples": RESAMPLES, "confidences": list(CONFIDENCES)}
    for scenario in SCENARIOS:
        figures[scenario.name] = {"disagreement": scenario.disagreement, **measure(scenario)}
        print(f"{scenario.name}: {figures[scenario.name]}", flush=True)
    figures["planted"] = _planted()
    print(f"planted: {figures['planted']}", flush=True)
    print(f"wrote {write_result(BENCHMARK, figures)} after {time.perf_counter() - started:.0f} s")
    return 0


def simulate(
    scenario: Scenario, rng: np.random.Generator, *, drop: np.ndarray | float = 0.0, recall: np.ndarray | float = RECALL
) -> tuple[TestRows, Predictions, Predictions]:
    """Returns test rows with a challenger and a champion.

    Args:
        scenario: Classes and disagreement.
        rng: Source of randomness.
        drop: By how much the challenger's recall is less, for all classes or by class.
        recall: The champion's, for all classes or by class.
    """
    n_classes = len(scenario.sizes)
    y_true = np.repeat(np.arange(n_classes), scenario.sizes)
    drop, recall = (np.broadcast_to(it, n_classes)[y_true] for it in (drop, recall))
    disagreement = np.maximum(scenario.disagreement, np.abs(drop))
    better, worse = (disagreement - drop) / 2, (disagreement + drop) / 2
    drawn = rng.random(len(y_true))
    are_both_right = drawn < recall - worse
    is_only_champion, is_only_challenger = drawn >= 1 - worse, (drawn < 1 - worse) & (drawn >= 1 - worse - better)
    mistaken_for = (y_true + rng.integers(1, n_classes, len(y_true))) % n_classes
    confidence = 0.4 + 0.6 * rng.beta(4, 1, len(y_true))
    challenger, champion = (
        _predictions(
            np.where(is_right, y_true, mistaken_for),
            confidence - 0.15 * ~is_right + 0.03 * rng.standard_normal(len(y_true)),
            n_classes,
        )
        for is_right in (are_both_right | is_only_challenger, are_both_right | is_only_champion)
    )
    labels = tuple(f"class_{number:02}" for number in range(n_classes))
    return TestRows(y_true, labels, {}), challenger, champion


def _predictions(y_pred: np.ndarray, confidence: np.ndarray, n_classes: int) -> Predictions:
    """Returns predictions with about this confidence; what is left over goes to the other classes alike."""
    confidence = np.clip(confidence, 0.36, 0.9999)
    y_score = np.repeat(((1 - confidence) / (n_classes - 1))[:, None], n_classes, axis=1)
    y_score[np.arange(len(y_pred)), y_pred] = confidence
    return Predictions(y_score.astype(np.float32), y_pred)


def passes(difference: Difference, tolerance: float, confidence: float) -> bool:
    """Tells whether the non-inferiority gate would let a challenger pass."""
    bound = next(it for it in difference.bounds if it.confidence == confidence)
    if bound.lower is None or bound.upper is None:
        return False
    return bound.upper <= tolerance if difference.metric == "ece" else bound.lower >= -tolerance


def compare(pair: tuple[TestRows, Predictions, Predictions], resamples: int, seed: int) -> dict[str, Difference]:
    """Returns the differences of a simulated pair by metric."""
    config = EvaluationConfig(resamples=resamples, seed=seed)
    return {difference.metric: difference for difference in differences(*pair, config)}


def measure(scenario: Scenario, n_pairs: int = N_PAIRS) -> dict[str, Any]:
    """Returns the shares of pairs that pass, by what is asked and metric."""
    named = _metrics_of(scenario)
    passed: defaultdict[tuple[str, str], list[Any]] = defaultdict(list)
    for seed, pair in _pairs(scenario, n_pairs):
        found = compare(pair, RESAMPLES, seed)
        for name, metric in named.items():
            passed["equal", name].append([passes(found[metric], 0.0, confidence) for confidence in CONFIDENCES])
        for name in AT_BORDER:
            passed["power", name].append([passes(found[named[name]], tolerance, 0.95) for tolerance in TOLERANCES])
        for key, lower in usual_bounds(pair, seed).items():
            passed[key].append(lower >= 0)
    for seed, pair in _pairs(scenario, n_pairs, drop=scenario.drop):
        found = compare(pair, RESAMPLES, seed)
        for name in AT_BORDER:
            passed["border", name].append(
                [passes(found[named[name]], scenario.drop, confidence) for confidence in CONFIDENCES]
            )
    shares = {key: np.mean(each, axis=0).tolist() for key, each in passed.items()}
    return {
        "passes_equal": {name: shares["equal", name] for name in named},
        "percentile": {name: shares["percentile", name] for name in AT_BORDER},
        "without_pseudo_rows": {name: shares["normal", name] for name in AT_BORDER},
        "passes_at_border": {name: shares["border", name] for name in AT_BORDER},
        "tolerance_at_border": scenario.drop,
        "power": {name: dict(zip(map(str, TOLERANCES), shares["power", name], strict=True)) for name in AT_BORDER},
    }


def usual_bounds(pair: tuple[TestRows, Predictions, Predictions], seed: int) -> dict[tuple[str, str], np.ndarray]:
    """Returns lower bounds of two differences from the rows alone, by interval and metric, in the order of confidences.

    The intervals are the bootstrap's percentiles, and the estimate less normal quantiles of its standard error.
    """
    (test, challenger, champion), rng = pair, np.random.default_rng(seed)
    gain = (challenger.y_pred == test.y_true).astype(np.int64) - (champion.y_pred == test.y_true)
    gains = [gain[test.y_true == number] for number in range(len(test.labels))]
    recalls = np.array([rows.mean() for rows in gains])
    resampled = np.stack([_resampled_means(rows, rng) for rows in gains])
    quantiles = np.array([NormalDist().inv_cdf(confidence) for confidence in CONFIDENCES])
    bounds = {}
    for name, estimate, values in (
        ("macro_recall", recalls.mean(), resampled.mean(axis=0)),
        ("recall_of_rarest", recalls[-1], resampled[-1]),
    ):
        bounds["percentile", name] = np.quantile(values, 1 - np.array(CONFIDENCES))
        bounds["normal", name] = estimate - quantiles * values.std()
    return bounds


def _resampled_means(gain: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns means of resampled rows that are each −1, 0 or 1, shape `(RESAMPLES,)`."""
    shares = np.bincount(gain + 1, minlength=3) / len(gain)
    drawn = rng.multinomial(len(gain), shares, size=RESAMPLES)
    means: np.ndarray = (drawn[:, 2] - drawn[:, 0]) / len(gain)
    return means


def _metrics_of(scenario: Scenario) -> dict[str, str]:
    rarest = f"class_{len(scenario.sizes) - 1:02}"
    return {name: name for name in METRICS} | {
        f"{name}_of_rarest": f"{name}:{rarest}" for name in ("recall", "precision")
    }


def _pairs(
    scenario: Scenario, n_pairs: int, drop: float = 0.0
) -> Iterator[tuple[int, tuple[TestRows, Predictions, Predictions]]]:
    for seed in range(n_pairs):
        yield seed, simulate(scenario, np.random.default_rng([seed, len(scenario.sizes)]), drop=drop)


def simulate_planted(rng: np.random.Generator) -> tuple[TestRows, Predictions, Predictions]:
    """Returns two models that are alike but for the recall of the rarest class."""
    recall, drop = np.full(len(PLANTED.sizes), RECALL), np.zeros(len(PLANTED.sizes))
    recall[-1], drop[-1] = PLANTED_RECALL[0], PLANTED_RECALL[0] - PLANTED_RECALL[1]
    return simulate(PLANTED, rng, drop=drop, recall=recall)


def _planted(n_pairs: int = N_PAIRS // 2) -> dict[str, float]:
    """Returns how often each gate catches the drop in one class."""
    rarest = _metrics_of(PLANTED)["recall_of_rarest"]
    caught = defaultdict(list)
    for seed in range(n_pairs):
        found = compare(simulate_planted(np.random.default_rng(seed)), RESAMPLES, seed)
        caught["non_inferior_macro_recall_0.03"].append(not passes(found["macro_recall"], 0.03, 0.95))
        caught["non_inferior_recall_0.1"].append(not passes(found[rarest], 0.1, 0.95))
        caught["maximum_regression_recall_0.1"].append((found[rarest].estimate or 0.0) < -0.1)
    return {gate: float(np.mean(hits)) for gate, hits in caught.items()}


if __name__ == "__main__":
    sys.exit(main())
