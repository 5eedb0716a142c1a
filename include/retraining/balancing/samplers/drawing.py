"""Drawing parents and steps, with random numbers in the order in which imbalanced-learn asks for them."""

from __future__ import annotations

import numpy as np

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Streams


class Draws:
    """The generators of one call of a sampler.

    Imbalanced-learn hands an int `random_state` on: what one method draws from a generator goes on from class to class,
    what another draws begins anew at every call. In mode `per_class` both go on within a class and know no other.

    Args:
        streams: Seed and mode.
    """

    def __init__(self, streams: Streams) -> None:
        self._streams = streams
        self._generators: dict[str, np.random.RandomState] = {}

    def going_on(self, label: str) -> np.random.RandomState:
        """Returns the generator that goes on where the class, or in mode `imblearn` the one before, left it."""
        key = label if self._streams.mode == "per_class" else ""
        if key not in self._generators:
            self._generators[key] = self._streams.of(label)
        return self._generators[key]

    def anew(self, label: str) -> np.random.RandomState:
        """Returns a generator that begins anew in mode `imblearn`, and goes on within the class otherwise."""
        return self._streams.of(label) if self._streams.mode == "imblearn" else self.going_on(label)


def draw_pairs(
    rng: np.random.RandomState, bases: np.ndarray, neighbours: np.ndarray, n_new: int, *, step_size: float = 1.0
) -> Pairs:
    """Draws synthetic rows as `BaseSMOTE._make_samples` of imbalanced-learn does.

    Args:
        rng: Draws one number a row for the pair, then one a row for the step.
        bases: Positions of the rows to start from, shape `(n_bases,)`, at least one.
        neighbours: Positions of the neighbours of each, shape `(n_bases, k)`.
        n_new: Rows to draw.
        step_size: Steps lie between 0 and this; below 0 they lead away from the neighbour.
    """
    chosen = rng.randint(0, neighbours.size, size=n_new)
    step = step_size * rng.uniform(size=n_new)
    row, column = np.divmod(chosen, neighbours.shape[1])
    return Pairs(bases[row].astype(np.int32), neighbours[row, column].astype(np.int32), step)
