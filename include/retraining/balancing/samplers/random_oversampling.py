"""Random oversampling: rows of small classes are repeated."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Sampled, Streams
from include.retraining.balancing.samplers.drawing import Draws
from include.retraining.balancing.samplers.growing import joined, too_small


def sample_random(y: np.ndarray, counts: Mapping[str, int], streams: Streams) -> Sampled:
    """Repeats rows that are drawn with replacement; a repeated row is a pair of a row with itself.

    Args:
        y: Labels, shape `(n_rows,)`.
        counts: Rows by label after resampling.
        streams: Random numbers.
    """
    draws, pieces, warnings = Draws(streams), [], []
    labels = np.unique(y).tolist()
    for label in labels:
        rows = np.flatnonzero(y == label)
        n_new = counts.get(label, len(rows)) - len(rows)
        if n_new < 1:
            continue
        if len(rows) == 1:
            warnings.append(too_small(label, 1, 0))
        chosen = draws.going_on(label).choice(rows, size=n_new, replace=True).astype(np.int32)
        pieces.append(Pairs(chosen, chosen, np.zeros(n_new)))
    return Sampled(joined(pieces), dict.fromkeys(labels, 0), tuple(warnings))
