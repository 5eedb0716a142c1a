"""A resampling plan with the ids of the rows that it is over, and its place in the store.

Light: what makes a plan is in `samplers/`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from include.retraining.balancing.pairs import Pairs
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.schemas import PLAN, PLANNED_ROWS
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, key_of, uri_of
from include.retraining.storage.publishing import publish, read_published, sha256
from include.retraining.storage.tables import from_parquet, to_parquet

ROWS = "rows.parquet"
PAIRS = "pairs.parquet"


@dataclass(frozen=True, eq=False)
class Plan:
    """Pairs over rows that have ids: every synthetic row can be traced to its two parents.

    Attributes:
        row_ids: Ids of the rows, ascending, shape `(n_rows,)`: an image's id, or `<image id>#<view>`.
        pairs: Their positions count `row_ids`.
    """

    row_ids: np.ndarray
    pairs: Pairs

    def over(self, row_ids: np.ndarray) -> Pairs:
        """Returns the pairs with positions that count other rows, which are the same ones in any order.

        Raises:
            ArtifactIntegrityError: If they are not the same rows: only train rows may be parents.
        """
        position = pd.Index(row_ids).get_indexer(self.row_ids).astype(np.int32)
        missing = int((position < 0).sum())
        if missing or len(row_ids) != len(self.row_ids):
            raise ArtifactIntegrityError(
                "resampling plan",
                f"a plan over the {len(row_ids)} train rows",
                f"one over {len(self.row_ids)} rows, {missing} of which are no train rows",
            )
        pairs = self.pairs
        return Pairs(
            base=position[pairs.base],
            neighbour=position[pairs.neighbour],
            step=pairs.step,
            dropped=np.sort(position[pairs.dropped]),
        )


def publish_plan(store: ObjectStore, classifier: str, plan: Plan) -> tuple[str, str]:
    """Publishes a plan under the digest of its content; returns its URI and that digest."""
    kept = np.ones(len(plan.row_ids), dtype=bool)
    kept[plan.pairs.dropped] = False
    rows = to_parquet(pd.DataFrame({"row_id": plan.row_ids, "kept": kept}), PLANNED_ROWS)
    pairs = plan.pairs
    columns = {"base": pairs.base, "neighbour": pairs.neighbour, "step": pairs.step}
    body = to_parquet(pd.DataFrame(columns), PLAN)
    digest = sha256(rows + body)[:16]
    prefix = layout.resampling(classifier, digest)
    publish(store, prefix, {ROWS: rows, PAIRS: body})
    return uri_of(store, prefix), digest


def read_plan(store: ObjectStore, uri: str) -> Plan:
    """Returns a published plan, verified against its manifest."""
    prefix = key_of(store, uri)
    rows = from_parquet(read_published(store, prefix, ROWS), PLANNED_ROWS, uri)
    pairs = from_parquet(read_published(store, prefix, PAIRS), PLAN, uri)
    dropped = np.flatnonzero(~rows["kept"].to_numpy()).astype(np.int32)
    return Plan(
        rows["row_id"].to_numpy(),
        Pairs(pairs["base"].to_numpy(), pairs["neighbour"].to_numpy(), pairs["step"].to_numpy(), dropped),
    )
