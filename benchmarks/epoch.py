"""`python -m benchmarks.epoch`: a training epoch from a resampling plan against one over written-out vectors."""

from __future__ import annotations

import json
import statistics
import sys
import time

import numpy as np

from include.retraining.balancing.pairs import Pairs
from include.retraining.config import NoBalancing, Smote
from include.retraining.training.batches import Batches
from include.retraining.training.network import network_for
from include.retraining.training.strategies import TrainRows, apply_strategy

N_ROWS, N_FEATURES = 32_000, 1832  # of the demo, once its ten classes are as large as the largest
SIZES = np.array([4000, 2000, 1000, 750, 500, 350, 200, 100, 60, 40])  # of its classes, in proportion
BATCH_ROWS = 256
HEADS = {"linear": (), "mlp": (256,)}
ROUNDS = {"linear": 21, "mlp": 9}
METHOD = (
    "Epochs from the plan and over vectors that lie written out in memory alternate: the same loop, the same batches "
    "in the same order, equal to the last bit. `epoch_seconds_*` are medians, of the linear head, whose steps are so "
    "short that interpolation counts most; `epoch_mlp` is a head with 256 hidden units. `*_keras_fit` is Keras's own "
    "`fit` over the written-out vectors, which is what trains where there is no plan. Compiling is in none of them."
)


def measure(n_rows: int = N_ROWS, dims: int = N_FEATURES) -> dict[str, object]:
    """Returns medians of the seconds of an epoch and their ratio, for a linear head and, as `epoch_mlp`, an MLP.

    Args:
        n_rows: Rows of an epoch, synthetic ones included.
        dims: Features of a row.

    Raises:
        RuntimeError: If the two ways do not give the same batches.
    """
    plan = make_rows(n_rows, dims)
    vectors = write_out(plan)
    require_equal_batches(plan, vectors)
    linear, mlp = (_measure(plan, vectors, name) for name in HEADS)
    return {**linear, "epoch_mlp": mlp, "epoch_rows": plan.n_rows, "epoch_dims": dims}


def make_rows(n_rows: int, dims: int) -> TrainRows:
    """Returns normal rows of the demo's imbalance with random pairs that fill every class up to the largest."""
    rng = np.random.default_rng(0)
    largest = n_rows // len(SIZES)
    sizes = np.maximum(SIZES * largest // SIZES.max(), 2)
    y = np.repeat(np.arange(len(SIZES)), sizes)
    starts = np.cumsum(sizes) - sizes
    label = np.repeat(np.arange(len(SIZES)), largest - sizes)
    base, neighbour = (starts[label] + rng.integers(sizes[label]) for _ in range(2))
    pairs = Pairs(base.astype(np.int32), neighbour.astype(np.int32), rng.random(len(label)))
    X = rng.standard_normal((len(y), dims), dtype=np.float32)
    return apply_strategy(Smote(), X, y, pairs=pairs, n_classes=len(SIZES))


def write_out(rows: TrainRows) -> TrainRows:
    """Returns the same rows without a plan: the synthetic ones are vectors like the others."""
    pairs = rows.pairs
    if pairs is None:
        return rows
    X = np.empty((rows.n_rows, rows.X.shape[1]), np.float32)
    X[: len(rows.y)] = rows.X
    for start in range(0, len(pairs), BATCH_ROWS):
        block = slice(start, start + BATCH_ROWS)
        X[len(rows.y) :][block] = pairs.interpolate(rows.X, block)
    y = np.concatenate([rows.y, pairs.labels(rows.y)])
    return apply_strategy(NoBalancing(), X, y, pairs=None, n_classes=rows.n_classes)


def require_equal_batches(plan: TrainRows, vectors: TrainRows) -> None:
    """Refuses to compare two ways that do not give the same batches to the last bit."""
    both = (Batches(rows, BATCH_ROWS, seed=0).epoch(1) for rows in (plan, vectors))
    for step, (one, other) in enumerate(zip(*both, strict=True), start=1):
        if one.X.tobytes() != other.X.tobytes() or not np.array_equal(one.y, other.y):
            raise RuntimeError(f"batch {step} of the plan differs from that of the written-out vectors")


def _measure(plan: TrainRows, vectors: TrainRows, head: str) -> dict[str, float]:
    network = network_for(
        plan.X.shape[1], plan.n_classes, hidden_units=HEADS[head], dropout=0.3 if HEADS[head] else 0.0, weight_decay=1.0
    )
    network.reset(0)
    batches = {id(rows): Batches(rows, BATCH_ROWS, seed=0) for rows in (plan, vectors)}
    seconds: dict[int, list[float]] = {id(plan): [], id(vectors): []}
    for epoch in range(ROUNDS[head] + 1):
        for rows in (plan, vectors) if epoch % 2 else (vectors, plan):
            start = time.perf_counter()
            network.train(batches[id(rows)], epoch + 1, rows, np.full(batches[id(rows)].n_steps, 1e-3))
            seconds[id(rows)].append(time.perf_counter() - start)
    from_plan, from_vectors = (statistics.median(seconds[id(rows)][1:]) for rows in (plan, vectors))  # first: compiles
    keras_fit = _keras_fit(vectors, head)
    return {
        "epoch_seconds_plan": from_plan,
        "epoch_seconds_materialised": from_vectors,
        "epoch_seconds_keras_fit": keras_fit,
        "epoch_ratio": from_plan / from_vectors,
        "epoch_ratio_keras_fit": from_plan / keras_fit,
    }


def _keras_fit(vectors: TrainRows, head: str) -> float:
    """Returns the median seconds of an epoch of Keras's `fit` with the same head, optimiser and batch size."""
    import keras

    layers = [keras.layers.Dense(units, activation="relu") for units in HEADS[head]]
    layers += [keras.layers.Dropout(0.3)] if HEADS[head] else []
    model = keras.Sequential([keras.Input((vectors.X.shape[1],)), *layers, keras.layers.Dense(vectors.n_classes)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.AdamW(1e-3, weight_decay=1.0), loss, jit_compile=False)
    keras.utils.set_random_seed(0)  # rows are shuffled, and operations are deterministic in this process
    seconds = []
    for _ in range(ROUNDS[head] // 2 + 2):
        start = time.perf_counter()
        model.fit(vectors.X, vectors.y, batch_size=BATCH_ROWS, epochs=1, verbose=0)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])


def main() -> int:
    """Measures and prints; returns the exit status."""
    print(json.dumps({"method": METHOD, **measure()}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
