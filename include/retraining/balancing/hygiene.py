"""What is asserted of every plan, in every run: sound vectors, parents from the train split, and how noisy it is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from include.retraining.balancing.neighbours import nearest
from include.retraining.balancing.pairs import Pairs
from include.retraining.balancing.plan import Plan
from include.retraining.embedding.features import image_of
from include.retraining.errors import ArtifactIntegrityError

NOISE_NEIGHBORS = 5
NOISE_ROWS = 20_000
"""Synthetic rows a class that are looked at; of more, so many are drawn."""

_BLOCK_ROWS = 4096
_SHOWN_IDS = 3


def require_sound_vectors(X: np.ndarray, row_ids: np.ndarray | None = None) -> None:
    """Refuses vectors that no distance can be taken of, or that say nothing.

    Args:
        X: Shape `(n_rows, n_features)`.
        row_ids: What an error names rows by; by default their positions.

    Raises:
        ArtifactIntegrityError: If a number is NaN or infinite, or a vector of two features or more holds one number
            over and over, as a network that failed gives it.
    """
    if not X.size:
        return
    low, high = X.min(axis=1), X.max(axis=1)
    is_finite = np.isfinite(low) & np.isfinite(high)
    _refuse(~is_finite, "finite vectors", "with NaN or infinity", row_ids)
    if X.shape[1] > 1:
        _refuse(low == high, "vectors whose numbers differ", "that are constant", row_ids)


def require_parents_from_train(plan: Plan, snapshot: pd.DataFrame, labels: np.ndarray) -> None:
    """Refuses a plan over rows that are not in the train split, or with parents of two classes.

    Args:
        plan: The plan.
        snapshot: All rows of the frozen dataset (schema `SNAPSHOT`).
        labels: The label that was taken for each of the plan's rows, shape `(n_rows,)`.

    Raises:
        ArtifactIntegrityError: If an image of a row is in another split or in none, or has another label; or if a
            parent of a synthetic row is no row, or of another class than the other.
    """
    images = pd.Series(plan.row_ids).map(image_of)
    known = snapshot.set_index("image_id")
    split = images.map(known["split"]).to_numpy()
    _refuse(split != "train", "rows of the train split alone", _strangers(split), plan.row_ids)
    mislabelled = images.map(known["label"]).to_numpy() != labels
    _refuse(mislabelled, "rows with the labels of their images", "with another", plan.row_ids)
    pairs = plan.pairs
    for parents in (pairs.base, pairs.neighbour, pairs.dropped):
        if len(parents) and not (parents.min() >= 0 and parents.max() < len(plan.row_ids)):
            raise ArtifactIntegrityError(
                "resampling plan", f"positions among {len(plan.row_ids)} rows", f"{parents.min()} to {parents.max()}"
            )
    mixed = labels[pairs.base] != labels[pairs.neighbour]
    _refuse(mixed, "two parents of one class", "whose parents are of two", plan.row_ids[pairs.base])


def noise_share(X: np.ndarray, y: np.ndarray, pairs: Pairs, *, seed: int) -> dict[str, float | None]:
    """Returns by label the share of synthetic rows most of whose 5 nearest train rows are of another class.

    Synthetic vectors are made in blocks. Of a class with more than `NOISE_ROWS` of them as many are looked at, drawn
    without replacement; the share's standard error is then at most 0.4 percent points.

    Args:
        X: The train vectors, shape `(n_rows, n_features)`, those that are left out included.
        y: Their labels, shape `(n_rows,)`.
        pairs: The synthetic rows.
        seed: Draws rows where there are too many.

    Returns:
        Shares in [0, 1]; None for a label without synthetic rows.
    """
    made = pairs.labels(y)
    shares: dict[str, float | None] = {}
    for label in np.unique(y).tolist():
        rows = np.flatnonzero(made == label)
        if len(rows) > NOISE_ROWS:
            rows = np.sort(np.random.default_rng(seed).choice(rows, NOISE_ROWS, replace=False))
        shares[label] = _noisy(X, y, pairs, rows) / len(rows) if len(rows) else None
    return shares


def _noisy(X: np.ndarray, y: np.ndarray, pairs: Pairs, rows: np.ndarray) -> int:
    """Returns how many of the synthetic rows, which are of one class, have mostly others around them."""
    k = min(NOISE_NEIGHBORS, len(X))
    found = 0
    for start in range(0, len(rows), _BLOCK_ROWS):
        some = rows[start : start + _BLOCK_ROWS]
        around, _ = nearest(pairs.interpolate(X, some), X, k)
        n_others = np.count_nonzero(y[around] != y[pairs.base[some]][:, np.newaxis], axis=1)
        found += int(np.count_nonzero(2 * n_others > k))
    return found


def _refuse(is_wrong: np.ndarray, expected: str, what: str, row_ids: np.ndarray | None) -> None:
    """Raises an error that tells how many rows are wrong, and names the first ones."""
    wrong = np.flatnonzero(is_wrong)
    if not len(wrong):
        return
    named = [str(row if row_ids is None else row_ids[row]) for row in wrong[:_SHOWN_IDS]]
    more = ", …" if len(wrong) > _SHOWN_IDS else ""
    raise ArtifactIntegrityError("resampling", expected, f"{len(wrong)} {what}: {', '.join(named)}{more}")


def _strangers(split: np.ndarray) -> str:
    """Returns where the rows that are not of the train split come from."""
    counts = pd.Series(split).fillna("no split").value_counts().drop("train", errors="ignore")
    return "that are not (" + ", ".join(f"{count} of {name}" for name, count in sorted(counts.items())) + ")"
