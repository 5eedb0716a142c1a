from __future__ import annotations

import numpy as np
import pytest
from imblearn.over_sampling import KMeansSMOTE
from sklearn.cluster import MiniBatchKMeans

from include.retraining.balancing.sampled import Streams
from include.retraining.balancing.samplers.kmeans import sample_kmeans
from include.retraining.config import KMeansSmote
from tests.clouds import clouds

SIZES = {"big": 80, "small": 20}
COUNTS = {"big": 80, "small": 73}


def two_places(small_apart: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """The small class in two clouds: a dense one, and one whose rows lie as many times as far from each other."""
    X, y = clouds(SIZES, apart=0.0)
    rows = np.flatnonzero(y == "small")
    X[rows[:10]] = X[rows[:10]] * 0.1 + 30
    X[rows[10:]] = X[rows[10:]] * 0.1 * small_apart - 30
    return X, y


@pytest.mark.parametrize("seed", range(4))
def test_both_parents_lie_in_one_cluster(seed: int):
    X, y = clouds({"big": 60, "small": 25}, apart=0.5)
    strategy = KMeansSmote(n_clusters=4, cluster_balance_threshold=0.05)
    pairs = sample_kmeans(X, y, {"big": 60, "small": 60}, strategy, Streams(seed)).pairs
    cluster = MiniBatchKMeans(n_clusters=4, random_state=seed).fit_predict(X)
    assert len(pairs) == 35
    assert np.array_equal(cluster[pairs.base], cluster[pairs.neighbour])


def test_a_sparse_cluster_gets_more_rows_than_a_dense_one():
    X, y = two_places()
    pairs = sample_kmeans(X, y, COUNTS, KMeansSmote(n_clusters=3), Streams(0)).pairs
    sparse = np.count_nonzero(X[pairs.base, 0] < 0)
    assert sparse > 2 * (len(pairs) - sparse) > 0


def test_rounding_up_exceeds_what_was_asked_only_in_the_mode_of_imbalanced_learn():
    X, y = two_places(1.5)
    strategy = KMeansSmote(n_clusters=3)
    modes = ("per_class", "imblearn")
    by_mode = {mode: len(sample_kmeans(X, y, COUNTS, strategy, Streams(0, mode)).pairs) for mode in modes}
    theirs = KMeansSMOTE(kmeans_estimator=3, sampling_strategy=COUNTS, random_state=0).fit_resample(X, y)[0]
    assert by_mode == {"per_class": 53, "imblearn": 54}
    assert len(theirs) == 100 + 54


def test_a_cluster_with_fewer_rows_of_the_class_than_neighbours_and_the_row_itself_is_no_place():
    X, y = two_places()
    pairs = sample_kmeans(X, y, COUNTS, KMeansSmote(n_clusters=3, k_neighbors=10), Streams(0)).pairs
    assert len(pairs) == 0


def test_clusters_of_copies_share_alike():
    X, y = two_places()
    X[(y == "small") & (X[:, 0] > 0)] = 30
    X[(y == "small") & (X[:, 0] < 0)] = -30
    X[:, 1] += 1
    pairs = sample_kmeans(X, y, COUNTS, KMeansSmote(n_clusters=3), Streams(0)).pairs
    assert sorted(np.unique(X[pairs.base, 0], return_counts=True)[1].tolist()) == [26, 27]


def test_there_are_no_more_clusters_than_rows():
    X, y = clouds({"big": 4, "small": 2})
    sampled = sample_kmeans(X, y, {"big": 4, "small": 4}, KMeansSmote(n_clusters=50), Streams(0))
    assert len(sampled.pairs) in (0, 2)
