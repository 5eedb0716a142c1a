"""What becomes of each delivered image: accepted, skipped or quarantined, day by day and portion by portion."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from include.retraining.intake.contact_sheet import contact_sheet
from include.retraining.intake.drift.baselines import Baselines, read_baselines
from include.retraining.intake.drift.drift import measure_drift
from include.retraining.intake.exchange import (
    facts_by_day,
    keep_validation,
    keep_verdicts,
    recall_facts,
    recall_listing_warnings,
    recall_verdicts,
)
from include.retraining.intake.outcomes import ACCEPTED, QUARANTINED, SKIPPED, DayVerdicts, Verdicts
from include.retraining.intake.reasons import SKIPPING, Reason, joined, ordered
from include.retraining.intake.relations.ledger import Ledger, read_ledger
from include.retraining.intake.relations.relations import CANDIDATE_COLUMNS, relate
from include.retraining.intake.summary import BatchSummary, summarise
from include.retraining.run import Run

if TYPE_CHECKING:
    from include.retraining.intake.validation.validation import DayValidation

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 10_000  # Great Expectations costs 0.17 s a call whatever the rows, and 10,000 rows take a few MB

Reasons = Mapping[int, tuple[Reason, ...]]  # by position in a portion


@dataclass(frozen=True)
class _Portion:
    """Some shards of facts that are looked at together, and what their own rows say against them.

    Attributes:
        uris: The shards.
        offset: Rows of the day before it.
        n_rows: Its rows.
        reasons: Why rows are refused for what they are, by position.
    """

    uris: tuple[str, ...]
    offset: int
    n_rows: int
    reasons: Reasons


def judge(run: Run, facts_uris: Sequence[str], *, register_baseline: bool) -> Verdicts:
    """Decides about every row of a delivery.

    Days are judged in order, each against what the days before it accepted. So a day's verdicts depend on that day and
    its past, and on the splits that images were ever given; a window of a week decides as seven windows of a day do.

    Args:
        run: The run.
        facts_uris: Kept facts (schema `FACTS`) of all days of the window, in any order.
        register_baseline: Do not compare the first day with the batches before it: it begins a new baseline.

    Side effects:
        Keeps verdicts and evidence among the run's records.
    """
    by_day = facts_by_day(run, facts_uris)
    ledger = read_ledger(run.store, run.classifier)
    baselines = read_baselines(run, since=min(by_day) if register_baseline else None)
    days: dict[date, DayVerdicts] = {}
    for day, uris in by_day.items():
        days[day], summary = _judge_day(run, day, uris, ledger, baselines)
        if day != max(by_day):  # nothing asks the ledger for the last day's images
            ledger = ledger.followed_by(day, _accepted(run, days[day]))
        baselines = baselines.followed_by(day, summary.accepted)
        counts = dict(summary.outcomes)
        logger.info("judged classifier=%s day=%s outcomes=%s", run.classifier, day, counts)
    return Verdicts(days)


def _judge_day(
    run: Run, day: date, uris: Sequence[str], ledger: Ledger, baselines: Baselines
) -> tuple[DayVerdicts, BatchSummary]:
    validation = _day_validation()(run.config, day)
    portions, candidates = _look_at_rows(run, uris, validation)
    relations, warnings = relate(candidates, day, ledger, run.config)
    labels = run.config.labels
    summaries, verdict_uris = [], []
    for index, portion in enumerate(portions):
        verdicts = _verdicts(_facts(run, portion.uris), portion, relations, validation)
        verdict_uris.append(keep_verdicts(run, day, index, verdicts))
        summaries.append(summarise(verdicts, labels))
    summary = sum(summaries[1:], start=summaries[0])
    _require_balance(sum(portion.n_rows for portion in portions), summary)
    drift = measure_drift(summary.accepted, baselines.before(day), run.config.expectations)
    sheet = contact_sheet(run, day, verdict_uris)
    warnings = (*recall_listing_warnings(run).get(day, ()), *warnings)
    outcome = validation.judge_batch(summary, drift, warnings, sheet)
    return keep_validation(run, day, outcome, verdict_uris, summary.delivered), summary


def _look_at_rows(run: Run, uris: Sequence[str], validation: DayValidation) -> tuple[list[_Portion], pd.DataFrame]:
    """Refuses rows for what they are; returns the others as candidates, indexed by their number in the day."""
    portions: list[_Portion] = []
    frames: list[pd.DataFrame] = []
    offset = 0
    for together in _portions(run, uris):
        rows = _facts(run, together)
        reasons = validation.refuse_rows(rows)
        rows.index = pd.RangeIndex(offset, offset + len(rows))
        portions.append(_Portion(together, offset, len(rows), reasons))
        frames.append(rows.loc[[offset + it for it in range(len(rows)) if it not in reasons], CANDIDATE_COLUMNS])
        offset += len(rows)
    return portions, pd.concat(frames)


def _portions(run: Run, uris: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yields the shards of a day, as many together as fit into `ROWS_AT_ONCE`; each holds the recipe's number."""
    size = max(1, ROWS_AT_ONCE // run.config.intake.shard_images)
    return (tuple(uris[start : start + size]) for start in range(0, len(uris), size))


def _facts(run: Run, uris: Sequence[str]) -> pd.DataFrame:
    return pd.concat([recall_facts(run, uri) for uri in uris], ignore_index=True)


def _verdicts(
    rows: pd.DataFrame, portion: _Portion, relations: pd.DataFrame, validation: DayValidation
) -> pd.DataFrame:
    numbers = pd.RangeIndex(portion.offset, portion.offset + len(rows))
    known = relations.loc[relations.index.intersection(numbers)]
    related = known.reindex(numbers).reset_index(drop=True)
    for column in ("finding", "related", "split", "group"):
        related[column] = related[column].fillna("").astype(object)
    pinned = related["pinned"].fillna(False).astype(bool)
    found = validation.refuse_related(rows, related["finding"])
    reasons = [ordered((*portion.reasons.get(it, ()), *found.get(it, ()))) for it in range(len(rows))]
    outcomes = [_outcome(given) for given in reasons]
    accepted = pd.Series([outcome == ACCEPTED for outcome in outcomes])
    return rows.assign(
        group=related["group"].where(accepted, rows["group"]),
        outcome=outcomes,
        reason=[joined(given) for given in reasons],
        related=related["related"],
        assigned_split=related["split"].where(accepted, ""),
        pinned=pinned & accepted,
    )


def _day_validation() -> type[DayValidation]:
    """Imports Great Expectations late, since that takes seconds and 200 MB, and quietly.

    It logs some 250 lines at INFO while it is imported; a level that somebody has set is left alone.
    """
    theirs = logging.getLogger("great_expectations")
    if theirs.level == logging.NOTSET:
        theirs.setLevel(logging.WARNING)
    from include.retraining.intake.validation.validation import DayValidation

    return DayValidation


def _outcome(reasons: tuple[Reason, ...]) -> str:
    if not reasons:
        return ACCEPTED
    return SKIPPED if SKIPPING.issuperset(reasons) else QUARANTINED


def _accepted(run: Run, day: DayVerdicts) -> Iterator[pd.DataFrame]:
    for uri in day.shard_uris:
        verdicts = recall_verdicts(run, uri)
        yield verdicts[verdicts["outcome"] == ACCEPTED]


def _require_balance(n_delivered: int, summary: BatchSummary) -> None:
    if summary.delivered != n_delivered:
        raise RuntimeError(
            f"{n_delivered} images were delivered, and {dict(summary.outcomes)} judged: the intake stage lost some."
        )
