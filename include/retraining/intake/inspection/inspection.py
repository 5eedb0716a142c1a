"""The facts about each delivered image of a shard. What they are is in `facts.py`; no row is judged here."""

from __future__ import annotations

import logging
from dataclasses import fields

import pandas as pd

from include.retraining.intake.inspection.facts import ImageFacts
from include.retraining.intake.inspection.image_policy import refusal_before_fetching
from include.retraining.intake.inspection.inspectors import look_at_all
from include.retraining.packs import keep_small
from include.retraining.run import Run
from include.retraining.storage.parallel import get_many

logger = logging.getLogger(__name__)

_COLUMNS = tuple(field.name for field in fields(ImageFacts))


def inspect(run: Run, listing: pd.DataFrame) -> pd.DataFrame:
    """Fetches and decodes the images of a listing, or of any part of it.

    What `intake.images` refuses by its size is not fetched, what it refuses by its header is not decoded. A few objects
    are in memory at a time.

    Side effects:
        Keeps the small ones in packs (`packs.py`), since here their bytes are in hand anyway.

    Returns:
        Schema `FACTS`, the rows of the listing in their order.
    """
    policy = run.config.intake.images
    refusals = [
        refusal_before_fetching(key, size, policy)
        for key, size in zip(listing["key"], listing["size_bytes"], strict=True)
    ]
    wanted = listing.loc[pd.Series(refusals, index=listing.index, dtype=object).isna()]
    bodies = get_many(run.store, wanted["key"].tolist(), wanted["size_bytes"].tolist())
    bodies = keep_small(run.store, run.classifier, wanted["date"], bodies)
    found = iter(look_at_all(bodies, len(wanted), policy))
    facts = [next(found) if refusal is None else ImageFacts(problem=refusal) for refusal in refusals]
    columns = pd.DataFrame([vars(row) for row in facts], columns=_COLUMNS)
    logger.info(
        "inspected rows=%d fetched=%d decoded=%d", len(facts), len(wanted), sum(not row.problem for row in facts)
    )
    return pd.concat([listing.reset_index(drop=True), columns], axis="columns")
