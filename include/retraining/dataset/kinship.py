"""Which images of a dataset belong together, and must lie on one side of whatever cross-validation."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from include.retraining.intake.relations.near_duplicates import near_components, parse_hashes


def kin(rows: pd.DataFrame, *, near_duplicate_bits: int | None) -> list[str]:
    """Returns a name for each row that it shares with all that belong to it: its group and its near-duplicates.

    Whoever judges an image must not have been taught by its kin: a copy would vouch for a copy.

    Args:
        rows: Columns `image_id`, `group` and `perceptual_hash`.
        near_duplicate_bits: As `dataset.near_duplicate_bits`; None where only groups count.

    Returns:
        The first image id of each row's kin, in the order of the rows.
    """
    image_ids = rows["image_id"].to_numpy(str)
    members = [pd.factorize(rows["group"].where(rows["group"] != "", rows["image_id"]))[0]]
    if near_duplicate_bits is not None:
        members.append(near_components(parse_hashes(rows["perceptual_hash"]), near_duplicate_bits))
    # Rows and the sets they are in are the nodes of one graph: what is connected belongs together.
    offsets = np.cumsum([len(rows), *(len(rows) for _ in members)])
    nodes = np.concatenate([member + offset for member, offset in zip(members, offsets, strict=False)])
    edges = (np.ones(len(nodes), bool), (np.tile(np.arange(len(rows)), len(members)), nodes))
    _, component = connected_components(coo_array(edges, shape=(offsets[-1], offsets[-1])), directed=False)
    first = pd.Series(image_ids).groupby(component[: len(rows)]).transform("min")
    return list(first)
