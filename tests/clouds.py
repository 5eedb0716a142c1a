"""Labelled vectors for tests of samplers: a cloud a class, as near to each other as asked."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def clouds(
    sizes: Mapping[str, int], *, n_features: int = 4, apart: float = 1.0, seed: int = 0, dtype: type = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Returns vectors, shape `(n_rows, n_features)`, and their labels, in an order that mixes the classes.

    Args:
        sizes: Rows by label.
        n_features: Numbers of a vector.
        apart: Standard deviation of the clouds' centres, where that of each cloud is 1.
        seed: Of all.
        dtype: Type of the vectors.
    """
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.repeat(list(sizes), list(sizes.values()))).astype(object)
    centres = {label: rng.normal(size=n_features) * apart for label in sizes}
    X = np.array([centres[label] + rng.normal(size=n_features) for label in y])
    return X.astype(dtype), y
