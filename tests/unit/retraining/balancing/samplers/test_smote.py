from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import SMOTE

from include.retraining.balancing.sampled import Sampled, Streams
from include.retraining.balancing.samplers.smote import sample_smote
from include.retraining.balancing.targets import asked_counts


def classes_of(sizes: dict[str, int], dtype: type = np.float32, n_features: int = 3, seed: int = 0):
    """Vectors around another place for each class, and their labels, in a random order."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(list(sizes), list(sizes.values()))).astype(object)
    centres = {label: rng.normal(size=n_features) * 5 for label in sizes}
    X = np.array([centres[label] + rng.normal(size=n_features) for label in labels]).astype(dtype)
    return X, labels


def sampled_to_the_largest(X: np.ndarray, y: np.ndarray, k_neighbors: int = 5, seed: int = 0, mode="imblearn"):
    counts = dict.fromkeys(np.unique(y), max(Counter(y.tolist()).values()))
    return sample_smote(X, y, counts, k_neighbors=k_neighbors, streams=Streams(seed, mode))


def sampled(sizes: dict[str, int], k_neighbors: int = 5, seed: int = 0, mode="imblearn") -> Sampled:
    return sampled_to_the_largest(*classes_of(sizes), k_neighbors, seed, mode)


def triples(one: Sampled) -> list[tuple[int, int, float]]:
    pairs = one.pairs
    return list(zip(pairs.base.tolist(), pairs.neighbour.tolist(), pairs.step.tolist(), strict=True))


@st.composite
def class_sizes(draw, k: int) -> dict[str, int]:
    sizes = draw(st.lists(st.integers(k + 1, k + 40), min_size=2, max_size=5))
    return dict(zip("dbeac", sizes, strict=False))


@settings(max_examples=120, deadline=None)
@given(
    data=st.data(),
    k=st.integers(1, 9),
    dtype=st.sampled_from([np.float32, np.float64]),
    # From 16 features on imbalanced-learn's neighbours come from float64 products, below from a tree.
    n_features=st.integers(2, 40),
    asked=st.sampled_from(["auto", "minority", "not minority", "all", "counts"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_synthetic_vectors_are_imbalanced_learn_s_to_the_last_bit(data, k, dtype, n_features, asked, seed):
    sizes = data.draw(class_sizes(k))
    X, y = classes_of(sizes, dtype, n_features, seed=seed % 1000)
    sampling_strategy = {"b": sizes["b"] + 30} if asked == "counts" else asked
    theirs = SMOTE(sampling_strategy=sampling_strategy, k_neighbors=k, random_state=seed)
    expected_X, expected_y = theirs.fit_resample(X, y)

    ours = sample_smote(X, y, asked_counts(y, sampling_strategy), k_neighbors=k, streams=Streams(seed, "imblearn"))

    made = ours.pairs.interpolate(X)
    assert made.dtype == dtype
    assert np.array_equal(made, expected_X[len(X) :])
    assert ours.pairs.labels(y).tolist() == expected_y[len(X) :].tolist()
    assert ours.neighbours == dict.fromkeys(sorted(sizes), k)
    assert ours.warnings == ()


@pytest.mark.parametrize("offset", [0, 1e4])
def test_copies_of_rows_give_imbalanced_learn_s_vectors_too(offset: float):
    X, y = classes_of({"big": 60, "copied": 30, "half": 20}, n_features=20)
    X += np.float32(offset)
    copied, half = np.flatnonzero(y == "copied"), np.flatnonzero(y == "half")
    X[copied] = X[copied[0]]
    X[half[:10]] = X[half[10:]]
    expected, _ = SMOTE(random_state=3).fit_resample(X, y)

    pairs = sampled_to_the_largest(X, y, seed=3).pairs

    assert np.array_equal(pairs.interpolate(X), expected[len(X) :])


def test_interpolating_some_rows_gives_the_rows_of_the_whole():
    X, y = classes_of({"a": 30, "b": 9})
    pairs = sampled_to_the_largest(X, y).pairs
    some = np.array([20, 3, 3])
    assert np.array_equal(pairs.interpolate(X, some), pairs.interpolate(X)[some])


@settings(max_examples=50, deadline=None)
@given(
    sizes=st.dictionaries(st.sampled_from("abcde"), st.integers(1, 20), min_size=1),
    k=st.integers(1, 7),
    mode=st.sampled_from(["per_class", "imblearn"]),
    seed=st.integers(0, 9),
)
def test_whatever_the_sizes_every_class_comes_to_what_is_asked_from_parents_of_its_own(sizes, k, mode, seed):
    X, y = classes_of(sizes, seed=seed)
    pairs = sampled_to_the_largest(X, y, k, seed, mode).pairs
    made = Counter(pairs.labels(y).tolist())
    assert {label: count + made[label] for label, count in sizes.items()} == dict.fromkeys(sizes, max(sizes.values()))
    assert y[pairs.neighbour].tolist() == y[pairs.base].tolist()
    assert np.all((pairs.step >= 0) & (pairs.step < 1))
    assert (pairs.base.dtype, pairs.neighbour.dtype, pairs.step.dtype) == (np.int32, np.int32, np.float64)
    assert len(pairs.dropped) == 0


def test_a_class_of_at_most_k_rows_uses_all_its_others_and_says_so():
    one = sampled({"big": 20, "six": 6, "five": 5, "two": 2})
    assert one.neighbours == {"big": 5, "five": 4, "six": 5, "two": 1}
    assert one.warnings == (
        "Class 'five' has 5 train rows: k = 4 is used there instead of 5.",
        "Class 'two' has 2 train rows: k = 1 is used there instead of 5.",
    )


def test_a_small_class_is_resampled_as_smote_would_with_that_k():
    X, y = classes_of({"big": 20, "four": 4})
    expected, _ = SMOTE(k_neighbors=3, random_state=3).fit_resample(X, y)
    assert np.array_equal(sampled_to_the_largest(X, y, seed=3).pairs.interpolate(X), expected[len(X) :])


def test_a_single_row_is_repeated_and_said_to_be():
    X, y = classes_of({"big": 8, "one": 1})
    one = sampled_to_the_largest(X, y)
    assert one.neighbours["one"] == 0
    assert one.warnings == ("Class 'one' has a single train row: it is repeated, nothing can be interpolated.",)
    (only,) = np.flatnonzero(y == "one")
    assert triples(one) == [(only, only, 0.0)] * 7


def test_a_small_class_that_gets_no_rows_is_no_reason_to_warn():
    X, y = classes_of({"big": 20, "two": 2})
    one = sample_smote(X, y, {"big": 20, "two": 2}, k_neighbors=5, streams=Streams(0))
    assert (len(one.pairs), one.warnings) == (0, ())


def test_classes_of_one_size_get_no_rows():
    assert len(sampled({"a": 4, "b": 4}).pairs) == 0


def test_the_same_seed_gives_the_same_and_another_does_not():
    plans = [triples(sampled({"a": 20, "b": 8}, seed=seed)) for seed in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]


def test_a_class_is_resampled_the_same_whatever_other_classes_there_are():
    X, y = classes_of({"big": 20, "six": 9, "two": 2})
    kept = np.flatnonzero(y != "two")
    with_it = sample_smote(X, y, {"two": 9, "six": 20}, k_neighbors=5, streams=Streams(0)).pairs
    without = sample_smote(X[kept], y[kept], {"six": 20}, k_neighbors=5, streams=Streams(0)).pairs
    n_made = len(without)
    assert np.array_equal(with_it.base[:n_made], kept[without.base])
    assert np.array_equal(with_it.neighbour[:n_made], kept[without.neighbour])
    assert np.array_equal(with_it.step[:n_made], without.step)


def test_classes_of_one_size_draw_alike_as_in_imbalanced_learn_and_each_for_itself_otherwise():
    sizes = {"big": 40, "first": 10, "second": 10}
    steps = {mode: np.split(sampled(sizes, mode=mode).pairs.step, 2) for mode in ("imblearn", "per_class")}
    assert np.array_equal(*steps["imblearn"])
    assert not np.array_equal(*steps["per_class"])


def test_fewer_neighbours_make_other_parents():
    parents = [set(sampled({"a": 40, "b": 10}, k_neighbors=k).pairs.neighbour.tolist()) for k in (1, 9)]
    assert len(parents[0]) < len(parents[1])


def test_a_class_of_copies_of_one_vector_gives_that_vector_again():
    X, y = classes_of({"big": 9, "copies": 6})
    X[y == "copies"] = 7
    assert np.array_equal(sampled_to_the_largest(X, y).pairs.interpolate(X), np.full((3, 3), 7, np.float32))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float16])
def test_integers_and_half_floats_are_refused_with_a_cure(dtype: type):
    X, y = classes_of({"a": 9, "b": 3})
    with pytest.raises(ValueError, match=r"got u?(int|float)\d+. Convert them: X.astype"):
        sampled_to_the_largest(X.astype(dtype), y)
