"""What every runtime is: a network that is ready for batches of one size."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Runtime(Protocol):
    """A network, loaded where it runs. Several threads may call it; equal batches give equal bits all the same."""

    @property
    def name(self) -> str:
        """What runs it and where, for people."""
        ...

    @property
    def batch_size(self) -> int:
        """Images in one call."""
        ...

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Returns the vectors of a batch.

        Args:
            batch: float32 pixels in [0, 255], shape `(batch_size, size, size, 3)`.

        Returns:
            Shape `(batch_size, dimensions)`, float32.
        """
        ...
