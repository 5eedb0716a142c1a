"""What intake leaves behind: copies of the refused images, and the accepted batch of each day."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any

import pandas as pd

from include.retraining.artifacts import BatchPointer, IntakeRecord
from include.retraining.errors import DataContractError
from include.retraining.intake.batches import TABLE
from include.retraining.intake.data_docs import INDEX
from include.retraining.intake.outcomes import ACCEPTED, QUARANTINED, SKIPPED, ValidationOutcome, Verdicts
from include.retraining.intake.reasons import Reason, parted
from include.retraining.run import Run
from include.retraining.schemas import BATCH
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.parallel import copy_many, put_many
from include.retraining.storage.pointers import move_pointer, read_pointer
from include.retraining.storage.publishing import content_type_of, publish, sha256
from include.retraining.storage.tables import to_parquet

logger = logging.getLogger(__name__)

REASONS = "reasons.jsonl"
IMAGES = "images/"
VALIDATION = "validation.json"
DATA_DOCS = "data_docs/"
LONGEST_NAME = 100
EXPLAINED = (
    ["image", "key", "label", "group", "split", "size_bytes"]
    + ["bytes_sha256", "pixel_sha256", "format", "mode", "width", "height"]
)  # fmt: skip


def quarantine_images(run: Run, verdicts: Verdicts) -> None:
    """Copies the refused images of each day to its quarantine, and writes down why.

    Side effects:
        The copies are written first, then `reasons.jsonl`: a line an image, in key order. The delivered objects stay
        where they are. A repeat writes the same again; a copy that an earlier delivery of the day left is kept.
    """
    for day in verdicts.outcomes:
        prefix = layout.quarantine(run.classifier, day)
        rows = verdicts.of(day, QUARANTINED)
        there = {found.key for found in run.store.list(layout.incoming(run.classifier, day))} if len(rows) else set()
        refused = [_explained(row, prefix, there) for row in _dicts(rows)]
        copy_many(run.store, sorted({(line["key"], line["copy"]) for line in refused if line["copy"]}))
        if refused or run.store.exists(f"{prefix}{REASONS}"):
            body = "".join(f"{json.dumps(line)}\n" for line in refused).encode()
            run.store.put(f"{prefix}{REASONS}", body, content_type="application/jsonl")
            logger.info("quarantined classifier=%s day=%s images=%d", run.classifier, day, len(refused))


def accept_batches(run: Run, verdicts: Verdicts) -> IntakeRecord:
    """Publishes the accepted images of each day as a batch, and makes it the day's current one.

    A day without accepted images gets no batch. A repeat of the same delivery writes nothing and moves no pointer; a
    changed one makes a new revision.

    Side effects:
        For each day in order: the batch, the evidence beside it, the day's pointer.

    Raises:
        DataContractError: If a day's batch is refused as a whole; nothing is published then, of no day.
        PointerMovedError: If another run accepted the same day meanwhile.
    """
    _require_acceptable(run, verdicts)
    batch_uris, data_docs_uris = {}, {}
    for day, outcome in sorted(verdicts.outcomes.items()):
        rows = verdicts.of(day, ACCEPTED)
        if not rows.empty:
            prefix = _publish_batch(run, day, rows, outcome)
            batch_uris[day] = uri_of(run.store, prefix)
            data_docs_uris[day] = uri_of(run.store, f"{prefix}{DATA_DOCS}{INDEX}")
    outcomes = Counter(verdicts.rows["outcome"])
    return IntakeRecord(
        delivered=len(verdicts.rows),
        accepted=outcomes[ACCEPTED],
        skipped=outcomes[SKIPPED],
        quarantined=_first_reasons(verdicts.rows[verdicts.rows["outcome"] == QUARANTINED]),
        warnings=(*verdicts.warnings, *_nothing_new(verdicts)),
        batch_uris=batch_uris,
        data_docs_uris=data_docs_uris,
    )


def _require_acceptable(run: Run, verdicts: Verdicts) -> None:
    refused = {day: outcome.failures for day, outcome in sorted(verdicts.outcomes.items()) if outcome.failures}
    if refused:
        batches = ", ".join(uri_of(run.store, layout.incoming(run.classifier, day)) for day in refused)
        quarantines = ", ".join(uri_of(run.store, layout.quarantine(run.classifier, day)) for day in refused)
        checks = [f"{day}: {failure}" for day, failures in refused.items() for failure in failures]
        raise DataContractError(batches, [*checks, f"each image's reasons are in {REASONS} under {quarantines}"])


def _publish_batch(run: Run, day: date, rows: pd.DataFrame, outcome: ValidationOutcome) -> str:
    accepted = rows.rename(columns={"pixel_sha256": "image_id"}).sort_values("image_id")
    body = to_parquet(accepted, BATCH)
    digest = sha256(body)[:16]
    prefix = layout.batch(run.classifier, day, digest)
    publish(run.store, prefix, {TABLE: body})
    _publish_evidence(run.store, prefix, outcome)
    key = layout.current_batch(run.classifier, day)
    current, etag = read_pointer(run.store, key, BatchPointer)
    if current is None or current.digest != digest:
        pointer = BatchPointer(digest=digest, revision=current.revision + 1 if current else 1)
        move_pointer(run.store, key, pointer, etag=etag)
        logger.info("accepted batch=%s rows=%d revision=%d", uri_of(run.store, prefix), len(rows), pointer.revision)
    return prefix


def _publish_evidence(store: ObjectStore, prefix: str, outcome: ValidationOutcome) -> None:
    """Writes the validation beside the batch, outside its manifest.

    The batch is named by its accepted rows alone. A file that arrives later and is refused changes the evidence but not
    the batch, so the evidence is not a part of it. Data Docs differ in times and random ids whenever they are rendered:
    they are written again only where `validation.json`, which is written last and does not differ, is another.
    """
    key = f"{prefix}{VALIDATION}"
    if store.exists(key) and store.get(key) == outcome.document:
        return
    pages = dict(outcome.data_docs)
    index = pages.pop(INDEX)
    put_many(store, {f"{prefix}{DATA_DOCS}{name}": page for name, page in pages.items()}, content_type_of)
    store.put(f"{prefix}{DATA_DOCS}{INDEX}", index, content_type=content_type_of(INDEX))
    store.put(key, outcome.document, content_type=content_type_of(VALIDATION))


def _explained(row: Mapping[str, Any], prefix: str, there: set[str]) -> dict[str, Any]:
    """Returns a line of the reasons file; `copy` is empty where there is no object, or one too large to be copied."""
    reasons = parted(row["reason"])
    is_copied = row["key"] in there and Reason.TOO_MANY_BYTES not in reasons
    return {
        **{column: row[column] for column in EXPLAINED},
        "copy": f"{prefix}{IMAGES}{_safe_name(row['key'])}" if is_copied else "",
        "reasons": [{"code": reason.value, "meaning": reason.meaning} for reason in reasons],
    }


def _safe_name(key: str) -> str:
    """Returns a file name of harmless characters that is unique to the key: a delivered name may hold anything."""
    tail = re.sub(r"[^A-Za-z0-9._-]+", "_", key.rpartition("/")[2])[-LONGEST_NAME:]
    return f"{sha256(key.encode())[:16]}-{tail}"


def _dicts(rows: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for row in rows.to_dict("records"):
        yield {str(column): value for column, value in row.items()}


def _first_reasons(rows: pd.DataFrame) -> dict[str, int]:
    return dict(sorted(Counter(parted(reason)[0].value for reason in rows["reason"]).items()))


def _nothing_new(verdicts: Verdicts) -> tuple[str, ...]:
    return tuple(
        f"{day}: nothing new: the earlier batches hold every image that can be used, so the day gets no batch"
        for day in sorted(verdicts.outcomes)
        if verdicts.of(day, ACCEPTED).empty
    )
