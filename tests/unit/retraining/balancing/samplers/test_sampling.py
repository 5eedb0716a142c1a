"""The contract of every strategy that resamples: a new one is tested without being named here."""

from __future__ import annotations

from collections import Counter
from typing import get_args

import numpy as np
import pytest

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Sampled, Streams
from include.retraining.balancing.samplers import plan_rows, sample, sampling
from include.retraining.balancing.samplers.sampling import counts_after
from include.retraining.balancing.samplers.smote import sample_smote
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
    UpTo,
)
from include.retraining.errors import ArtifactIntegrityError
from tests.clouds import clouds

SIZES = {"big": 60, "mid": 30, "small": 12}
STREAMS = Streams(7)
CLEANING = (SmoteTomek, SmoteEnn)
APPROXIMATE = (*CLEANING, Adasyn)
EVERY = pytest.mark.parametrize("kind", get_args(ResamplingStrategy), ids=lambda kind: kind.__name__)


def vectors_of(X: np.ndarray, sampled: Sampled, y: np.ndarray, label: str) -> np.ndarray:
    made = np.flatnonzero(sampled.pairs.labels(y) == label)
    return sampled.pairs.interpolate(X, made)


def assert_same(one: Pairs, other: Pairs) -> None:
    for name in ("base", "neighbour", "step", "dropped"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


@EVERY
def test_parents_are_positions_of_two_rows_of_one_class_with_a_step_between_them(kind: type[ResamplingStrategy]):
    X, y = clouds(SIZES)

    pairs = sample(X, y, kind(), STREAMS).pairs

    assert len(pairs) > 30
    assert pairs.base.dtype == pairs.neighbour.dtype == pairs.dropped.dtype == np.int32
    assert pairs.step.dtype == np.float64
    assert pairs.base.min() >= 0
    assert max(pairs.base.max(), pairs.neighbour.max()) < len(X)
    assert np.array_equal(y[pairs.base], y[pairs.neighbour])
    assert pairs.step.min() >= (-0.5 if kind is SvmSmote else 0)
    assert pairs.step.max() < 1


@EVERY
def test_a_row_is_paired_with_another_unless_it_is_repeated_on_purpose(kind: type[ResamplingStrategy]):
    X, y = clouds(SIZES)
    pairs = sample(X, y, kind(), STREAMS).pairs
    assert (pairs.base == pairs.neighbour).all() == (kind is RandomOversampling)
    assert (pairs.base == pairs.neighbour).any() == (kind is RandomOversampling)


@EVERY
@pytest.mark.parametrize("mode", ["per_class", "imblearn"])
def test_the_same_seed_gives_the_same_and_another_does_not(kind: type[ResamplingStrategy], mode: str):
    X, y = clouds(SIZES)
    first, again, other = (sample(X, y, kind(), Streams(seed, mode)).pairs for seed in (3, 3, 4))
    assert_same(first, again)
    assert not np.array_equal(first.neighbour, other.neighbour)


@EVERY
def test_the_order_of_the_rows_decides_nothing(kind: type[ResamplingStrategy]):
    X, y = clouds(SIZES)
    row_ids = np.array([f"{number:03d}" for number in range(len(X))], dtype=object)
    shuffled = np.random.default_rng(0).permutation(len(X))

    plan, sampled = plan_rows(X, y, row_ids, kind(), STREAMS)
    other, _ = plan_rows(X[shuffled], y[shuffled], row_ids[shuffled], kind(), STREAMS)

    assert plan.row_ids.tolist() == other.row_ids.tolist() == row_ids.tolist()
    assert_same(plan.pairs, other.pairs)
    assert_same(plan.pairs, sampled.pairs)


@pytest.mark.parametrize(
    "kind", [kind for kind in get_args(ResamplingStrategy) if kind not in CLEANING], ids=lambda kind: kind.__name__
)
def test_how_many_rows_another_class_gets_does_not_change_the_draws_of_a_class(kind: type[ResamplingStrategy]):
    X, y = clouds(SIZES)
    settings = {"cluster_balance_threshold": 0.05} if kind is KMeansSmote else {}
    made = [sample(X, y, kind(sampling_strategy={"mid": mid, "small": 60}, **settings), STREAMS) for mid in (40, 60)]
    assert np.array_equal(*(vectors_of(X, one, y, "small") for one in made))


def test_in_the_mode_of_imbalanced_learn_other_classes_do_change_the_draws():
    X, y = clouds(SIZES)
    streams = Streams(7, "imblearn")
    made = [sample(X, y, RandomOversampling(sampling_strategy={"mid": mid, "small": 60}), streams) for mid in (40, 60)]
    assert not np.array_equal(*(vectors_of(X, one, y, "small") for one in made))


@EVERY
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("auto", {"big": 60, "mid": 60, "small": 60}),
        ("minority", {"big": 60, "mid": 30, "small": 60}),
        (UpTo(up_to=0.75), {"big": 60, "mid": 45, "small": 45}),
        ({"mid": 41, "big": 70}, {"big": 70, "mid": 41, "small": 12}),
    ],
)
def test_every_class_gets_what_is_asked_or_a_warning_tells_the_difference(
    kind: type[ResamplingStrategy], asked, expected: dict[str, int]
):
    X, y = clouds(SIZES)

    sampled = sample(X, y, kind(sampling_strategy=asked), STREAMS)

    after = counts_after(y, sampled)
    assert after == expected or kind in APPROXIMATE
    for label, count in after.items():
        told = f"{label!r} {count} instead of {expected[label]}" in " ".join(sampled.warnings)
        assert told == (count != expected[label])


@EVERY
def test_cleaning_alone_leaves_real_rows_out(kind: type[ResamplingStrategy]):
    X, y = clouds(SIZES)
    assert bool(len(sample(X, y, kind(), STREAMS).pairs.dropped)) == (kind in CLEANING)


@EVERY
def test_small_classes_are_interpolated_with_what_they_have_and_a_single_row_is_repeated(
    kind: type[ResamplingStrategy],
):
    X, y = clouds({"big": 30, "four": 4, "one": 1, "two": 2}, apart=0.5)
    settings = {"n_neighbors" if kind is Adasyn else "k_neighbors": 5} if kind is not RandomOversampling else {}

    sampled = sample(X, y, kind(**settings), STREAMS)

    warnings = " ".join(sampled.warnings)
    (only,) = np.flatnonzero(y == "one")
    repeated = sampled.pairs.labels(y) == "one"
    assert (sampled.pairs.base[repeated] == only).all()
    assert (sampled.pairs.neighbour[repeated] == only).all()
    assert "Class 'one' has a single train row: it is repeated" in warnings
    if kind is RandomOversampling:
        assert set(sampled.neighbours.values()) == {0}
    else:
        assert sampled.neighbours == {"big": 5, "four": 3, "one": 0, "two": 1}
        assert "Class 'four' has 4 train rows: " in warnings
        assert "k = 1" in warnings
    if kind not in APPROXIMATE:
        assert counts_after(y, sampled) == dict.fromkeys(sampled.neighbours, 30)


@EVERY
@pytest.mark.parametrize("mode", ["per_class", "imblearn"])
@pytest.mark.parametrize("small", [1, 2, 7])
def test_two_classes_are_enough_and_none_of_them_vanishes(kind: type[ResamplingStrategy], mode: str, small: int):
    X, y = clouds({"big": 25, "small": small}, apart=0.3)
    sampled = sample(X, y, kind(), Streams(0, mode))
    kept = Counter(y[sampled.pairs.kept(len(y))].tolist())
    assert min(kept["big"], kept["small"]) >= 1


@EVERY
def test_copies_of_one_vector_give_that_vector_again(kind: type[ResamplingStrategy]):
    X, y = clouds({"big": 30, "copies": 9})
    X[y == "copies"] = [1, 2, 3, 4]

    sampled = sample(X, y, kind(), STREAMS)

    made = vectors_of(X, sampled, y, "copies")
    assert len(made) > 9
    assert np.array_equal(made, np.tile(np.array([1, 2, 3, 4], np.float32), (len(made), 1)))


@EVERY
def test_rows_that_are_all_there_twice_are_no_obstacle(kind: type[ResamplingStrategy]):
    X, y = clouds(SIZES)
    X, y = np.repeat(X, 2, axis=0), np.repeat(y, 2)
    after = counts_after(y, sample(X, y, kind(), STREAMS))
    assert after == dict.fromkeys(SIZES, 120) or kind in APPROXIMATE


@EVERY
def test_classes_of_one_size_get_no_new_rows(kind: type[ResamplingStrategy]):
    X, y = clouds({"a": 12, "b": 12})
    assert len(sample(X, y, kind(), STREAMS).pairs) == 0


@EVERY
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_is_refused(kind: type[ResamplingStrategy], number: float):
    X, y = clouds(SIZES)
    X[5, 2] = number
    with pytest.raises(ArtifactIntegrityError, match="expected finite vectors, got 1 with NaN or infinity: 5"):
        sample(X, y, kind(), STREAMS)


@EVERY
def test_what_is_given_is_never_changed(kind: type[ResamplingStrategy]):
    X, y = clouds(SIZES)
    kept_X, kept_y = X.copy(), y.copy()
    X.setflags(write=False)
    y.setflags(write=False)

    sample(X, y, kind(), STREAMS)

    assert np.array_equal(X, kept_X)
    assert np.array_equal(y, kept_y)


@EVERY
def test_vectors_of_both_types_give_one_plan(kind: type[ResamplingStrategy]):
    X, y = clouds(SIZES)
    assert_same(*(sample(X.astype(dtype), y, kind(), STREAMS).pairs for dtype in (np.float32, np.float64)))


FAR_APART = {"apart": 100.0, "seed": 2}


@pytest.mark.parametrize(
    ("strategy", "reason"),
    [
        (BorderlineSmote(), "none of its rows lies at the border"),
        (Adasyn(), "its rows give none by the neighbours of other classes that they have"),
        (KMeansSmote(cluster_balance_threshold=1.1), "it prevails in no cluster"),
    ],
    ids=lambda it: getattr(it, "strategy", ""),
)
def test_a_class_in_which_the_method_finds_no_place_is_filled_by_smote_and_said_to_be(
    strategy: ResamplingStrategy, reason: str
):
    X, y = clouds({"big": 40, "mid": 30, "small": 12}, **FAR_APART)

    sampled = sample(X, y, strategy, STREAMS)

    k = sampled.neighbours["small"]
    plain = sample_smote(X, y, {"big": 40, "mid": 40, "small": 40}, k_neighbors=k, streams=STREAMS)
    assert counts_after(y, sampled) == dict.fromkeys(("big", "mid", "small"), 40)
    assert_same(sampled.pairs, plain.pairs)
    assert sampled.warnings == tuple(
        f"Class {label!r} has {count} train rows and 40 were asked: {reason}, so plain SMOTE makes the {40 - count} "
        f"new rows instead of {strategy.strategy}."
        for label, count in (("mid", 30), ("small", 12))
    )


def test_support_vectors_among_other_classes_alone_are_no_place_and_smote_fills():
    X, y = clouds({"big": 40, "small": 6}, apart=0.0, n_features=2)
    X[y == "small"] *= 0.1
    X[y == "small"] += X[y == "big"][:6]
    sampled = sample(X, y, SvmSmote(m_neighbors=1), STREAMS)
    assert counts_after(y, sampled) == {"big": 40, "small": 40}
    assert "none of its rows is a support vector that has rows of its own class around it" in sampled.warnings[0]


def test_only_the_class_without_a_place_is_filled():
    X, y = clouds({"big": 40, "mid": 20, "small": 12}, apart=0.5)
    X[y == "small"] += 1000
    sampled = sample(X, y, BorderlineSmote(), STREAMS)
    assert counts_after(y, sampled) == {"big": 40, "mid": 40, "small": 40}
    (warning,) = sampled.warnings
    assert warning.startswith("Class 'small' has 12 train rows and 40 were asked: none of its rows lies at the border")


def test_counts_that_are_not_those_asked_are_refused(monkeypatch: pytest.MonkeyPatch):
    X, y = clouds(SIZES)
    short = sample(X, y, RandomOversampling(sampling_strategy={"mid": 59, "small": 60}), STREAMS)
    monkeypatch.setattr(sampling, "sample_random", lambda y, asked, streams: short)
    with pytest.raises(ArtifactIntegrityError, match="expected the rows that were asked, got 'mid' 59 instead of 60"):
        sample(X, y, RandomOversampling(), STREAMS)


def test_an_id_that_comes_twice_is_refused():
    X, y = clouds({"a": 3, "b": 2})
    with pytest.raises(ArtifactIntegrityError, match="expected an id for each, got 1 ids that come twice"):
        plan_rows(X, y, np.array(["1", "2", "1", "3", "4"], dtype=object), Smote(), STREAMS)
