"""KMeans-SMOTE: interpolation inside the clusters in which a class prevails."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from sklearn.cluster import MiniBatchKMeans
from sklearn.metrics import pairwise_distances_chunked
from threadpoolctl import threadpool_limits

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Sampled, Streams
from include.retraining.balancing.samplers.drawing import Draws, draw_pairs
from include.retraining.balancing.samplers.growing import GrowingClass, grow, joined
from include.retraining.balancing.samplers.surroundings import neighbours_within
from include.retraining.config import KMeansSmote


def sample_kmeans(
    X: np.ndarray, y: np.ndarray, counts: Mapping[str, int], strategy: KMeansSmote, streams: Streams
) -> Sampled:
    """Plans rows inside clusters, more where a cluster is sparse; none for a class that prevails in no cluster.

    In mode `imblearn` the rows of each cluster are rounded up, as imbalanced-learn does: a class may get as many rows
    too many as there are clusters. In mode `per_class` it gets what was asked.

    Args:
        X: Vectors, shape `(n_rows, n_features)`, float32 or float64.
        y: Labels, shape `(n_rows,)`.
        counts: Rows by label after resampling.
        strategy: Numbers of neighbours and clusters.
        streams: Random numbers; the seed is the clusters' too.

    References:
        Last et al., 2017, "Oversampling for Imbalanced Learning Based on K-Means and SMOTE", arXiv:1711.00837.
    """
    n_clusters = min(strategy.n_clusters, len(X))
    with threadpool_limits(1):  # sums in another order can move a row to another cluster
        cluster = MiniBatchKMeans(n_clusters=n_clusters, random_state=streams.seed).fit_predict(X)
    n_wanted = sum(max(count - int(np.count_nonzero(y == label)), 0) for label, count in counts.items())
    draws = Draws(streams)

    def make(growing: GrowingClass) -> Pairs | None:
        threshold = _threshold(strategy, n_clusters, growing.n_new / n_wanted)
        members = _members(cluster, y, growing, threshold)
        if not members:
            return None
        shares = _shares(X, members, growing.n_new, may_exceed=streams.mode == "imblearn")
        return joined(
            [
                draw_pairs(draws.anew(growing.label), rows, neighbours_within(X, rows, rows, growing.k), n_new)
                for rows, n_new in zip(members, shares, strict=True)
            ]
        )

    return grow(y, counts, strategy.k_neighbors, make)


def _threshold(strategy: KMeansSmote, n_clusters: int, share_of_new_rows: float) -> float:
    """Returns the share of a cluster that a class must have; of a single cluster it need not have any."""
    if n_clusters == 1:
        return -math.inf
    given = strategy.cluster_balance_threshold
    return share_of_new_rows / 2 if given == "auto" else given


def _members(cluster: np.ndarray, y: np.ndarray, growing: GrowingClass, threshold: float) -> list[np.ndarray]:
    """Returns the class's rows of each cluster in which it prevails and has neighbours enough."""
    found = []
    for number in range(cluster.max() + 1):
        rows = np.flatnonzero(cluster == number)
        own = rows[y[rows] == growing.label]
        if len(own) > growing.k and len(own) / len(rows) >= threshold:
            found.append(own)
    return found


def _shares(X: np.ndarray, members: Sequence[np.ndarray], n_new: int, *, may_exceed: bool) -> list[int]:
    """Returns how many of the new rows each cluster gets: the sparser, the more."""
    sparsity = np.array([_sparsity(X[rows]) for rows in members])
    # Where all rows of all clusters are copies, no cluster is sparser than another.
    weight = sparsity / sparsity.sum() if sparsity.sum() > 0 else np.full(len(members), 1 / len(members))
    shares = [math.ceil(n_new * one) for one in weight]
    if not may_exceed:
        ends = np.minimum(np.cumsum(shares), n_new)
        shares = np.diff(ends, prepend=0).tolist()
    return shares


def _sparsity(X: np.ndarray) -> float:
    """Returns how far apart the rows of a cluster are, by the power of the paper's density exponent, over their number.

    Distances come in blocks: all of them at once would take the square of the rows.
    """
    n_rows = len(X)
    total = sum(float(block.sum(dtype=np.float64)) for block in pairwise_distances_chunked(X))
    exponent = math.log(n_rows, 1.6) ** 1.8 * 0.16
    return float((total / (n_rows**2 - n_rows)) ** exponent / n_rows)
