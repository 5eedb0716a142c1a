"""How far a batch is from the batches before it. What is too far, and what happens then, is in the recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
from scipy.special import chdtri

from include.retraining.config import ExpectationsConfig
from include.retraining.intake.drift.statistics import BINS, BatchStatistics

QUANTILE = 0.999
"""How sure chance is ruled out: of batches that do not differ from their baseline, one in 1000 is above by chance."""

SMOOTHING = 0.5
"""Rows added to each occupied bin, in batch and baseline (Jeffreys' prior): an empty bin would make PSI infinite.

A constant, and not a share: the effect on large batches vanishes, and a rare label that a small batch lacks by chance
adds about as much as chance allows for. Smoothing in proportion to the baseline's shares alarms 10 to 100 times too
often where labels are imbalanced.
"""

N_MOVED = 3


@dataclass(frozen=True)
class Baseline:
    """What a batch is compared with.

    Attributes:
        labels: Statistics of the batches that its labels are compared with; None where there are none.
        images: The same for its images.
        days: Days of these batches, in order.
        is_registering: Whether the batch begins a new baseline, so that it is compared with nothing.
    """

    labels: BatchStatistics | None = None
    images: BatchStatistics | None = None
    days: tuple[date, ...] = ()
    is_registering: bool = False


@dataclass(frozen=True)
class Moved:
    """A bin or a label whose share of the rows changed.

    Attributes:
        name: The bin or the label.
        batch_fraction: Its share of the batch.
        baseline_fraction: Its share of the baseline.
    """

    name: str
    batch_fraction: float
    baseline_fraction: float


@dataclass(frozen=True)
class Shift:
    """How far one distribution is from another.

    Attributes:
        psi: Population stability index, Σ (p − q) ln (p / q) over the occupied bins, with `SMOOTHING`; ≥ 0.
        chance: What the PSI exceeds in one of 1000 batches of this size that come from the baseline's distribution.
        kl: Kullback-Leibler divergence of the batch from the baseline, Σ p ln (p / q), in nats; smoothed as the PSI.
        n_batch: Rows of the batch.
        n_baseline: Rows of the baseline.
        batch: Rows of the batch by bin or label; only where batch or baseline have any.
        baseline: Rows of the baseline, by the same names.
    """

    psi: float
    chance: float
    kl: float
    n_batch: int
    n_baseline: int
    batch: Mapping[str, int]
    baseline: Mapping[str, int]

    @property
    def moved(self) -> tuple[Moved, ...]:
        """The bins or labels that add most to the PSI, the largest first: at most `N_MOVED`, and none that stayed."""
        p, q = _shares(np.array([*self.batch.values()])), _shares(np.array([*self.baseline.values()]))
        parts = (p - q) * np.log(p / q)
        largest = [int(it) for it in np.argsort(-parts, kind="stable")[:N_MOVED] if parts[it] > 0]
        names = list(self.batch)
        return tuple(
            Moved(names[it], self.batch[names[it]] / self.n_batch, self.baseline[names[it]] / self.n_baseline)
            for it in largest
        )


@dataclass(frozen=True)
class DriftFigures:
    """How far a batch is from its baseline.

    Attributes:
        labels: The shift of the labels' shares; None where there is nothing to compare, or nobody wants to know.
        images: The shift of each measurement: brightness, contrast, sharpness, size; empty as `labels` is None.
        is_registering: Whether the batch begins a new baseline.
        baseline_days: Days of the batches that it was compared with.
    """

    labels: Shift | None
    images: Mapping[str, Shift]
    is_registering: bool
    baseline_days: tuple[date, ...]


def measure_drift(batch: BatchStatistics, baseline: Baseline | None, expectations: ExpectationsConfig) -> DriftFigures:
    """Returns how far a batch is from its baseline, in what the recipe looks at."""
    against = Baseline() if baseline is None else baseline
    labels, images = None, {}
    if against.labels is not None and expectations.label_distribution.severity != "off":
        labels = shift(batch.labels, against.labels.labels)
    if against.images is not None and expectations.image_statistics.severity != "off":
        for name, bins in BINS.items():
            ours, theirs = batch.histograms[name], against.images.histograms[name]
            found = shift(dict(zip(bins.names, ours, strict=True)), dict(zip(bins.names, theirs, strict=True)))
            if found is not None:
                images[name] = found
    return DriftFigures(
        labels=labels,
        images=images,
        is_registering=against.is_registering,
        baseline_days=against.days if labels or images else (),
    )


def shift(batch: Mapping[str, int], baseline: Mapping[str, int]) -> Shift | None:
    """Returns how far the rows of a batch are distributed from those of a baseline; None where either has none.

    The bound of chance is Yurdakul's: PSI · n m / (n + m) of two samples from one distribution is asymptotically χ²
    with one degree of freedom less than there are occupied bins (B. Yurdakul, "Statistical Properties of Population
    Stability Index", Western Michigan University, 2018). With `SMOOTHING` that also holds, on the safe side, for
    samples too small for the asymptotics.

    Args:
        batch: Rows by bin or label.
        baseline: Rows by bin or label; what one side lacks counts as 0 there.
    """
    names = [name for name in {**baseline, **batch} if batch.get(name, 0) or baseline.get(name, 0)]
    ours = {name: batch.get(name, 0) for name in names}
    theirs = {name: baseline.get(name, 0) for name in names}
    n_batch, n_baseline = sum(ours.values()), sum(theirs.values())
    if not n_batch or not n_baseline:
        return None
    p, q = _shares(np.array([*ours.values()])), _shares(np.array([*theirs.values()]))
    ratio = np.log(p / q)
    return Shift(
        psi=float(np.sum((p - q) * ratio)),
        chance=chance(len(names), n_batch, n_baseline),
        kl=float(np.sum(p * ratio)),
        n_batch=n_batch,
        n_baseline=n_baseline,
        batch=ours,
        baseline=theirs,
    )


def chance(n_bins: int, n_batch: int, n_baseline: int) -> float:
    """Returns the PSI that one in 1000 pairs of samples from one distribution exceeds; 0 for a single bin."""
    if n_bins < 2:
        return 0.0
    return float(chdtri(n_bins - 1, 1 - QUANTILE)) * (1 / n_batch + 1 / n_baseline)


def _shares(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    smoothed = counts + SMOOTHING
    return np.asarray(smoothed / smoothed.sum(), dtype=np.float64)
