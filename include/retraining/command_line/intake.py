"""`intake`: the first stage alone, on what lies in the bucket for one day."""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from include.retraining import steps
from include.retraining.artifacts import BatchPointer, IntakeRecord
from include.retraining.command_line.days import run_of_days
from include.retraining.command_line.output import print_json, print_table, progress_bars
from include.retraining.config import ClassifierConfig
from include.retraining.errors import DataContractError
from include.retraining.intake.counts import read_counts
from include.retraining.intake.outcomes import VERDICTS_RECORD, Verdicts
from include.retraining.intake.reasons import Reason
from include.retraining.pipeline import Progress, take_in
from include.retraining.run import Run
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.pointers import read_pointer


@dataclass(frozen=True)
class Result:
    """What became of a day's delivery, as far as it is known; `accepted + skipped + quarantined = delivered`.

    Attributes:
        classifier: Name of the classifier.
        day: Day of the delivery.
        delivered_uri: Where it lies.
        delivered: Images.
        accepted: Images; in a batch, unless that is refused.
        skipped: Images.
        quarantined: Images by their first reason.
        skipped_by: Images by reason.
        warnings: One sentence a warning.
        unchanged: The day, if its batch was the current one already.
        revisions: Which revision of its batch is the current one, by day.
        batch_uris: Batch, by day; none where there is no new image, or the batch is refused.
        data_docs_uris: Data Docs, by day.
        baseline_registered: Whether the day is the new beginning of what later batches are compared with.
    """

    classifier: str
    day: date
    delivered_uri: str
    delivered: int = 0
    accepted: int = 0
    skipped: int = 0
    quarantined: Mapping[str, int] = dataclasses.field(default_factory=dict)
    skipped_by: Mapping[str, int] = dataclasses.field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    unchanged: tuple[date, ...] = ()
    revisions: Mapping[date, int] = dataclasses.field(default_factory=dict)
    batch_uris: Mapping[date, str] = dataclasses.field(default_factory=dict)
    data_docs_uris: Mapping[date, str] = dataclasses.field(default_factory=dict)
    baseline_registered: bool = False


def intake(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Takes in what was delivered for a day; exit status 0 where nothing was, an error where the batch is refused."""
    run_id = f"command-line-intake__{arguments.day.isoformat()}"
    run = run_of_days(config, store, arguments.day, arguments.day, run_id=run_id)
    try:
        with progress_bars() as progress:
            record = _take_in(run, register_baseline=arguments.register_baseline, progress=progress)
    except DataContractError as error:
        _print_refused(_refused(run, arguments.day), error, as_json=arguments.json)
        raise
    if record is None:
        _print_nothing(_empty(run, arguments.day), as_json=arguments.json)
    else:
        _print(_taken_in(run, arguments.day, record), as_json=arguments.json)
    return 0


def _take_in(run: Run, *, register_baseline: bool, progress: Progress) -> IntakeRecord | None:
    progress("list_batch", 0, 1)
    listings = steps.list_batch(run)
    progress("list_batch", 1, 1)
    if not listings:
        return None
    return run.load(take_in(run, listings, register_baseline=register_baseline, progress=progress), IntakeRecord)


def _empty(run: Run, day: date) -> Result:
    return Result(run.classifier, day, uri_of(run.store, layout.incoming(run.classifier, day)))


def _taken_in(run: Run, day: date, record: IntakeRecord) -> Result:
    pointers = {
        it: read_pointer(run.store, layout.current_batch(run.classifier, it), BatchPointer)[0]
        for it in record.batch_uris
    }
    return dataclasses.replace(
        _empty(run, day),
        revisions={it: pointer.revision for it, pointer in pointers.items() if pointer is not None},
        **{field.name: getattr(record, field.name) for field in dataclasses.fields(record)},
    )


def _refused(run: Run, day: date) -> Result:
    """Returns what is known of a delivery that was refused: nothing, where it was refused before it could be judged."""
    verdicts = run.recall_if_any(VERDICTS_RECORD, Verdicts) or Verdicts({})
    counts = [read_counts(run.store, judged) for judged in verdicts.days.values()]
    skipped_by: Counter[str] = Counter()
    quarantined: Counter[str] = Counter()
    for of_day in counts:
        skipped_by.update(of_day.skipped_by)
        quarantined.update(of_day.quarantined)
    return dataclasses.replace(
        _empty(run, day),
        delivered=sum(of_day.delivered for of_day in counts),
        accepted=sum(of_day.accepted for of_day in counts),
        skipped=skipped_by.total(),
        skipped_by=dict(skipped_by),
        quarantined=dict(quarantined),
        warnings=tuple(f"{it}: {warning}" for it, judged in verdicts.days.items() for warning in judged.warnings),
        data_docs_uris={it: judged.data_docs_uri for it, judged in verdicts.days.items()},
    )


def _print(result: Result, *, as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    _print_counts(result)
    if not result.batch_uris:
        print("no batch: no image is new")
    for day, uri in result.batch_uris.items():
        print(f"batch {day}: {_news(result, day)}\n  {uri}")
    if result.baseline_registered:
        print(f"baseline: later batches are compared from {result.day} on")
    _print_data_docs(result)


def _news(result: Result, day: date) -> str:
    if day in result.unchanged:
        return "already taken in: nothing changed"
    revision = result.revisions.get(day, 1)
    return "new" if revision == 1 else f"new revision, number {revision}"


def _print_refused(result: Result, error: DataContractError, *, as_json: bool) -> None:
    if as_json:
        print_json(_with(result, error=str(error), failed_checks=error.failed_checks))
    elif result.delivered:
        _print_counts(result)
        print("no batch: the delivery is refused")
        _print_data_docs(result)


def _print_nothing(result: Result, *, as_json: bool) -> None:
    message = f"Nothing was delivered for {result.classifier} on {result.day}: {result.delivered_uri} is empty."
    if as_json:
        print_json(_with(result, message=message))
    else:
        print(message)


def _print_counts(result: Result) -> None:
    quarantined = sum(result.quarantined.values())
    print(
        f"delivered {result.delivered}, accepted {result.accepted}, skipped {result.skipped}, quarantined {quarantined}"
    )
    for title, counts in (("Quarantined", result.quarantined), ("Skipped", result.skipped_by)):
        if counts:
            rows = [(code, number, Reason(code).meaning) for code, number in counts.items()]
            print_table(f"{title}, by reason", ("reason", "images", "meaning"), rows)
    for warning in result.warnings:
        print(f"warning: {warning}")


def _print_data_docs(result: Result) -> None:
    for day, uri in result.data_docs_uris.items():
        print(f"Data Docs {day}:\n  {uri}")


def _with(result: Result, **more: Any) -> dict[str, Any]:
    return {**{field.name: getattr(result, field.name) for field in dataclasses.fields(result)}, **more}
