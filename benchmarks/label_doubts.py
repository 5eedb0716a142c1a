"""`python -m benchmarks.label_doubts`: plants wrong labels, and measures which models find them and what that costs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from benchmarks.results import REPOSITORY, Benchmark, write_result
from demo import fashion_mnist
from demo.delivery import TEST_PER_CLASS, TRAIN_COUNTS
from include.retraining.config import load_classifier
from include.retraining.embedding.scaling import fit_scaler
from include.retraining.label_quality.confident_learning import find_doubts
from include.retraining.label_quality.out_of_sample import (
    HELD_OUT,
    INVERSE_PENALTY,
    N_COMPONENTS,
    assign_folds,
    predict_out_of_sample,
)
from include.retraining.storage.memory import InMemoryStore

SEEDS = (1, 2, 3)
NOISE_FRACTION = 0.03
TIMED_ROWS = 12_000
N_CLASSES = len(TRAIN_COUNTS)
CHOSEN = f"logistic regression, {N_COMPONENTS} components, C {INVERSE_PENALTY:g}"
BENCHMARK = Benchmark(
    name="label_doubts",
    title="Which model doubts labels best",
    command="python -m benchmarks.label_doubts",
    method=(
        "Fashion-MNIST rows in the demo's numbers a class, 9,000 to train on and 2,000 to test, as the demo's vectors; "
        "3 % of the labels are replaced by another class, each as likely as the others; means over three seeds. "
        "`off_diagonal` counts the rows off the confident joint's diagonal, `doubted` those of them whose suggested "
        "label is more probable than the given one. `precision` and `recall` are those of all doubted rows, "
        "`precision_top` that of as many rows as were planted, by rank. Fashion-MNIST's own doubtful labels count as "
        "false here. Components and penalty were chosen by `log_loss` on the labels as given, which needs no knowledge "
        "of the errors. Under `shipped`, seconds and memory are those of 12,000 rows of 1,832 features, in a process "
        "of their own, beyond the vectors themselves."
    ),
    packages=("scikit-learn", "numpy", "tensorflow"),
)

Predict = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""From taught rows, their labels and other rows to the others' probabilities."""


@dataclass(frozen=True)
class Rows:
    """Fashion-MNIST rows as vectors.

    Attributes:
        X: Vectors.
        y: True classes, as far as Fashion-MNIST's labels are true.
        folds: As `assign_folds` returns them.
    """

    X: np.ndarray
    y: np.ndarray
    folds: np.ndarray


@dataclass(frozen=True)
class Variant:
    """A way to get probabilities.

    Attributes:
        predict: The model.
        n_components: Principal components that it is shown.
        is_calibrated: Whether a temperature is fitted afterwards, by log loss on the labels as given.
    """

    predict: Predict
    n_components: int
    is_calibrated: bool = False


def logistic(inverse_penalty: float, class_weight: str | None = None) -> Predict:
    """Returns a multinomial logistic regression."""
    return lambda A, y, B: (
        LogisticRegression(C=inverse_penalty, class_weight=class_weight, tol=1e-3, max_iter=1000)
        .fit(A, y)
        .predict_proba(B)
    )


def discriminant(shrinkage: float) -> Predict:
    """Returns linear discriminant analysis with a shrunk covariance."""
    return lambda A, y, B: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage).fit(A, y).predict_proba(B)


def neighbours(k: int) -> Predict:
    """Returns the shares of the classes among the k nearest rows by angle, with a tenth of a row for each class."""

    def predict(A: np.ndarray, y: np.ndarray, B: np.ndarray) -> np.ndarray:
        model = KNeighborsClassifier(k, metric="cosine", algorithm="brute").fit(A, y)
        shares: np.ndarray = (k * model.predict_proba(B) + 0.1) / (k + 0.1 * N_CLASSES)
        return shares

    return predict


VARIANTS = {
    **{
        f"logistic regression, {n} components, C {C:g}": Variant(logistic(C), n)
        for n, C in ((128, 3.0), (256, 3.0), (512, 1.0), (512, 3.0), (512, 10.0))
    },
    "logistic regression, 512 components, C 3, classes of equal weight": Variant(logistic(3.0, "balanced"), 512),
    "discriminant analysis, 512 components, shrinkage 0.2": Variant(discriminant(0.2), 512),
    "discriminant analysis, 512 components, shrinkage 0.2, calibrated": Variant(discriminant(0.2), 512, True),
    "20 nearest neighbours, 256 components": Variant(neighbours(20), 256),
    "50 nearest neighbours, 256 components": Variant(neighbours(50), 256),
}


def main(arguments: list[str]) -> int:
    """Measures and writes the result; returns the exit status."""
    if arguments:
        print(json.dumps(_cost_of(Path(arguments[0]))))
        return 0
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    rows = _rows()
    components = _components(rows)
    figures: dict[str, dict[str, float]] = {}
    for name, variant in VARIANTS.items():
        figures[name] = _mean([_measure(rows, components, variant, seed) for seed in SEEDS])
        print(name, {key: round(value, 3) for key, value in figures[name].items()}, flush=True)
    clean = find_doubts(rows.y, predict_out_of_sample(rows.X, rows.y, rows.folds, n_classes=N_CLASSES))
    shipped = {"model": CHOSEN, "doubted_without_planted_errors": len(clean.rows), **_cost(rows)}
    print(f"wrote {write_result(BENCHMARK, {'rows': len(rows.y), 'shipped': shipped, 'variants': figures})}")
    return 0


def _rows() -> Rows:
    """Draws rows in the demo's numbers, no image twice, and embeds them with the demo's extractor."""
    from include.retraining.embedding.extractors.extractor import build_extractor
    from include.retraining.embedding.networks.weights import weights_of

    data = fashion_mnist.load(fashion_mnist.cache_directory())
    rng = np.random.default_rng(0)
    seen: set[bytes] = set()
    images, y, is_test = [], [], []
    sources = (
        (data.train_images, data.train_labels, TRAIN_COUNTS, False),
        (data.test_images, data.test_labels, (TEST_PER_CLASS,) * N_CLASSES, True),
    )
    for pixels, labels, counts, test in sources:
        for label, count in enumerate(counts):
            for image in _distinct(pixels[rng.permutation(np.flatnonzero(labels == label))], count, seen):
                images.append(np.repeat(image[..., None], 3, axis=2))
                y.append(label)
                is_test.append(test)
    embedding = load_classifier("fashion_mnist").embedding
    X = build_extractor(InMemoryStore(), embedding, weights_of(embedding)).embed(images)
    folds = assign_folds([image.tobytes().hex() for image in images], np.array(is_test))
    return Rows(X, np.array(y, np.int64), folds)


def _distinct(pixels: np.ndarray, count: int, seen: set[bytes]) -> Iterator[np.ndarray]:
    for image in pixels:
        if count and image.tobytes() not in seen:
            seen.add(image.tobytes())
            count -= 1
            yield image


def _components(rows: Rows) -> np.ndarray:
    taught = rows.folds != HELD_OUT
    scores = fit_scaler(rows.X[taught]).transform(rows.X)
    pca = PCA(max(it.n_components for it in VARIANTS.values()), svd_solver="covariance_eigh").fit(scores[taught])
    components: np.ndarray = pca.transform(scores) / np.float32(np.sqrt(rows.X.shape[1]))
    return components


def _measure(rows: Rows, components: np.ndarray, variant: Variant, seed: int) -> dict[str, float]:
    given, is_planted = _with_errors(rows.y, seed)
    started = time.perf_counter()
    probabilities = np.zeros((len(given), N_CLASSES))
    Z = components[:, : variant.n_components]
    with threadpool_limits(1):  # as the shipped function does
        for fold in np.unique(rows.folds):
            taught, here = (rows.folds != HELD_OUT) & (rows.folds != fold), rows.folds == fold
            probabilities[here] = variant.predict(Z[taught], given[taught], Z[here])
    seconds = time.perf_counter() - started
    if variant.is_calibrated:
        probabilities = _calibrated(probabilities, given)
    return {**_quality(np.clip(probabilities, 0, 1), given, rows.y, is_planted), "seconds": seconds}


def _with_errors(y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    is_planted = rng.random(len(y)) < NOISE_FRACTION
    return np.where(is_planted, (y + rng.integers(1, N_CLASSES, len(y))) % N_CLASSES, y), is_planted


def _quality(
    probabilities: np.ndarray, given: np.ndarray, true: np.ndarray, is_planted: np.ndarray
) -> dict[str, float]:
    doubts = find_doubts(given, probabilities)
    n_planted, right = int(is_planted.sum()), is_planted[doubts.rows]
    own = probabilities[np.arange(len(given)), given]
    margin = probabilities[doubts.rows, doubts.suggested] - own[doubts.rows]
    by_margin = doubts.rows[np.argsort(-margin, kind="stable")]
    return {
        "planted": n_planted,
        "doubted": len(doubts.rows),
        "off_diagonal": int(doubts.confident_joint.sum() - doubts.confident_joint.trace()),
        "false_doubts": int((~right).sum()),
        "precision": float(right.mean()),
        "recall": float(right.sum() / n_planted),
        "precision_top": float(right[:n_planted].mean()),
        "precision_top_by_margin": float(is_planted[by_margin[:n_planted]].mean()),
        "suggestion_right": float((doubts.suggested == true[doubts.rows])[right].mean()),
        "log_loss": float(-np.log(np.maximum(own, 1e-9)).mean()),
    }


def _calibrated(probabilities: np.ndarray, given: np.ndarray) -> np.ndarray:
    logarithms = np.log(np.maximum(probabilities, 1e-300))

    def at(temperature: float) -> np.ndarray:
        scaled = logarithms / temperature
        powers: np.ndarray = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        shares: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
        return shares

    def loss(log_temperature: float) -> float:
        own = at(np.exp(log_temperature))[np.arange(len(given)), given]
        return float(-np.log(np.maximum(own, 1e-9)).mean())

    return at(np.exp(minimize_scalar(loss, bounds=(-1, 5), method="bounded").x))


def _mean(measured: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([one[key] for one in measured])) for key in measured[0]}


def _cost(rows: Rows) -> Mapping[str, Any]:
    """Times the shipped function in a process of its own, whose memory nothing else has swollen."""
    repeated = np.resize(np.arange(len(rows.y)), TIMED_ROWS)
    noise = np.random.default_rng(0).normal(0, 0.01, (TIMED_ROWS, rows.X.shape[1])).astype(np.float32)
    with tempfile.TemporaryDirectory(prefix="retraining-label-doubts-") as folder:
        path = Path(folder) / "rows.npz"
        np.savez(path, X=rows.X[repeated] + noise, y=rows.y[repeated], folds=rows.folds[repeated])
        command = [sys.executable, "-m", "benchmarks.label_doubts", str(path)]
        ran = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    cost: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return cost


def _cost_of(path: Path) -> dict[str, float]:
    with np.load(path) as stored:
        X, y, folds = stored["X"], stored["y"], stored["folds"]
    before, started = _kilobytes("VmRSS"), time.perf_counter()
    find_doubts(y, predict_out_of_sample(X, y, folds, n_classes=N_CLASSES))
    seconds = time.perf_counter() - started
    return {"timed_rows": len(X), "seconds": seconds, "extra_megabytes": (_kilobytes("VmHWM") - before) / 1024}


def _kilobytes(name: str) -> int:
    """Returns the process's memory now (`VmRSS`) or at its highest (`VmHWM`)."""
    [number] = re.findall(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    return int(number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
