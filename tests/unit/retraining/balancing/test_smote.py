from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imblearn.over_sampling import SMOTE

from include.retraining.balancing.smote import Resampling, plan_smote


def classes_of(sizes: dict[str, int], dtype: type = np.float32, n_features: int = 3, seed: int = 0):
    """Vectors around another place for each class, their labels and their ids, in the order of the ids."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(list(sizes), list(sizes.values()))).astype(object)
    centres = {label: rng.normal(size=n_features) * 5 for label in sizes}
    X = np.array([centres[label] + rng.normal(size=n_features) for label in labels]).astype(dtype)
    return X, labels, np.array([f"image {number:04d}" for number in range(len(labels))], dtype=object)


def planned(sizes: dict[str, int], k_neighbors: int = 5, seed: int = 0, **options) -> Resampling:
    X, labels, image_ids = classes_of(sizes, **options)
    return plan_smote(X, labels, image_ids, k_neighbors=k_neighbors, seed=seed)


@st.composite
def class_sizes(draw, k: int) -> dict[str, int]:
    sizes = draw(st.lists(st.integers(k + 1, k + 25), min_size=2, max_size=5))
    return dict(zip("dbeac", sizes, strict=False))


@settings(max_examples=50)
@given(data=st.data(), k=st.integers(1, 7), dtype=st.sampled_from([np.float32, np.float64]), seed=st.integers(0, 9))
def test_the_synthetic_vectors_are_imbalanced_learn_s_to_the_last_bit(data, k: int, dtype: type, seed: int):
    sizes = data.draw(class_sizes(k))
    X, labels, image_ids = classes_of(sizes, dtype, n_features=data.draw(st.integers(1, 9)), seed=seed)
    expected_X, expected_labels = SMOTE(k_neighbors=k, random_state=seed).fit_resample(X, labels)

    resampling = plan_smote(X, labels, image_ids, k_neighbors=k, seed=seed)

    made = resampling.plan.interpolate(X, image_ids)
    assert np.array_equal(made, expected_X[len(X) :])
    assert made.dtype == dtype
    assert resampling.plan.labels().tolist() == expected_labels[len(X) :].tolist()
    assert resampling.neighbours == dict.fromkeys(sorted(sizes), k)
    assert resampling.warnings == ()


@settings(max_examples=50)
@given(
    sizes=st.dictionaries(st.sampled_from("abcde"), st.integers(1, 20), min_size=1),
    k=st.integers(1, 7),
    seed=st.integers(0, 9),
)
def test_whatever_the_sizes_every_class_becomes_as_large_as_the_largest_from_parents_of_its_own(
    sizes: dict[str, int], k: int, seed: int
):
    X, labels, image_ids = classes_of(sizes, seed=seed)
    rows = plan_smote(X, labels, image_ids, k_neighbors=k, seed=seed).plan.rows
    made = Counter(rows["label"])
    assert {label: count + made[label] for label, count in sizes.items()} == dict.fromkeys(sizes, max(sizes.values()))
    label_of = dict(zip(image_ids, labels, strict=True))
    for parent in ("base", "neighbour"):
        assert [label_of[image_id] for image_id in rows[parent]] == rows["label"].tolist()
    assert rows["step"].between(0, 1, inclusive="left").all()


def test_a_class_of_at_most_k_images_uses_all_its_others_and_says_so():
    resampling = planned({"big": 20, "six": 6, "five": 5, "two": 2})
    assert resampling.neighbours == {"big": 5, "five": 4, "six": 5, "two": 1}
    assert resampling.warnings == (
        "Class 'five' has 5 train images: SMOTE uses k = 4 there instead of 5.",
        "Class 'two' has 2 train images: SMOTE uses k = 1 there instead of 5.",
    )


def test_a_small_class_does_not_change_what_is_made_for_the_others():
    X, labels, image_ids = classes_of({"big": 20, "six": 9, "two": 2})
    kept = labels != "two"
    with_it = plan_smote(X, labels, image_ids, k_neighbors=5, seed=0).plan.rows
    without = plan_smote(X[kept], labels[kept], image_ids[kept], k_neighbors=5, seed=0).plan.rows
    assert with_it[with_it["label"] == "six"].to_dict("records") == without.to_dict("records")


def test_a_small_class_is_resampled_as_smote_would_with_that_k():
    X, labels, image_ids = classes_of({"big": 20, "four": 4})
    resampling = plan_smote(X, labels, image_ids, k_neighbors=5, seed=3)
    expected, _ = SMOTE(k_neighbors=3, random_state=3).fit_resample(X, labels)
    assert np.array_equal(resampling.plan.interpolate(X, image_ids), expected[len(X) :])


def test_a_single_image_is_repeated_and_said_to_be():
    X, labels, image_ids = classes_of({"big": 8, "one": 1})
    resampling = plan_smote(X, labels, image_ids, k_neighbors=5, seed=0)
    assert resampling.neighbours["one"] == 0
    assert resampling.warnings == (
        "Class 'one' has a single train image: it is repeated, nothing can be interpolated.",
    )
    (only,) = np.flatnonzero(labels == "one")
    assert np.array_equal(resampling.plan.interpolate(X, image_ids), np.repeat(X[[only]], 7, axis=0))


def test_classes_of_one_size_are_left_as_they_are():
    resampling = planned({"a": 4, "b": 4})
    assert resampling.plan.rows.empty
    assert resampling.warnings == ()
    assert list(resampling.plan.rows.columns) == ["base", "neighbour", "step", "label"]


def test_the_same_seed_plans_the_same_and_another_does_not():
    plans = [planned({"a": 20, "b": 8}, seed=seed).plan.rows.to_dict("records") for seed in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]


def test_fewer_neighbours_make_other_vectors():
    parents = [set(planned({"a": 40, "b": 10}, k_neighbors=k).plan.rows["neighbour"]) for k in (1, 9)]
    assert len(parents[0]) < len(parents[1])


@pytest.mark.parametrize("copies", [2, 6])
def test_a_class_of_copies_of_one_vector_gives_that_vector_again(copies: int):
    X, labels, image_ids = classes_of({"big": 9, "copies": copies})
    X[labels == "copies"] = 7
    made = plan_smote(X, labels, image_ids, k_neighbors=5, seed=0).plan.interpolate(X, image_ids)
    assert np.array_equal(made, np.full((9 - copies, 3), 7, np.float32))
