"""What the stage's tasks hand to each other, kept among the run's records: listings, facts, verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd
import pyarrow as pa

from include.retraining.intake.outcomes import ValidationOutcome, Verdicts
from include.retraining.run import Run
from include.retraining.schemas import FACTS, LISTING, VERDICTS
from include.retraining.storage.base import key_of, uri_of
from include.retraining.storage.parallel import put_many
from include.retraining.storage.publishing import content_type_of
from include.retraining.storage.records import read_record, write_record
from include.retraining.storage.tables import from_parquet, to_parquet

DOCUMENT = "validation.json"
DATA_DOCS = "data_docs/"


@dataclass(frozen=True)
class _DayRecord:
    """A day's outcome without its files, which lie beside it."""

    warnings: tuple[str, ...]
    failures: tuple[str, ...]


@dataclass(frozen=True)
class _VerdictsRecord:
    """Verdicts without their rows, which lie beside it."""

    warnings: tuple[str, ...]
    days: Mapping[date, _DayRecord]


def keep_listings(run: Run, listing: pd.DataFrame) -> list[str]:
    """Cuts a listing into shards and keeps each; returns their URIs."""
    size = run.config.intake.shard_images
    shards = [listing.iloc[start : start + size] for start in range(0, len(listing), size)]
    return [
        _keep_table(run, f"intake/listing-{index:04d}.parquet", shard, LISTING) for index, shard in enumerate(shards)
    ]


def recall_listing(run: Run, uri: str) -> pd.DataFrame:
    """Returns a kept listing (schema `LISTING`)."""
    return _recall_table(run, uri, LISTING)


def keep_facts(run: Run, listing_uri: str, facts: pd.DataFrame) -> str:
    """Keeps the facts about a listing's images beside it; returns their URI."""
    name = key_of(run.store, listing_uri).removeprefix(run.prefix).replace("listing-", "facts-")
    return _keep_table(run, name, facts, FACTS)


def recall_facts(run: Run, uris: Sequence[str]) -> pd.DataFrame:
    """Returns the facts of all shards as one frame (schema `FACTS`), in the order of the shards."""
    return pd.concat([_recall_table(run, uri, FACTS) for uri in sorted(uris)], ignore_index=True)


def keep_verdicts(run: Run, verdicts: Verdicts) -> str:
    """Keeps verdicts with their validation documents and Data Docs; returns the URI of their record, written last."""
    _keep_table(run, "intake/verdicts.parquet", verdicts.rows, VERDICTS)
    for day, outcome in verdicts.outcomes.items():
        files = {DOCUMENT: outcome.document} | {f"{DATA_DOCS}{name}": body for name, body in outcome.data_docs.items()}
        put_many(run.store, {f"{_day_prefix(run, day)}{name}": body for name, body in files.items()}, content_type_of)
    days = {day: _DayRecord(outcome.warnings, outcome.failures) for day, outcome in verdicts.outcomes.items()}
    return write_record(run.store, f"{run.prefix}intake/verdicts.json", _VerdictsRecord(verdicts.warnings, days))


def recall_verdicts(run: Run, uri: str) -> Verdicts:
    """Returns kept verdicts."""
    key = key_of(run.store, uri)
    record = read_record(run.store, key, _VerdictsRecord)
    rows = _recall_table(run, uri_of(run.store, key.replace(".json", ".parquet")), VERDICTS)
    outcomes = {day: _recall_outcome(run, day, outcome) for day, outcome in record.days.items()}
    return Verdicts(rows=rows, warnings=record.warnings, outcomes=outcomes)


def _recall_outcome(run: Run, day: date, record: _DayRecord) -> ValidationOutcome:
    prefix = f"{_day_prefix(run, day)}{DATA_DOCS}"
    return ValidationOutcome(
        warnings=record.warnings,
        failures=record.failures,
        document=run.store.get(f"{_day_prefix(run, day)}{DOCUMENT}"),
        data_docs={found.key.removeprefix(prefix): run.store.get(found.key) for found in run.store.list(prefix)},
    )


def _day_prefix(run: Run, day: date) -> str:
    return f"{run.prefix}intake/{day.isoformat()}/"


def _keep_table(run: Run, name: str, frame: pd.DataFrame, schema: pa.Schema) -> str:
    key = f"{run.prefix}{name}"
    run.store.put(key, to_parquet(frame, schema))
    return uri_of(run.store, key)


def _recall_table(run: Run, uri: str, schema: pa.Schema) -> pd.DataFrame:
    return from_parquet(run.store.get(key_of(run.store, uri)), schema, uri)
