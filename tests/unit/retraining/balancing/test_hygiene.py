from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from include.retraining.balancing import hygiene
from include.retraining.balancing.hygiene import noise_share, require_parents_from_train, require_sound_vectors
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.plan import Plan
from include.retraining.errors import ArtifactIntegrityError
from tests.clouds import clouds

ROW_IDS = np.array(["i0", "i1", "i1#1", "i2", "i3"], dtype=object)
LABELS = np.array(["a", "a", "a", "b", "b"], dtype=object)
SNAPSHOT = pd.DataFrame(
    {
        "image_id": ["i0", "i1", "i2", "i3", "t0", "v0"],
        "label": ["a", "a", "b", "b", "a", "a"],
        "split": ["train", "train", "train", "train", "test", "validation"],
    }
)


def pairs(*rows: tuple[int, int], dropped: tuple[int, ...] = ()) -> Pairs:
    base, neighbour = (np.array(some, np.int32) for some in zip(*rows, strict=True))
    return Pairs(base, neighbour, np.full(len(base), 0.5), np.array(dropped, np.int32))


def require(ids: np.ndarray = ROW_IDS, labels: np.ndarray = LABELS, *rows: tuple[int, int], **options) -> None:
    require_parents_from_train(Plan(ids, pairs(*(rows or [(0, 2), (3, 4)]), **options)), SNAPSHOT, labels)


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", [0, 2])
def test_vectors_that_are_not_finite_are_refused_counted_and_named(number: float, column: int):
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    X[[1, 3], column] = number
    with pytest.raises(ArtifactIntegrityError, match="expected finite vectors, got 2 with NaN or infinity: i1, i2"):
        require_sound_vectors(X, ROW_IDS)


def test_no_more_than_three_are_named():
    with pytest.raises(ArtifactIntegrityError, match="got 5 with NaN or infinity: 0, 1, 2, …"):
        require_sound_vectors(np.full((5, 3), np.nan))


@pytest.mark.parametrize("number", [0.0, 7.5])
def test_a_vector_of_one_number_over_and_over_is_refused(number: float):
    X = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    X[4] = number
    with pytest.raises(
        ArtifactIntegrityError, match="expected vectors whose numbers differ, got 1 that are constant: i3"
    ):
        require_sound_vectors(X, ROW_IDS)


def test_large_numbers_a_single_feature_and_no_rows_are_sound():
    require_sound_vectors(np.array([[3e38, 3e38, -3e38]], np.float32))
    require_sound_vectors(np.ones((4, 1), np.float32))
    require_sound_vectors(np.empty((0, 3), np.float32))


def test_train_images_and_views_of_them_may_be_parents():
    require(ROW_IDS, LABELS, (0, 2), (2, 1), (3, 3), dropped=(4,))


@pytest.mark.parametrize(
    ("stranger", "where"),
    [("t0", "1 of test"), ("v0", "1 of validation"), ("x9", "1 of no split"), ("t0#3", "1 of test")],
)
@pytest.mark.parametrize("position", [0, 2])
def test_a_row_outside_of_the_train_split_is_refused(stranger: str, where: str, position: int):
    ids = ROW_IDS.copy()
    ids[position] = stranger
    with pytest.raises(ArtifactIntegrityError, match=f"rows of the train split alone, got 1 .*{where}.*: {stranger}"):
        require(ids)


def test_a_row_with_another_label_than_its_image_is_refused():
    labels = LABELS.copy()
    labels[2] = "b"
    with pytest.raises(ArtifactIntegrityError, match="rows with the labels of their images, got 1 with another: i1#1"):
        require(ROW_IDS, labels, (0, 1))


def test_parents_of_two_classes_are_refused():
    with pytest.raises(
        ArtifactIntegrityError, match="two parents of one class, got 2 whose parents are of two: i1, i2"
    ):
        require(ROW_IDS, LABELS, (0, 1), (1, 3), (3, 0))


@pytest.mark.parametrize("wrong", [(0, 5), (-1, 0), (5, 5)])
def test_positions_that_count_no_row_are_refused(wrong: tuple[int, int]):
    with pytest.raises(ArtifactIntegrityError, match="expected positions among 5 rows"):
        require(ROW_IDS, LABELS, (0, 1), wrong)


def test_a_dropped_position_that_counts_no_row_is_refused():
    with pytest.raises(ArtifactIntegrityError, match="expected positions among 5 rows, got 5 to 5"):
        require(ROW_IDS, LABELS, (0, 1), dropped=(5,))


def line(*groups: tuple[str, float, int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows close together around places on a line: label, place, number."""
    places = [(label, place + 0.001 * number) for label, place, count in groups for number in range(count)]
    return np.array([[place] for _, place in places], np.float32), np.array([label for label, _ in places], object)


def test_noise_is_the_share_of_synthetic_rows_most_of_whose_five_nearest_are_of_another_class():
    X, y = line(("a", 0, 3), ("b", 10, 6), ("a", 20, 3))
    made = Pairs(
        np.array([0, 0, 0, 0, 3], np.int32), np.array([9, 9, 9, 1, 4], np.int32), np.array([0.5, 0.45, 0.0, 0.5, 0.5])
    )
    assert noise_share(X, y, made, seed=0) == {"a": 0.5, "b": 0.0}


def test_two_of_five_are_no_majority_and_three_are():
    X, y = line(("a", 0, 3), ("b", 0.1, 2), ("a", 50, 2), ("b", 50.1, 3))
    made = Pairs(np.array([0, 5], np.int32), np.array([1, 6], np.int32), np.array([0.5, 0.5]))
    assert noise_share(X, y, made, seed=0) == {"a": 0.5, "b": None}


def test_blocks_decide_nothing(monkeypatch: pytest.MonkeyPatch):
    X, y = clouds({"a": 60, "b": 30}, apart=0.3)
    rng = np.random.default_rng(1)
    rows = np.flatnonzero(y == "b").astype(np.int32)
    made = Pairs(rng.choice(rows, 50), rng.choice(rows, 50), rng.uniform(size=50))
    whole = noise_share(X, y, made, seed=0)
    monkeypatch.setattr(hygiene, "_BLOCK_ROWS", 7)
    assert noise_share(X, y, made, seed=0) == whole
    assert 0 < whole["b"] < 1


def test_of_very_many_rows_a_seeded_part_is_looked_at(monkeypatch: pytest.MonkeyPatch):
    X, y = clouds({"a": 60, "b": 30}, apart=0.3)
    rng = np.random.default_rng(1)
    rows = np.flatnonzero(y == "b").astype(np.int32)
    made = Pairs(rng.choice(rows, 2000), rng.choice(rows, 2000), rng.uniform(size=2000))
    whole = noise_share(X, y, made, seed=0)["b"]
    monkeypatch.setattr(hygiene, "NOISE_ROWS", 400)

    parts = [noise_share(X, y, made, seed=seed)["b"] for seed in (0, 0, 1)]

    assert parts[0] == parts[1] != parts[2]
    assert all(part != whole and abs(part - whole) < 0.1 for part in parts)


def test_fewer_than_five_train_rows_are_all_asked():
    X, y = line(("a", 0, 1), ("b", 1, 2))
    made = Pairs(np.array([0], np.int32), np.array([0], np.int32), np.array([0.0]))
    assert noise_share(X, y, made, seed=0) == {"a": 1.0, "b": None}
