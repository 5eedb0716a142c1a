"""Where the chance in a view comes from: the recipe's seed, the image and the number of the view, nothing else."""

from __future__ import annotations

import hashlib

import numpy as np


def draw_bits(seed: int, image_id: str, view: int) -> bytes:
    """Returns 32 random bytes of one view of one image.

    They are a digest instead of a generator's output, so that no release of a library changes a view: vectors of
    views are stored for ever.
    """
    return hashlib.sha256(f"{seed}\n{image_id}\n{view}".encode()).digest()


def draw_shares(seed: int, image_id: str, view: int) -> np.ndarray:
    """Returns eight independent uniform numbers of one view of one image, float64 in [0, 1)."""
    shares: np.ndarray = np.frombuffer(draw_bits(seed, image_id, view), dtype=">u4") / 2**32
    return shares
