from __future__ import annotations

import numpy as np
import pytest

from include.retraining.embedding.augmentation.draws import draw_bits, draw_shares


def test_draws_are_those_that_sha256sum_gives_and_stay_so_for_ever():
    expected = [0.5642, 0.9461, 0.4114, 0.974, 0.4706, 0.1001, 0.9635, 0.1193]
    np.testing.assert_allclose(draw_shares(0, "ab12", 1), expected, atol=1e-4)


@pytest.mark.parametrize("other", [(1, "ab12", 1), (0, "ab13", 1), (0, "ab12", 2), (0, "ab121", 1), (0, "ab1", 21)])
def test_another_seed_image_or_view_draws_otherwise(other: tuple[int, str, int]):
    assert draw_bits(*other) != draw_bits(0, "ab12", 1)
    assert (draw_shares(*other) != draw_shares(0, "ab12", 1)).all()


def test_shares_are_uniform_and_independent_of_each_other():
    shares = np.array([draw_shares(0, f"{image:064x}", view) for image in range(500) for view in range(1, 5)])
    assert shares.shape == (2000, 8)
    assert ((shares >= 0) & (shares < 1)).all()
    np.testing.assert_allclose(shares.mean(axis=0), 0.5, atol=0.03)
    np.testing.assert_allclose(shares.std(axis=0), 12**-0.5, atol=0.02)
    np.testing.assert_allclose(np.corrcoef(shares, rowvar=False), np.eye(8), atol=0.1)
