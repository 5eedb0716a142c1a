"""SVM-SMOTE: interpolation at the support vectors of each class, extrapolation where they are among their own."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.svm import SVC

from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.sampled import Sampled, Streams
from include.retraining.balancing.samplers.drawing import Draws, draw_pairs
from include.retraining.balancing.samplers.growing import GrowingClass, grow, joined
from include.retraining.balancing.samplers.surroundings import is_in_danger, neighbours_within, others_around
from include.retraining.config import SvmSmote


def sample_svm(
    X: np.ndarray, y: np.ndarray, counts: Mapping[str, int], strategy: SvmSmote, streams: Streams
) -> Sampled:
    """Plans rows at support vectors; none for a class all of whose support vectors lie among other classes.

    The time that the support vector machine takes grows with the square of the rows, or faster.

    Args:
        X: Vectors, shape `(n_rows, n_features)`, float32 or float64.
        y: Labels, shape `(n_rows,)`.
        counts: Rows by label after resampling.
        strategy: Numbers of neighbours, and how far to extrapolate.
        streams: Random numbers.

    References:
        Nguyen et al., 2009, "Borderline over-sampling for imbalanced data classification".
    """
    draws, m = Draws(streams), min(strategy.m_neighbors, len(X) - 1)
    support = _support(X, y)

    def make(growing: GrowingClass) -> Pairs | None:
        usable = support[y[support] == growing.label]
        n_others = others_around(X, y, usable, m) if usable.size else usable
        usable, n_others = usable[n_others < m], n_others[n_others < m]
        if not usable.size:
            return None
        at_border = is_in_danger(n_others, m)
        return _draw(X, growing, usable[at_border], usable[~at_border], draws, strategy.out_step)

    return grow(y, counts, strategy.k_neighbors, make)


def _support(X: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns the positions of the support vectors; there are none where there is one class alone."""
    if len(np.unique(y)) < 2:
        return np.empty(0, dtype=np.int32)
    support: np.ndarray = SVC(gamma="scale").fit(X, y).support_
    return support


def _draw(
    X: np.ndarray, growing: GrowingClass, border: np.ndarray, safe: np.ndarray, draws: Draws, out_step: float
) -> Pairs:
    """Shares the new rows between both kinds by chance, about half each.

    Where there is one kind alone it gets the other's share too, which imbalanced-learn leaves out.
    """
    n_border = int(draws.going_on(growing.label).beta(10, 10) * (growing.n_new + 1))
    is_one_kind = not (border.size and safe.size)
    pieces = []
    for bases, n_new, step_size in ((border, n_border, 1.0), (safe, growing.n_new - n_border, -out_step)):
        if not bases.size:
            continue
        neighbours, rng = neighbours_within(X, bases, growing.rows, growing.k), draws.anew(growing.label)
        sizes = (n_new, growing.n_new - n_new) if is_one_kind else (n_new,)
        pieces += [draw_pairs(rng, bases, neighbours, size, step_size=step_size) for size in sizes]
    return joined(pieces)
