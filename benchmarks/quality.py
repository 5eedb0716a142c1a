"""`make bench-quality`: how well rare classes are told apart, by features and strategy, in the protocol of DeepSMOTE.

The protocol is in `quality_protocol.py`, the features are made in `quality_features.py`; what is here fits heads with
the project's own code and scores them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.quality_features import KINDS, Features, fold_features, recipe_of
from benchmarks.quality_protocol import TRAIN_COUNTS, make_folds
from benchmarks.results import Benchmark, write_result
from demo import fashion_mnist
from demo.fashion_mnist import FashionMnist
from include.retraining.artifacts import ClassificationMetrics
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers import plan_rows
from include.retraining.config import CalibrationConfig, HeadConfig, Strategy, TrainingConfig
from include.retraining.embedding.scaling import Scaler, fit_scaler
from include.retraining.metrics import classification_metrics
from include.retraining.training.head import Head
from include.retraining.training.strategies import TrainRows, apply_strategy, assumes_uniform

STRATEGIES = ("none", "class_weights", "logit_adjusted_loss", "random_oversampling", "smote")
WEIGHT_DECAYS = (1.0, 3.0, 10.0, 30.0)
N_RAREST = 3
SCORES = {
    "acsa": "macro_recall",
    "gm_macro": "geometric_mean_macro",
    "gm": "geometric_mean",
    "macro_f1": "macro_f1",
    "ece": "ece",
}
PUBLISHED = [
    {"method": "DeepSMOTE", "acsa": 83.63, "gm_macro": 90.61, "macro_f1": 83.27},
    {"method": "GAMO", "acsa": 83.03},
    {"method": "SMOTE on pixels", "acsa": 70.58},
]
BENCHMARK = Benchmark(
    name="quality",
    title="Quality by features and strategy",
    command="python -m benchmarks.quality",
    method=(
        "Protocol of DeepSMOTE for Fashion-MNIST: five folds over the 60,000 train images; of each fold's train part "
        "4,000, 2,000, 1,000, 750, 500, 350, 200, 100, 60 and 40 images of the ten classes are kept, its test part of "
        "12,000 stays balanced. Mean and standard deviation over the folds, in percent. ACSA is the mean recall of the "
        "classes; GM (macro) is imbalanced-learn's `geometric_mean_score(average='macro')`, as in the paper, GM the "
        "geometric mean of the recalls; rare recall is the mean of the three rarest classes. Features: pixels; the "
        "recipe's ImageNet network at 96 pixels, five pooled layers (frozen); the same after fine-tuning on the fold's "
        "train images with the defaults of FineTuneConfig (fine-tuned); the same network at 64 pixels from a random "
        "start, all layers trained, 16 epochs (from scratch), which is the row to hold against the paper. The head is "
        "linear. Its weight decay is chosen for each features × strategy among 1, 3, 10 and 30 by mean macro recall "
        "over the folds, its epoch and its temperature in each fold, all on 2,000 images of the official test set (200 "
        "a class), which no fold trains on or scores. Everything else is the recipe's or a default, as decided before: "
        "no test score chose anything. `published` are the figures of the paper (Dablain, Krawczyk and Chawla, 2022); "
        "its methods used no pre-trained weights, while frozen and fine-tuned features start from ImageNet's. That is "
        "why each block has its own `none` row."
    ),
    packages=("tensorflow", "keras", "imbalanced-learn", "scikit-learn"),
)


@dataclass(frozen=True)
class Prepared:
    """A fold's standard scores, ready for heads.

    Attributes:
        features: As they were made.
        scaler: Fitted on the train rows.
        X_train: Standard scores of the train rows.
        X_validation: Standard scores of the validation rows.
        pairs: Synthetic rows by strategy.
    """

    features: Features
    scaler: Scaler
    X_train: np.ndarray
    X_validation: np.ndarray
    pairs: Mapping[str, Pairs]


@dataclass(frozen=True)
class Fitted:
    """A head on one fold.

    Attributes:
        validation: Macro recall of the kept epoch on the validation rows.
        head: Calibrated on them.
    """

    validation: float
    head: Head


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and writes the result; returns the exit status. A trial with fewer folds or kinds writes nothing."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folds", type=int, default=5, help="fewer for a trial; nothing is written")
    parser.add_argument("--features", nargs="+", choices=list(KINDS), default=list(KINDS), help="likewise")
    parser.add_argument("--validation-only", action="store_true", help="show validation scores; score no test image")
    chosen = parser.parse_args(arguments)
    data = fashion_mnist.load(fashion_mnist.cache_directory())
    rows = []
    for kind in chosen.features:
        for row in _rows(data, kind, chosen.folds, score=not chosen.validation_only):
            print(row, flush=True)
            rows.append(row)
    if chosen.folds < 5 or chosen.validation_only or len(chosen.features) < len(KINDS):
        print("a trial, not written")
        return 0
    figures = {
        "rows": rows,
        "published": PUBLISHED,
        "folds": chosen.folds,
        "rarest": _rarest(recipe_of("frozen").labels),
    }
    print(f"wrote {write_result(BENCHMARK, figures)}")
    return 0


def _rows(data: FashionMnist, kind: str, n_folds: int, *, score: bool) -> Iterator[dict[str, Any]]:
    """Yields a row a strategy for one kind of features."""
    labels = recipe_of(kind).labels
    folds = [_prepare(fold_features(data, kind, fold), labels) for fold in make_folds(data)[:n_folds]]
    for name, strategy in _strategies().items():
        by_decay = {decay: [_fit(name, strategy, fold, decay) for fold in folds] for decay in WEIGHT_DECAYS}
        means = {decay: float(np.mean([one.validation for one in fits])) for decay, fits in by_decay.items()}
        best = max(means, key=lambda decay: (means[decay], decay))
        row = {"features": kind, "strategy": name, "weight_decay": best, "validation": 100 * means[best]}
        if score:
            fits = by_decay[best]
            row |= _summary(
                [_test_metrics(one.head, fold, labels) for one, fold in zip(fits, folds, strict=True)], labels
            )
        yield row


def _prepare(features: Features, labels: tuple[str, ...]) -> Prepared:
    scaler = fit_scaler(features.X["train"])
    X_train = scaler.transform(features.X["train"])
    names = np.array(labels, dtype=object)[features.y["train"]]
    seed = Streams(recipe_of("frozen").balancing.seed)
    pairs = {
        name: plan_rows(X_train, names, features.ids["train"], strategy, seed)[0].over(features.ids["train"])
        for name, strategy in _training().resampling.items()
    }
    return Prepared(features, scaler, X_train, scaler.transform(features.X["validation"]), pairs)


def _fit(name: str, strategy: Strategy, fold: Prepared, weight_decay: float) -> Fitted:
    from include.retraining.training.calibration import calibrate
    from include.retraining.training.fitting import fit_head

    y = fold.features.y
    fit = fit_head(
        name,
        _train_rows(name, strategy, fold),
        (fold.X_validation, y["validation"]),
        scaler=fold.scaler,
        head=HeadConfig(weight_decay=weight_decay).settings(_training().learning_rate),
        training=_training(),
    )
    head = calibrate(
        fit.head,
        fold.features.X["validation"],
        y["validation"],
        assumes_uniform=assumes_uniform(strategy),
        config=CalibrationConfig(),
    )
    return Fitted(fit.validation_macro_recall[fit.best_epoch - 1], head)


def _train_rows(name: str, strategy: Strategy, fold: Prepared) -> TrainRows:
    y_train = fold.features.y["train"]
    return apply_strategy(strategy, fold.X_train, y_train, pairs=fold.pairs.get(name), n_classes=len(TRAIN_COUNTS))


def _test_metrics(head: Head, fold: Prepared, labels: tuple[str, ...]) -> ClassificationMetrics:
    features = fold.features
    return classification_metrics(features.y["test"], head.predict_proba(features.X["test"]), labels)


def _summary(folds: Sequence[ClassificationMetrics], labels: tuple[str, ...]) -> dict[str, Any]:
    """Returns mean and standard deviation over the folds by score, in percent."""
    values: dict[str, list[float]] = {
        name: [float(getattr(metrics, field)) for metrics in folds] for name, field in SCORES.items()
    }
    recalls = {label: [float(metrics.recall[label] or 0) for metrics in folds] for label in _rarest(labels)}
    values["rare_recall"] = list(np.mean(list(recalls.values()), axis=0))
    values |= {f"recall_{label}": of_label for label, of_label in recalls.items()}
    return {name: _mean_and_sd(shares) for name, shares in values.items()}


def _mean_and_sd(shares: Sequence[float]) -> dict[str, float]:
    percent = 100 * np.array(shares)
    return {"mean": float(percent.mean()), "sd": float(percent.std(ddof=1)) if len(percent) > 1 else 0.0}


def _training() -> TrainingConfig:
    """Returns the recipe's training with the strategies that are compared."""
    document = recipe_of("frozen").training.model_dump(mode="json")
    return TrainingConfig.model_validate({**document, "strategies": STRATEGIES})


def _strategies() -> Mapping[str, Strategy]:
    return _training().strategies


def _rarest(labels: tuple[str, ...]) -> list[str]:
    return [labels[index] for index in np.argsort(TRAIN_COUNTS)[:N_RAREST]]


if __name__ == "__main__":
    sys.exit(main())
