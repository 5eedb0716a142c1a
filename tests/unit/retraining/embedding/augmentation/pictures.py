"""Pictures for the tests of augmentation."""

from __future__ import annotations

import numpy as np


def picture(height: int = 32, width: int = 32, seed: int = 0) -> np.ndarray:
    """A smooth picture without any symmetry, uint8 of shape `(height, width, 3)`, away from black and white."""
    rng = np.random.default_rng(seed)
    down, right = np.linspace(0, 1, height)[:, None], np.linspace(0, 1, width)[None, :]
    waves = [np.sin(a * down + b * right + c) for a, b, c in rng.uniform(1, 5, (3, 3))]
    return (128 + 80 * np.stack(waves, axis=-1)).astype(np.uint8)
