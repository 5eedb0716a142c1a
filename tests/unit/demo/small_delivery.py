"""Two small days of random images."""

from __future__ import annotations

import numpy as np

from demo.delivery import DailyBatch, make_batches
from demo.fashion_mnist import FashionMnist

LABELS = ("shoe", "bag", "coat")
COUNTS = (40, 13, 4)
TEST_PER_CLASS = 5


def made_data(per_class: int = 60, seed: int = 3) -> FashionMnist:
    """Random images, which are all different, as many of each label."""
    rng = np.random.default_rng(seed)
    n_images = per_class * len(LABELS)
    return FashionMnist(
        train_images=rng.integers(0, 256, (n_images, 28, 28), dtype=np.uint8),
        train_labels=np.repeat(np.arange(len(LABELS), dtype=np.uint8), per_class),
        test_images=rng.integers(0, 256, (30, 28, 28), dtype=np.uint8),
        test_labels=np.repeat(np.arange(len(LABELS), dtype=np.uint8), 10),
    )


def made_batches(data: FashionMnist | None = None, **arguments) -> tuple[DailyBatch, ...]:
    """Two days of them."""
    arguments = {"counts": COUNTS, "test_per_class": TEST_PER_CLASS, **arguments}
    return make_batches(made_data() if data is None else data, LABELS, **arguments)
