"""`python -m benchmarks.recipe`: how the demo's heads were chosen, on validation rows alone."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.results import Benchmark, write_result
from demo import fashion_mnist
from demo.delivery import DAYS, deliver, make_batches
from include.retraining import steps
from include.retraining.artifacts import EmbeddingRecord, SnapshotRecord, Window
from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers import plan_rows
from include.retraining.config import ClassifierConfig, HeadConfig, load_classifier
from include.retraining.dataset.snapshot import read_snapshot
from include.retraining.embedding.features import read_features
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.intake.relations.splits import hashed_split
from include.retraining.metrics import macro_recall
from include.retraining.pipeline import embed
from include.retraining.run import Run
from include.retraining.storage.memory import InMemoryStore
from include.retraining.training.rows import class_ids
from include.retraining.training.strategies import apply_strategy

SALTS = ("", "second", "third")
WEIGHT_DECAYS = (1.0, 3.0, 10.0, 30.0)
HIDDEN_UNITS = {"linear": (), "mlp": (256,)}
BENCHMARK = Benchmark(
    name="recipe",
    title="How the demo's heads were chosen",
    command="python -m benchmarks.recipe",
    method=(
        "Macro recall on validation rows, mean over three train/validation splits of the demo's two days, by strategy, "
        "head and weight decay. The pinned test images are left out before anything is fitted. The recipe takes each "
        "head's weight decay with the highest mean over the strategies."
    ),
    packages=("tensorflow", "keras", "imbalanced-learn"),
)


def main() -> int:
    """Measures and writes the result; returns the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    config = load_classifier("fashion_mnist")
    rows, X = _rows_and_vectors(config)
    scores: dict[str, dict[str, list[float]]] = {}
    for salt in SALTS:
        for name, decay, score in _scores(config, rows, X, salt):
            scores.setdefault(name, {}).setdefault(f"weight_decay {decay:g}", []).append(score)
            print(f"{salt or 'first'}: {name}, weight decay {decay:g}: {score:.4f}", flush=True)
    means = {
        name: {decay: float(np.mean(all_)) for decay, all_ in by_decay.items()} for name, by_decay in scores.items()
    }
    chosen = {head: _best(means, head) for head in HIDDEN_UNITS}
    print(f"wrote {write_result(BENCHMARK, {'macro_recall': means, 'chosen': chosen})}")
    return 0


def _rows_and_vectors(config: ClassifierConfig) -> tuple[pd.DataFrame, np.ndarray]:
    """Returns the rows of both days that are not pinned to the test split, and their vectors."""
    store = InMemoryStore()
    data = fashion_mnist.load(fashion_mnist.cache_directory())
    for batch in make_batches(data, config.labels):
        deliver(store, config.name, batch)
    start = datetime.combine(DAYS[0], time.min, tzinfo=UTC)
    end = datetime.combine(DAYS[-1], time.min, tzinfo=UTC) + timedelta(days=1)
    run = Run(config, store, Window(start, end), "recipe", end)
    facts = [steps.inspect_images(run, listing) for listing in steps.list_batch(run)]
    verdicts = steps.validate_batch(run, facts, register_baseline=False)
    snapshot_uri = steps.freeze_snapshot(run, steps.accept_batch(run, verdicts, register_baseline=False))
    embedding_uri = embed(run, snapshot_uri, lambda *_: None)
    rows = read_snapshot(store, run.load(snapshot_uri, SnapshotRecord).uri)
    rows = rows[rows["split"] != "test"].reset_index(drop=True)
    return rows, read_features(store, run.load(embedding_uri, EmbeddingRecord), list(rows["image_id"]))


def _scores(
    config: ClassifierConfig, rows: pd.DataFrame, X: np.ndarray, salt: str
) -> Iterator[tuple[str, float, float]]:
    """Yields strategy and head, weight decay, and macro recall on the validation rows of one split."""
    from include.retraining.training.fitting import fit_head

    dataset = config.dataset.model_copy(update={"salt": salt})
    is_train = np.array([hashed_split(image_id, dataset) == "train" for image_id in rows["image_id"]])
    y = class_ids(rows, config.labels)
    scaler = fit_scaler(X[is_train])
    X_train, X_validation = scaler.transform(X[is_train]), scaler.transform(X[~is_train])
    train_ids, train_labels = rows["image_id"].to_numpy()[is_train], rows["label"].to_numpy()[is_train]
    streams = Streams(config.balancing.seed, config.balancing.random_streams)
    pairs = {
        name: plan_rows(X_train, train_labels, train_ids, resampling, streams)[0].over(train_ids)
        for name, resampling in config.training.resampling.items()
    }
    for name, strategy in config.training.strategies.items():
        fitted_on = apply_strategy(strategy, X_train, y[is_train], pairs=pairs.get(name), n_classes=len(config.labels))
        for (head, units), decay in itertools.product(HIDDEN_UNITS.items(), WEIGHT_DECAYS):
            shape = HeadConfig(hidden_units=units, weight_decay=decay, dropout=0.3 if units else 0.0)
            fit = fit_head(
                f"{name} {head}",
                fitted_on,
                (X_validation, y[~is_train]),
                scaler=scaler,
                head=shape.settings(config.training.learning_rate),
                training=config.training,
            )
            y_pred = fit.head.predict(X[~is_train])
            yield f"{name} {head}", decay, macro_recall(y[~is_train], y_pred, len(config.labels))


def _best(means: dict[str, dict[str, float]], head: str) -> Any:
    of_head = [by_decay for name, by_decay in means.items() if name.endswith(f" {head}")]
    return max(of_head[0], key=lambda decay: sum(by_decay[decay] for by_decay in of_head))


if __name__ == "__main__":
    sys.exit(main())
