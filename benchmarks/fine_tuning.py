"""`python -m benchmarks.fine_tuning`: what fine-tuning the network does for the demo's rare classes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

import numpy as np
import pandas as pd

from benchmarks.results import Benchmark, write_result
from demo import fashion_mnist
from demo.delivery import DAYS, TEST_PER_CLASS, TRAIN_COUNTS, deliver, make_batches
from include.retraining import steps
from include.retraining.artifacts import EmbeddingRecord, SnapshotRecord, Window
from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers import plan_rows
from include.retraining.config import ClassifierConfig, load_classifier
from include.retraining.dataset.snapshot import read_snapshot, rows_of
from include.retraining.embedding.features import read_features
from include.retraining.embedding.fine_tuning.versions import tuned_extractors
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.metrics import macro_recall
from include.retraining.pipeline import embed
from include.retraining.run import Run
from include.retraining.storage.memory import InMemoryStore
from include.retraining.training.rows import class_ids
from include.retraining.training.strategies import apply_strategy

IMAGE_SIZE = 64
STRATEGIES = ("none", "smote")
HEAD = "linear"
LAYERS = {"five layers": None, "last layer": ("head",)}
FINE_TUNE = {"occasion": {"when": "every_runs", "runs": 1}}  # all else as FineTuneConfig has it
FEWEST_IMAGES = 20
SPLITS = ("validation", "test")
BENCHMARK = Benchmark(
    name="fine_tuning",
    title="What fine-tuning does for the rare classes",
    command="python -m benchmarks.fine_tuning",
    method=(
        "The demo's two days (Fashion-MNIST, 4000 … 40 train and validation images a class, 2,000 balanced pinned test "
        "images), at 64 pixels. Macro recall of the recipe's linear head on vectors of the ImageNet network (frozen) "
        "and of the same network after fine-tuning on the train split, by the layers that are pooled, strategy and "
        "split. Fine-tuning has its default settings; nothing is chosen by these figures. One training each: on 2,000 "
        "test images differences below one point are within chance."
    ),
    packages=("tensorflow", "keras", "imbalanced-learn"),
)


@dataclass(frozen=True)
class Measured:
    """One row of the result.

    Attributes:
        name: `<network>, <layers>`.
        scores: Macro recall by strategy and split.
    """

    name: str
    scores: Mapping[str, Mapping[str, float]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and writes the result; returns the exit status. A trial with other settings writes nothing."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, help="for a trial; nothing is written")
    parser.add_argument("--images", type=int, help="about so many train images, for a trial; nothing is written")
    chosen = parser.parse_args(arguments)
    config = _config(chosen.epochs)
    run, snapshot_uri = _taken_in(config, chosen.images)
    measured = []
    for network, fine_tune in (("frozen", None), ("fine-tuned", config.fine_tune)):
        for name, layers in LAYERS.items():
            embedding = config.embedding.model_copy(update={"layers": layers or config.embedding.layers})
            changed = config.model_copy(update={"fine_tune": fine_tune, "embedding": embedding})
            one = Measured(f"{network}, {name}", _scores(_with(run, changed), snapshot_uri))
            print(f"{one.name}: {one.scores}", flush=True)
            measured.append(one)
    [tuned] = tuned_extractors(run.store, config.name)
    figures = {
        "macro_recall": {one.name: one.scores for one in measured},
        "loss": tuned.loss,
        "epoch_seconds": float(np.mean(tuned.seconds)),
    }
    if chosen.epochs or chosen.images:
        print(f"a trial, not written: {figures}")
        return 0
    print(f"wrote {write_result(BENCHMARK, figures)}")
    return 0


def _config(epochs: int | None) -> ClassifierConfig:
    """Returns the demo's recipe with smaller images, and with fine-tuning."""
    document = load_classifier("fashion_mnist").model_dump(mode="json")
    document["embedding"]["image_size"] = IMAGE_SIZE
    document["fine_tune"] = FINE_TUNE if epochs is None else {**FINE_TUNE, "epochs": epochs}
    return ClassifierConfig.model_validate(document)


def _taken_in(config: ClassifierConfig, n_images: int | None) -> tuple[Run, str]:
    """Delivers the demo's days, or fewer images of them, and takes them in; returns run and snapshot."""
    share = 1.0 if n_images is None else n_images / sum(TRAIN_COUNTS)
    counts = tuple(max(min(FEWEST_IMAGES, count), round(count * share)) for count in TRAIN_COUNTS)
    store = InMemoryStore()
    data = fashion_mnist.load(fashion_mnist.cache_directory())
    test_per_class = max(2, round(TEST_PER_CLASS * share))
    for batch in make_batches(data, config.labels, counts=counts, test_per_class=test_per_class):
        deliver(store, config.name, batch)
    start = datetime.combine(DAYS[0], time.min, tzinfo=UTC)
    end = datetime.combine(DAYS[-1], time.min, tzinfo=UTC) + timedelta(days=1)
    run = Run(config, store, Window(start, end), "fine_tuning", end)
    facts = [steps.inspect_images(run, listing) for listing in steps.list_batch(run)]
    verdicts = steps.validate_batch(run, facts, register_baseline=False)
    return run, steps.freeze_snapshot(run, steps.accept_batch(run, verdicts, register_baseline=False))


def _with(run: Run, config: ClassifierConfig) -> Run:
    return Run(config, run.store, run.window, run.run_id, run.started_at)


def _scores(run: Run, snapshot_uri: str) -> dict[str, dict[str, float]]:
    """Returns macro recall by strategy and split, on the vectors that the run's recipe asks for."""
    vectors = run.load(embed(run, snapshot_uri, lambda *_: None), EmbeddingRecord)
    snapshot = read_snapshot(run.store, run.load(snapshot_uri, SnapshotRecord).uri)
    rows = {split: rows_of(snapshot, split) for split in ("train", *SPLITS)}
    X = {split: read_features(run.store, vectors, list(of_split["image_id"])) for split, of_split in rows.items()}
    y = {split: class_ids(of_split, run.config.labels) for split, of_split in rows.items()}
    return {name: _scores_of(run.config, name, rows["train"], X, y) for name in STRATEGIES}


def _scores_of(
    config: ClassifierConfig,
    name: str,
    train: pd.DataFrame,
    X: Mapping[str, np.ndarray],
    y: Mapping[str, np.ndarray],
) -> dict[str, float]:
    from include.retraining.training.fitting import fit_head

    scaler = fit_scaler(X["train"])
    X_train, ids = scaler.transform(X["train"]), train["image_id"].to_numpy()
    training, streams = config.training, Streams(config.balancing.seed, config.balancing.random_streams)
    pairs = None
    if name in training.resampling:
        plan, _ = plan_rows(X_train, train["label"].to_numpy(), ids, training.resampling[name], streams)
        pairs = plan.over(ids)
    fit = fit_head(
        name,
        apply_strategy(training.strategies[name], X_train, y["train"], pairs=pairs, n_classes=len(config.labels)),
        (scaler.transform(X["validation"]), y["validation"]),
        scaler=scaler,
        head=training.heads[HEAD].settings(training.learning_rate),
        training=training,
    )
    y_pred = {split: fit.head.predict(X[split]) for split in SPLITS}
    return {split: macro_recall(y[split], y_pred[split], len(config.labels)) for split in SPLITS}


if __name__ == "__main__":
    sys.exit(main())
