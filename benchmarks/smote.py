"""`python -m benchmarks.smote`: SMOTE as a plan against imbalanced-learn's, by processor time, memory and vectors."""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE

from benchmarks.memory import peak_mb, reset_peak
from benchmarks.results import REPOSITORY, Benchmark, write_result
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers.smote import sample_smote
from include.retraining.balancing.targets import asked_counts

N_ROWS, N_FEATURES = 100_000, 1280
LARGE_ROWS, LARGE_FEATURES = 1_000_000, 256
N_CLASSES, RATIO, K_NEIGHBORS, SEED = 10, 100, 5, 0
BATCH_ROWS = 256
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
BENCHMARK = Benchmark(
    name="smote",
    title="SMOTE as a plan",
    command="python -m benchmarks.smote",
    method=(
        f"{N_ROWS:,} float32 rows of {N_FEATURES:,} features (normal around a centre for each class) in {N_CLASSES} "
        f"classes of geometric sizes, the largest {RATIO} times the smallest, in random order; k = {K_NEIGHBORS}, "
        "every class filled up to the largest. The plan and imbalanced-learn's SMOTE have the same seed, a process "
        "each, one after the other, one thread each. Processor seconds are user and system time of the resampling "
        "alone; those of the plan are planning and one pass over all synthetic rows, interpolated in batches of "
        f"{BATCH_ROWS} (`planning_cpu_seconds` is planning alone). Memory is the peak of the resident set above what "
        "the process held with its input. `identical`: all synthetic vectors and labels in their order have one "
        "sha256. `large` is the plan alone, planning and one pass; its peak is all that the process holds, input and "
        "libraries included. `epoch` is a training epoch from a plan against one over the same vectors written out in "
        "memory: the same loop and the same batches, bit for bit; `*_keras_fit` is Keras's own `fit` over them."
    ),
    packages=("numpy", "scikit-learn", "imbalanced-learn"),
)


@dataclass(frozen=True)
class Used:
    """What a process used since some moment.

    Attributes:
        cpu_seconds: User and system time.
        seconds: Elapsed time.
        peak_mb: Largest resident set, in units of 2**20 bytes.
        peak_mb_above_input: That less what was resident at that moment.
    """

    cpu_seconds: float
    seconds: float
    peak_mb: float
    peak_mb_above_input: float


@dataclass(frozen=True)
class Measured:
    """One process's figures.

    Attributes:
        n_made: Synthetic rows.
        used: By the resampling.
        digest: sha256 over the synthetic vectors and their labels.
        planning_cpu_seconds: What of the time was planning; None where nothing is planned.
    """

    n_made: int
    used: Used
    digest: str
    planning_cpu_seconds: float | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and writes the result; returns the exit status. A trial of another size writes nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=N_ROWS, help="other than the default for a trial, not written")
    parser.add_argument("--features", type=int, default=N_FEATURES, help="likewise")
    parser.add_argument("--large-rows", type=int, default=LARGE_ROWS, help="likewise; 0 leaves the large case out")
    parser.add_argument("--measure", choices=list(MEASURES), help="measure one of both here, and print it as JSON")
    chosen = parser.parse_args(arguments)
    if chosen.measure:
        print(json.dumps(asdict(MEASURES[chosen.measure](*make_rows(chosen.rows, chosen.features)))))
        return 0
    is_trial = (chosen.rows, chosen.features, chosen.large_rows) != (N_ROWS, N_FEATURES, LARGE_ROWS)
    epoch = {} if is_trial else {"epoch": _epoch_figures()}
    figures = {**_figures(chosen.rows, chosen.features), **epoch}
    if chosen.large_rows:
        figures["large"] = _large_figures(chosen.large_rows, LARGE_FEATURES)
    if is_trial:
        print(f"a trial, not written: {json.dumps(figures, indent=2)}")
        return 0
    print(f"wrote {write_result(BENCHMARK, figures)}")
    return 0


def make_rows(n_rows: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns float32 rows and their class ids, in random order; both are the same in every process."""
    rng = np.random.default_rng(SEED)
    shares = RATIO ** (-np.arange(N_CLASSES) / (N_CLASSES - 1))
    sizes = np.floor(n_rows * shares / shares.sum()).astype(int)
    sizes[0] += n_rows - sizes.sum()
    y = rng.permutation(np.repeat(np.arange(N_CLASSES), sizes))
    centres = rng.standard_normal((N_CLASSES, n_features), dtype=np.float32)
    X = rng.standard_normal((n_rows, n_features), dtype=np.float32)
    for label, centre in enumerate(centres):
        X[y == label] += centre
    return X, y


def measure_plan(X: np.ndarray, y: np.ndarray) -> Measured:
    """Measures planning and one pass over the synthetic rows."""
    used = _meter()
    counts = asked_counts(y, "auto")
    pairs = sample_smote(X, y, counts, k_neighbors=K_NEIGHBORS, streams=Streams(SEED, "imblearn")).pairs
    planning = used().cpu_seconds
    for _ in _batches(X, pairs):
        pass
    in_all = used()
    digest = _digest(itertools.chain(_batches(X, pairs), [pairs.labels(y)]))
    return Measured(len(pairs), in_all, digest, planning)


def measure_imblearn(X: np.ndarray, y: np.ndarray) -> Measured:
    """Measures imbalanced-learn's SMOTE."""
    used = _meter()
    resampled_X, resampled_y = SMOTE(k_neighbors=K_NEIGHBORS, random_state=SEED).fit_resample(X, y)
    in_all = used()
    made = [resampled_X[len(X) :], resampled_y[len(X) :]]
    return Measured(len(made[0]), in_all, _digest(made))


MEASURES: Mapping[str, Callable[[np.ndarray, np.ndarray], Measured]] = {
    "plan": measure_plan,
    "imblearn": measure_imblearn,
}


def _meter() -> Callable[[], Used]:
    """Returns what tells what this process has used since now."""
    input_mb, cpu, moment = reset_peak(), time.process_time(), time.perf_counter()

    def used() -> Used:
        peak = peak_mb()
        return Used(time.process_time() - cpu, time.perf_counter() - moment, peak, peak - input_mb)

    return used


def _batches(X: np.ndarray, pairs: Pairs) -> Iterator[np.ndarray]:
    for start in range(0, len(pairs), BATCH_ROWS):
        yield pairs.interpolate(X, slice(start, start + BATCH_ROWS))


def _digest(arrays: Iterable[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _figures(n_rows: int, n_features: int) -> dict[str, Any]:
    plan, imblearn = (_in_own_process(name, n_rows, n_features) for name in ("plan", "imblearn"))
    return {
        "n": n_rows,
        "dims": n_features,
        "made": plan["n_made"],
        "cpu_ratio": imblearn["used"]["cpu_seconds"] / plan["used"]["cpu_seconds"],
        "cpu_ratio_of_planning": imblearn["used"]["cpu_seconds"] / plan["planning_cpu_seconds"],
        "memory_ratio": imblearn["used"]["peak_mb_above_input"] / plan["used"]["peak_mb_above_input"],
        "identical": plan["digest"] == imblearn["digest"],
        "plan": {**plan["used"], "planning_cpu_seconds": plan["planning_cpu_seconds"]},
        "imblearn": imblearn["used"],
    }


def _epoch_figures() -> dict[str, Any]:
    """Returns what `python -m benchmarks.epoch` measures, in a process of its own with all threads."""
    command = [sys.executable, "-m", "benchmarks.epoch"]
    done = subprocess.run(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout)
    del measured["method"]
    print(f"epoch: {measured}", flush=True)
    return measured


def _large_figures(n_rows: int, n_features: int) -> dict[str, Any]:
    plan = _in_own_process("plan", n_rows, n_features)
    planning = {"planning_cpu_seconds": plan["planning_cpu_seconds"]}
    return {"n": n_rows, "dims": n_features, "made": plan["n_made"], **plan["used"], **planning}


def _in_own_process(name: str, n_rows: int, n_features: int) -> dict[str, Any]:
    """Returns what `--measure` prints in a process of its own, with one thread."""
    sizes = ["--rows", str(n_rows), "--features", str(n_features)]
    command = [sys.executable, "-m", "benchmarks.smote", "--measure", name, *sizes]
    done = subprocess.run(
        command, cwd=REPOSITORY, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, text=True, check=True
    )
    measured: dict[str, Any] = json.loads(done.stdout)
    print(f"{name}: {measured}", flush=True)
    return measured


if __name__ == "__main__":
    sys.exit(main())
