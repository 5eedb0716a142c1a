"""What intake leaves of a delivery: the accepted batch of each day. What it refuses is in `quarantine.py`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

import pandas as pd
import pyarrow as pa

from include.retraining.artifacts import BaselineRegistration, BatchPointer, IntakeRecord
from include.retraining.errors import ConfigurationError, DataContractError
from include.retraining.intake.batches import TABLE
from include.retraining.intake.drift.baselines import register_baseline as register
from include.retraining.intake.exchange import DATA_DOCS, DOCUMENT, INDEX, recall_verdicts
from include.retraining.intake.outcomes import ACCEPTED, QUARANTINED, SKIPPED, DayVerdicts, Verdicts
from include.retraining.intake.quarantine import REASONS
from include.retraining.intake.reasons import parted
from include.retraining.run import Run
from include.retraining.schemas import BATCH
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, key_of, uri_of
from include.retraining.storage.parallel import copy_many
from include.retraining.storage.pointers import move_pointer, read_pointer
from include.retraining.storage.publishing import publish, sha256
from include.retraining.storage.tables import arrow_to_parquet, to_arrow

logger = logging.getLogger(__name__)

BEFORE = "intake/before.json"
AS_IN_BATCH = {"pixel_sha256": "image_id", "assigned_split": "split"}


@dataclass(frozen=True)
class _Before:
    """The current revisions before the run published any, so that a repeated task reports what the first one did.

    Attributes:
        digests: Digest by day; None where there was no batch.
    """

    digests: Mapping[date, str | None]


@dataclass(frozen=True)
class _Counts:
    """Rows by outcome, and those that are not accepted by their first reason; `a + b` are the counts over both."""

    outcomes: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: _Counts) -> _Counts:
        """Returns the counts over both."""
        return _Counts(
            self.outcomes + other.outcomes, self.skipped + other.skipped, self.quarantined + other.quarantined
        )


def accept_batches(run: Run, verdicts: Verdicts, *, register_baseline: bool) -> IntakeRecord:
    """Publishes the accepted images of each day as a batch, and makes it the day's current one.

    A day without accepted images gets no batch. A repeat of the same delivery writes nothing and moves no pointer; a
    changed one makes a new revision.

    Args:
        run: The run.
        verdicts: What became of each delivered image.
        register_baseline: Make the first day the beginning of what later batches are compared with.

    Side effects:
        For each day in order: the batch, the evidence beside it, the day's pointer. Then the baseline, if asked for.

    Raises:
        DataContractError: If a day's batch is refused as a whole; nothing is published then, of no day.
        ConfigurationError: If a baseline is asked for, and the first day has no batch to begin it with.
        PointerMovedError: If another run accepted the same day meanwhile.
        RuntimeError: If not every delivered row has an outcome: a defect of ours.
    """
    days = dict(sorted(verdicts.days.items()))
    _require_acceptable(run, days)
    before = _before(run, days)
    counts, digests = _publish_days(run, days, before, is_first_needed=register_baseline)
    warnings = [f"{day}: {warning}" for day, judged in days.items() for warning in judged.warnings]
    registration = _register(run, min(days), {**before, **digests}) if register_baseline else None
    if registration is not None and registration.run_id != run.run_id:
        warnings.append(f"{registration.since}: the run {registration.run_id} registered the baseline before this one")
    return IntakeRecord(
        delivered=sum(counts.outcomes.values()),
        accepted=counts.outcomes[ACCEPTED],
        skipped=counts.outcomes[SKIPPED],
        skipped_by=dict(sorted(counts.skipped.items())),
        quarantined=dict(sorted(counts.quarantined.items())),
        warnings=tuple(warnings),
        unchanged=tuple(day for day, digest in digests.items() if digest == before[day]),
        batch_uris={day: uri_of(run.store, layout.batch(run.classifier, day, it)) for day, it in digests.items()},
        data_docs_uris={day: judged.data_docs_uri for day, judged in days.items()},
        baseline_registered=registration is not None and registration.run_id == run.run_id,
    )


def _require_acceptable(run: Run, days: Mapping[date, DayVerdicts]) -> None:
    refused = {day: judged for day, judged in days.items() if judged.failures}
    if not refused:
        return
    deliveries = ", ".join(uri_of(run.store, layout.incoming(run.classifier, day)) for day in refused)
    checks = [f"{day}: {failure}" for day, judged in refused.items() for failure in judged.failures]
    keys = [f"{layout.quarantine(run.classifier, day)}{REASONS}" for day in refused]
    reasons = ", ".join(uri_of(run.store, key) for key in keys if run.store.exists(key))
    if reasons:
        checks.append(f"each image's reasons are in {reasons}")
    checks.append(f"the Data Docs are {', '.join(judged.data_docs_uri for judged in refused.values())}")
    raise DataContractError(deliveries, checks)


def _before(run: Run, days: Mapping[date, DayVerdicts]) -> Mapping[date, str | None]:
    """Returns the digests of the current revisions, as the run's first attempt found them."""
    known = run.recall_if_any(BEFORE, _Before)
    if known is None:
        found = {
            day: read_pointer(run.store, layout.current_batch(run.classifier, day), BatchPointer)[0] for day in days
        }
        known = _Before({day: None if pointer is None else pointer.digest for day, pointer in found.items()})
        run.record(BEFORE, known)
    return known.digests


def _publish_days(
    run: Run, days: Mapping[date, DayVerdicts], before: Mapping[date, str | None], *, is_first_needed: bool
) -> tuple[_Counts, dict[date, str]]:
    """Publishes the batch of each day that has accepted rows; returns all counts, and the batches' digests by day."""
    counts = _Counts()
    digests: dict[date, str] = {}
    for day, judged in days.items():
        of_day, accepted = _read_day(run, day, judged)
        counts += of_day
        if accepted.num_rows:
            digests[day] = _publish_batch(run, day, accepted, judged)
        elif is_first_needed and day == min(days) and before[day] is None:
            raise _nothing_to_register(run, day)
    return counts, digests


def _read_day(run: Run, day: date, judged: DayVerdicts) -> tuple[_Counts, pa.Table]:
    """Returns the counts over a day's verdicts, and its accepted rows (schema `BATCH`) by image id."""
    counts = _Counts()
    parts = [BATCH.empty_table()]
    for uri in judged.shard_uris:
        rows = recall_verdicts(run, uri)
        counts += _counts_of(rows)
        accepted = rows[rows["outcome"] == ACCEPTED].drop(columns="split").rename(columns=AS_IN_BATCH)
        parts.append(to_arrow(accepted, BATCH))
    if sum(counts.outcomes.values()) != judged.delivered or counts.outcomes.keys() - {ACCEPTED, SKIPPED, QUARANTINED}:
        raise RuntimeError(
            f"{day}: {judged.delivered} images were delivered, and the verdicts are {dict(counts.outcomes)}: "
            "accepted + skipped + quarantined must be delivered. The intake stage lost some; the day was not published."
        )
    # In one chunk, so that the bytes of the batch do not tell how the verdicts were cut into shards.
    return counts, pa.concat_tables(parts).sort_by("image_id").combine_chunks()


def _counts_of(rows: pd.DataFrame) -> _Counts:
    first = rows["reason"].map(lambda reason: parted(reason)[0].value if reason else "")
    return _Counts(
        outcomes=Counter(rows["outcome"]),
        skipped=Counter(first[rows["outcome"] == SKIPPED]),
        quarantined=Counter(first[rows["outcome"] == QUARANTINED]),
    )


def _publish_batch(run: Run, day: date, accepted: pa.Table, judged: DayVerdicts) -> str:
    """Publishes a day's batch and makes it the current one; returns its digest."""
    body = arrow_to_parquet(accepted)
    digest = sha256(body)[:16]
    prefix = layout.batch(run.classifier, day, digest)
    publish(run.store, prefix, {TABLE: body})
    _publish_evidence(run.store, prefix, judged)
    key = layout.current_batch(run.classifier, day)
    current, etag = read_pointer(run.store, key, BatchPointer)
    if current is None or current.digest != digest:
        pointer = BatchPointer(digest=digest, revision=current.revision + 1 if current else 1)
        move_pointer(run.store, key, pointer, etag=etag)
        uri = uri_of(run.store, prefix)
        logger.info("accepted batch=%s rows=%d revision=%d", uri, accepted.num_rows, pointer.revision)
    else:
        logger.info("unchanged batch=%s rows=%d", uri_of(run.store, prefix), accepted.num_rows)
    return digest


def _publish_evidence(store: ObjectStore, prefix: str, judged: DayVerdicts) -> None:
    """Copies the validation from the run's records to beside the batch, outside its manifest.

    The batch is named by its accepted rows alone. A file that arrives later and is refused changes the evidence but not
    the batch, so the evidence is not a part of it. It is copied again only where `validation.json`, which comes last,
    is another.
    """
    document = key_of(store, judged.document_uri)
    if store.exists(f"{prefix}{DOCUMENT}") and store.get(f"{prefix}{DOCUMENT}") == store.get(document):
        return
    index = key_of(store, judged.data_docs_uri)
    folder = index.removesuffix(INDEX)
    pages = [found.key for found in store.list(folder) if found.key != index]
    copy_many(store, [(page, f"{prefix}{DATA_DOCS}{page.removeprefix(folder)}") for page in pages])
    store.copy(index, f"{prefix}{DATA_DOCS}{INDEX}")
    store.copy(document, f"{prefix}{DOCUMENT}")


def _register(run: Run, day: date, digests: Mapping[date, str | None]) -> BaselineRegistration:
    prefix = layout.batch(run.classifier, day, str(digests[day]))
    return register(run, day, uri_of(run.store, prefix))


def _nothing_to_register(run: Run, day: date) -> ConfigurationError:
    return ConfigurationError(
        "register_baseline",
        f"{day}, the first day of the delivery in {uri_of(run.store, layout.incoming(run.classifier, day))}, "
        "has no batch that a baseline could begin with, since none of its images was ever accepted",
        "Run a window that begins with a day that brings new images, or run this one without register_baseline",
    )
