"""One call for every strategy that resamples: what was asked is what comes, or a warning says why not."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np

from include.retraining.balancing.hygiene import require_sound_vectors
from include.retraining.balancing.plan import Plan
from include.retraining.balancing.sampled import Sampled, Streams
from include.retraining.balancing.samplers.adasyn import sample_adasyn
from include.retraining.balancing.samplers.borderline import sample_borderline
from include.retraining.balancing.samplers.cleaning import sample_smote_enn, sample_smote_tomek
from include.retraining.balancing.samplers.growing import joined
from include.retraining.balancing.samplers.kmeans import sample_kmeans
from include.retraining.balancing.samplers.random_oversampling import sample_random
from include.retraining.balancing.samplers.smote import sample_smote
from include.retraining.balancing.samplers.svm import sample_svm
from include.retraining.balancing.targets import asked_counts
from include.retraining.config import (
    Adasyn,
    BorderlineSmote,
    KMeansSmote,
    RandomOversampling,
    ResamplingStrategy,
    Smote,
    SmoteEnn,
    SmoteTomek,
    SvmSmote,
)
from include.retraining.errors import ArtifactIntegrityError

_FINDS_NO_PLACE: Mapping[type[ResamplingStrategy], str] = {
    BorderlineSmote: "none of its rows lies at the border",
    SvmSmote: "none of its rows is a support vector that has rows of its own class around it",
    KMeansSmote: "it prevails in no cluster",
    Adasyn: "its rows give none by the neighbours of other classes that they have",
}
"""Why a method makes no row of a class, where imbalanced-learn raises or silently leaves the class as it is."""


def plan_rows(
    X: np.ndarray, labels: np.ndarray, row_ids: np.ndarray, strategy: ResamplingStrategy, streams: Streams
) -> tuple[Plan, Sampled]:
    """Samples rows in the order of their ids, so that the order in which they come decides nothing.

    Args:
        X: Standard scores, shape `(n_rows, n_features)`, float32.
        labels: Of the rows, shape `(n_rows,)`.
        row_ids: Their ids, all different, likewise.
        strategy: The method and its settings.
        streams: Random numbers.

    Returns:
        The plan over the sorted ids, and what the sampler says; its positions count the sorted rows.

    Raises:
        ArtifactIntegrityError: As `sample`, or if an id comes twice.
    """
    order = np.argsort(row_ids, kind="stable")
    ids = row_ids[order]
    n_twice = int(np.count_nonzero(ids[1:] == ids[:-1]))
    if n_twice:
        raise ArtifactIntegrityError("train rows", "an id for each", f"{n_twice} ids that come twice")
    in_order = np.array_equal(order, np.arange(len(order)))
    sampled = sample(X if in_order else X[order], labels[order], strategy, streams)
    return Plan(ids, sampled.pairs), sampled


def sample(X: np.ndarray, y: np.ndarray, strategy: ResamplingStrategy, streams: Streams) -> Sampled:
    """Plans synthetic rows by a strategy, checked.

    A class for which the method finds no place is filled by plain SMOTE. ADASYN and cleaning give counts of their own;
    a warning sets them beside what was asked. All others give what was asked, but for KMeans-SMOTE as imbalanced-learn
    draws it, which rounds up.

    Args:
        X: Standard scores, shape `(n_rows, n_features)`, float32 or float64; rows ascending by id.
        y: Labels, shape `(n_rows,)`.
        strategy: The method and its settings.
        streams: Random numbers.

    Raises:
        ArtifactIntegrityError: If a vector is not finite or constant, or a count is not what was asked.
        ConfigurationError: If `sampling_strategy` asks for what cannot be.
    """
    require_sound_vectors(X)
    asked = asked_counts(y, strategy.sampling_strategy)
    sampled = _filled(X, y, asked, _sampled(X, y, asked, strategy, streams), strategy, streams)
    return _counted(y, asked, sampled, strategy, streams)


def counts_after(y: np.ndarray, sampled: Sampled) -> dict[str, int]:
    """Returns rows by label once synthetic rows are added and cleaned rows are left out."""
    kept = y[sampled.pairs.kept(len(y))]
    made = sampled.pairs.labels(y)
    return {label: int(np.count_nonzero(kept == label) + np.count_nonzero(made == label)) for label in np.unique(y)}


def _sampled(
    X: np.ndarray, y: np.ndarray, asked: Mapping[str, int], strategy: ResamplingStrategy, streams: Streams
) -> Sampled:
    match strategy:
        case RandomOversampling():
            return sample_random(y, asked, streams)
        case Smote():
            return sample_smote(X, y, asked, k_neighbors=strategy.k_neighbors, streams=streams)
        case SmoteTomek():
            return sample_smote_tomek(X, y, asked, strategy, streams)
        case SmoteEnn():
            return sample_smote_enn(X, y, asked, strategy, streams)
        case BorderlineSmote():
            return sample_borderline(X, y, asked, strategy, streams)
        case SvmSmote():
            return sample_svm(X, y, asked, strategy, streams)
        case KMeansSmote():
            return sample_kmeans(X, y, asked, strategy, streams)
        case Adasyn():
            return sample_adasyn(X, y, asked, strategy, streams)


def _filled(
    X: np.ndarray,
    y: np.ndarray,
    asked: Mapping[str, int],
    sampled: Sampled,
    strategy: ResamplingStrategy,
    streams: Streams,
) -> Sampled:
    """Adds SMOTE's rows for the classes of which the method made none."""
    reason = _FINDS_NO_PLACE.get(type(strategy))
    if reason is None or isinstance(strategy, RandomOversampling):
        return sampled
    present, made = _counts(y), set(sampled.pairs.labels(y).tolist())
    missing = {label: count for label, count in asked.items() if count > present[label] and label not in made}
    if not missing:
        return sampled
    k_neighbors = strategy.n_neighbors if isinstance(strategy, Adasyn) else strategy.k_neighbors
    plain = sample_smote(X, y, {**present, **missing}, k_neighbors=k_neighbors, streams=streams)
    warnings = [
        f"Class {label!r} has {present[label]} train rows and {count} were asked: {reason}, so plain SMOTE makes the "
        f"{count - present[label]} new rows instead of {strategy.strategy}."
        for label, count in missing.items()
    ]
    pairs = joined([sampled.pairs, plain.pairs])
    return dataclasses.replace(sampled, pairs=pairs, warnings=(*sampled.warnings, *warnings))


def _counted(
    y: np.ndarray, asked: Mapping[str, int], sampled: Sampled, strategy: ResamplingStrategy, streams: Streams
) -> Sampled:
    """Refuses counts that are not those asked; where the method's own are approximate, says what they are."""
    after = counts_after(y, sampled)
    other = [f"{label!r} {after[label]} instead of {count}" for label, count in asked.items() if after[label] != count]
    if not other:
        return sampled
    if not _is_approximate(strategy, streams):
        plan = f"resampling plan of {strategy.strategy}"
        raise ArtifactIntegrityError(plan, "the rows that were asked", ", ".join(other))
    warning = f"{strategy.strategy} gives about as many rows as asked: {', '.join(other)}."
    return dataclasses.replace(sampled, warnings=(*sampled.warnings, warning))


def _is_approximate(strategy: ResamplingStrategy, streams: Streams) -> bool:
    rounds_up = isinstance(strategy, KMeansSmote) and streams.mode == "imblearn"
    return rounds_up or isinstance(strategy, (Adasyn, SmoteTomek, SmoteEnn))


def _counts(y: np.ndarray) -> dict[str, int]:
    labels, counts = np.unique(y, return_counts=True)
    return dict(zip(labels.tolist(), counts.tolist(), strict=True))
