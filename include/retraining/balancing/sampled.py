"""What every sampler is given and gives back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from include.retraining.balancing.pairs import Pairs
from include.retraining.storage.publishing import sha256


@dataclass(frozen=True)
class Streams:
    """Random numbers by class.

    Attributes:
        seed: Of all of them.
        mode: `per_class`: a stream of its own for each class, whatever other classes there are. `imblearn`: the same
            numbers in every class, as imbalanced-learn draws them with an int as `random_state`.
    """

    seed: int
    mode: Literal["per_class", "imblearn"] = "per_class"

    def of(self, label: object) -> np.random.RandomState:
        """Returns a fresh generator for a class: equal arguments give equal numbers."""
        if self.mode == "imblearn":
            return np.random.RandomState(self.seed)
        entropy = [self.seed, int(sha256(str(label).encode())[:16], 16)]
        return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(entropy)))


@dataclass(frozen=True)
class Sampled:
    """What a sampler made.

    Attributes:
        pairs: Positions count the rows as they were given.
        neighbours: The k that was used, by label of every class; 0 where the only image is repeated.
        warnings: One sentence a class whose k was adapted, or whose rows had to be made by another rule.
    """

    pairs: Pairs
    neighbours: Mapping[str, int]
    warnings: tuple[str, ...] = ()
