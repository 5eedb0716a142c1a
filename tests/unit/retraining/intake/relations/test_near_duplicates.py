from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from include.retraining.intake.relations import near_duplicates
from include.retraining.intake.relations.near_duplicates import (
    Hashes,
    first_neighbours,
    near_components,
    parse_hashes,
    scrambled,
)


def distances(one: Hashes, other: Hashes) -> np.ndarray:
    return np.bitwise_count(one.words[:, None] ^ other.words[None]).sum(axis=2, dtype=int)


def is_near(one: Hashes, other: Hashes, bits: int) -> np.ndarray:
    return (distances(one, other) <= bits) & one.present[:, None] & other.present[None]


def clusters_by_brute_force(hashes: Hashes, bits: int) -> list[set[int]]:
    near = is_near(hashes, hashes, bits) | np.eye(len(hashes), dtype=bool)
    reached = near
    for _ in range(len(hashes)):
        reached = (reached.astype(int) @ near) > 0
    return [set(np.flatnonzero(row)) for row in reached]


def flipped(words: np.ndarray, bits: list[int]) -> np.ndarray:
    words = words.copy()
    for bit in bits:
        words[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return words


@st.composite
def hashes(draw, size: int = 24) -> Hashes:
    """Hashes around a few centres, whose distances lie around those that are searched for."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    centres = rng.integers(0, 2**64, (draw(st.integers(1, 4)), 4), dtype=np.uint64)
    spread = draw(st.integers(0, 16))
    n = draw(st.integers(0, size))
    words = [flipped(centres[rng.integers(len(centres))], list(rng.integers(0, 256, spread))) for _ in range(n)]
    return Hashes(np.array(words, np.uint64).reshape(-1, 4), rng.random(n) < 0.9)


@settings(max_examples=100, deadline=None)
@given(queries=hashes(), targets=hashes(), bits=st.integers(0, 32), data=st.data())
def test_the_neighbours_are_those_of_a_comparison_of_all_with_all(queries, targets, bits, data):
    both = Hashes(np.concatenate([queries.words, targets.words]), np.concatenate([queries.present, targets.present]))
    kinds = np.array(data.draw(st.lists(st.integers(0, 2), min_size=len(both), max_size=len(both))), int)

    found = first_neighbours(queries, both, kinds, bits, n_kinds=3)

    near = is_near(queries, both, bits)
    order = scrambled(both.words)
    for query in range(len(queries)):
        for kind in range(3):
            expected = [order[number] for number in np.flatnonzero(near[query] & (kinds == kind))]
            number = found[query, kind]
            assert (number >= 0) == bool(expected)
            assert number < 0 or (near[query, number] and kinds[number] == kind and order[number] == min(expected))


@settings(max_examples=100, deadline=None)
@given(rows=hashes(), bits=st.integers(0, 32))
def test_the_clusters_are_those_of_a_comparison_of_all_with_all(rows, bits):
    labels = near_components(rows, bits)

    assert [set(np.flatnonzero(labels == label)) for label in labels] == clusters_by_brute_force(rows, bits)


@settings(max_examples=30, deadline=None)
@given(rows=hashes(), bits=st.integers(0, 20))
def test_small_blocks_find_the_same(rows, bits):
    expected = near_components(rows, bits), first_neighbours(rows, rows, np.zeros(len(rows), int), bits, n_kinds=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(near_duplicates, "BLOCK_PAIRS", 3)
        patch.setattr(near_duplicates, "FIRST_SPAN", 1)

        found = near_components(rows, bits), first_neighbours(rows, rows, np.zeros(len(rows), int), bits, n_kinds=1)

    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_hashes_that_scramble_to_the_same_number_are_still_told_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(near_duplicates, "scrambled", lambda words: np.zeros(len(words), np.uint64))
    rng = np.random.default_rng(0)
    words = np.repeat(rng.integers(0, 2**64, (3, 4), dtype=np.uint64), 2, axis=0)
    rows = Hashes(words, np.ones(6, bool))

    assert near_components(rows, 4).tolist() == [0, 0, 1, 1, 2, 2]
    assert (first_neighbours(rows, rows, np.arange(6) // 2, 4, n_kinds=3) >= 0).sum() == 6


def test_a_hash_of_64_digits_is_read_and_an_empty_one_is_none():
    found = parse_hashes(pd.Series(["00" * 31 + "01", "", "f" * 64]))

    assert found.present.tolist() == [True, False, True]
    assert np.bitwise_count(found.words).sum(axis=1).tolist() == [1, 0, 256]


def test_pictures_without_a_hash_have_no_neighbours_not_even_each_other():
    rows = parse_hashes(pd.Series(["", "", "0" * 64]))

    assert len(set(near_components(rows, 12))) == 3
    assert (first_neighbours(rows, rows, np.zeros(3, int), 12, n_kinds=1) >= 0).ravel().tolist() == [False, False, True]


def test_a_thousand_pictures_of_one_scene_are_compared_with_few_of_each_other(monkeypatch: pytest.MonkeyPatch):
    compared = []
    is_near = near_duplicates._is_near
    monkeypatch.setattr(
        near_duplicates, "_is_near", lambda one, other, bits: (compared.append(len(one)), is_near(one, other, bits))[1]
    )
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 2**64, 4, dtype=np.uint64)
    rows = Hashes(np.array([flipped(scene, list(rng.integers(0, 256, 3))) for _ in range(1000)]), np.ones(1000, bool))

    assert set(near_components(rows, 12)) == {0}
    assert (first_neighbours(rows, rows, np.zeros(1000, int), 12, n_kinds=1) >= 0).all()
    assert sum(compared) < 700_000  # of 500,000 pairs in each of 13 bands, twice
