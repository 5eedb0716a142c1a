"""What the stage's tasks hand to each other, kept among the run's records: listings, facts, verdicts.

Tables are kept in shards, and read one at a time: a day's delivery need not fit into memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd
import pyarrow as pa

from include.retraining.intake.outcomes import VERDICTS_RECORD, DayVerdicts, ValidationOutcome, Verdicts
from include.retraining.run import Run
from include.retraining.schemas import FACTS, LISTING, VERDICTS
from include.retraining.storage.base import key_of, uri_of
from include.retraining.storage.parallel import put_many
from include.retraining.storage.publishing import content_type_of
from include.retraining.storage.tables import from_parquet, to_parquet

DOCUMENT = "validation.json"
DATA_DOCS = "data_docs/"
INDEX = "index.html"
LISTING_RECORD = "intake/listing.json"


@dataclass(frozen=True)
class _ListingWarnings:
    """What was noticed when deliveries were listed, one sentence each, by day."""

    days: Mapping[date, tuple[str, ...]]


def keep_listings(run: Run, listing: pd.DataFrame) -> list[str]:
    """Cuts a listing into shards, none of which spans two days, and keeps each; returns their URIs in order."""
    size = run.config.intake.shard_images
    uris = []
    for day, rows in listing.groupby("date", sort=True):
        for index, start in enumerate(range(0, len(rows), size)):
            name = f"{_folder(day)}listing-{index:04d}.parquet"
            uris.append(_keep_table(run, name, rows.iloc[start : start + size], LISTING))
    return uris


def keep_listing_warnings(run: Run, warnings: Mapping[date, Sequence[str]]) -> None:
    """Keeps what was noticed when the days' deliveries were listed; nothing where nothing was."""
    if any(warnings.values()):
        run.record(LISTING_RECORD, _ListingWarnings({day: tuple(told) for day, told in sorted(warnings.items())}))


def recall_listing_warnings(run: Run) -> Mapping[date, tuple[str, ...]]:
    """Returns what was noticed when the days' deliveries were listed; a day without warnings is not there."""
    kept = run.recall_if_any(LISTING_RECORD, _ListingWarnings)
    return kept.days if kept else {}


def recall_listing(run: Run, uri: str) -> pd.DataFrame:
    """Returns a kept listing (schema `LISTING`)."""
    return _recall_table(run, uri, LISTING)


def keep_facts(run: Run, listing_uri: str, facts: pd.DataFrame) -> str:
    """Keeps the facts about a listing's images beside it; returns their URI."""
    name = key_of(run.store, listing_uri).removeprefix(run.prefix).replace("listing-", "facts-")
    return _keep_table(run, name, facts, FACTS)


def recall_facts(run: Run, uri: str) -> pd.DataFrame:
    """Returns the facts of one shard (schema `FACTS`)."""
    return _recall_table(run, uri, FACTS)


def facts_by_day(run: Run, uris: Sequence[str]) -> dict[date, list[str]]:
    """Returns the URIs of facts by the day that they are about, days and shards in order."""
    days: dict[date, list[str]] = defaultdict(list)
    for uri in sorted(uris):
        folder = key_of(run.store, uri).removeprefix(f"{run.prefix}intake/").partition("/")[0]
        days[date.fromisoformat(folder)].append(uri)
    return dict(days)


def keep_verdicts(run: Run, day: date, index: int, verdicts: pd.DataFrame) -> str:
    """Keeps the verdicts of one shard; returns their URI."""
    return _keep_table(run, f"{_folder(day)}verdicts-{index:04d}.parquet", verdicts, VERDICTS)


def recall_verdicts(run: Run, uri: str) -> pd.DataFrame:
    """Returns the verdicts of one shard (schema `VERDICTS`)."""
    return _recall_table(run, uri, VERDICTS)


def keep_validation(
    run: Run, day: date, outcome: ValidationOutcome, shard_uris: Sequence[str], delivered: int
) -> DayVerdicts:
    """Keeps the document and the Data Docs of a day's validation, the index last; returns where everything is."""
    prefix = f"{run.prefix}{_folder(day)}"
    pages = {f"{prefix}{DATA_DOCS}{name}": body for name, body in outcome.data_docs.items()}
    index = pages.pop(f"{prefix}{DATA_DOCS}{INDEX}")
    put_many(run.store, pages, content_type_of)
    run.store.put(f"{prefix}{DATA_DOCS}{INDEX}", index, content_type=content_type_of(INDEX))
    run.store.put(f"{prefix}{DOCUMENT}", outcome.document, content_type=content_type_of(DOCUMENT))
    return DayVerdicts(
        shard_uris=tuple(shard_uris),
        delivered=delivered,
        warnings=outcome.warnings,
        failures=outcome.failures,
        document_uri=uri_of(run.store, f"{prefix}{DOCUMENT}"),
        data_docs_uri=uri_of(run.store, f"{prefix}{DATA_DOCS}{INDEX}"),
    )


def keep_judgement(run: Run, verdicts: Verdicts) -> str:
    """Keeps the record of all verdicts, which lie beside it already; returns its URI."""
    return run.record(VERDICTS_RECORD, verdicts)


def recall_judgement(run: Run, uri: str) -> Verdicts:
    """Returns a kept record of verdicts."""
    return run.load(uri, Verdicts)


def _folder(day: date) -> str:
    return f"intake/{day.isoformat()}/"


def _keep_table(run: Run, name: str, frame: pd.DataFrame, schema: pa.Schema) -> str:
    key = f"{run.prefix}{name}"
    run.store.put(key, to_parquet(frame, schema))
    return uri_of(run.store, key)


def _recall_table(run: Run, uri: str, schema: pa.Schema) -> pd.DataFrame:
    return from_parquet(run.store.get(key_of(run.store, uri)), schema, uri)
