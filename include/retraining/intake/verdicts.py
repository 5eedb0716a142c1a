"""What becomes of each delivered image: accepted, skipped or quarantined, day by day."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import date
from typing import TYPE_CHECKING

import pandas as pd

from include.retraining.config import ClassifierConfig
from include.retraining.intake.duplicates import find_duplicates
from include.retraining.intake.outcomes import ACCEPTED, QUARANTINED, SKIPPED, ValidationOutcome, Verdicts
from include.retraining.intake.reasons import SKIPPING, Reason, joined
from include.retraining.run import Run
from include.retraining.schemas import VERDICTS

if TYPE_CHECKING:
    from include.retraining.intake.expectations import DayValidation

logger = logging.getLogger(__name__)


def judge(run: Run, facts: pd.DataFrame, earlier: pd.DataFrame) -> Verdicts:
    """Decides about every row of a delivery.

    Days are judged in order, each against what the days before it accepted. So a day's verdicts depend on that day and
    its past alone, and a window of a week decides as seven windows of a day do.

    Args:
        run: The run; nothing is read or written.
        facts: Schema `FACTS`, of all days of the window, in any order.
        earlier: The images of the batches before the window, see `batches.earlier_images`.
    """
    known = earlier
    frames: list[pd.DataFrame] = []
    warnings: list[str] = []
    outcomes: dict[date, ValidationOutcome] = {}
    for day in sorted(set(facts["date"])):
        rows = facts[facts["date"] == day].sort_values(["key", "image", "label", "split"], ignore_index=True)
        verdicts, outcomes[day], found = _judge_day(run.config, day, rows, known)
        known = pd.concat([known, _accepted_images(verdicts)])
        frames.append(verdicts)
        warnings += [f"{day}: {warning}" for warning in (*found, *outcomes[day].warnings)]
    rows = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=VERDICTS.names)
    _require_balance(len(facts), rows)
    counts = rows["outcome"].value_counts().to_dict()
    logger.info("judged classifier=%s delivered=%d outcomes=%s", run.classifier, len(facts), counts)
    return Verdicts(rows=rows, warnings=tuple(warnings), outcomes=outcomes)


def _judge_day(
    config: ClassifierConfig, day: date, rows: pd.DataFrame, known: pd.DataFrame
) -> tuple[pd.DataFrame, ValidationOutcome, tuple[str, ...]]:
    validation = _day_validation()(config, day)
    reasons = validation.refuse_rows(rows)
    duplicates = find_duplicates(rows.drop(index=list(reasons)), known)
    reasons |= {position: (reason,) for position, reason in duplicates.reasons.items()}
    verdicts = _verdicts(rows, reasons, duplicates.splits)
    return verdicts, validation.judge_batch(verdicts), duplicates.warnings


def _day_validation() -> type[DayValidation]:
    """Imports Great Expectations late, since that takes seconds and 200 MB, and quietly.

    It logs some 250 lines at INFO while it is imported; a level that somebody has set is left alone.
    """
    theirs = logging.getLogger("great_expectations")
    if theirs.level == logging.NOTSET:
        theirs.setLevel(logging.WARNING)
    from include.retraining.intake.expectations import DayValidation

    return DayValidation


def _verdicts(rows: pd.DataFrame, reasons: Mapping[int, tuple[Reason, ...]], splits: Mapping[int, str]) -> pd.DataFrame:
    return rows.assign(
        split=[splits.get(position, split) for position, split in enumerate(rows["split"])],
        outcome=[_outcome(reasons.get(position, ())) for position in range(len(rows))],
        reason=[joined(reasons.get(position, ())) for position in range(len(rows))],
    )


def _outcome(reasons: tuple[Reason, ...]) -> str:
    if not reasons:
        return ACCEPTED
    return SKIPPED if SKIPPING.issuperset(reasons) else QUARANTINED


def _accepted_images(verdicts: pd.DataFrame) -> pd.DataFrame:
    accepted = verdicts[verdicts["outcome"] == ACCEPTED]
    return accepted.set_index("pixel_sha256")[["label", "split"]]


def _require_balance(n_delivered: int, verdicts: pd.DataFrame) -> None:
    counts = {outcome: int((verdicts["outcome"] == outcome).sum()) for outcome in (ACCEPTED, SKIPPED, QUARANTINED)}
    if sum(counts.values()) != n_delivered or len(verdicts) != n_delivered:
        raise RuntimeError(f"{n_delivered} images were delivered, and {counts} judged: the intake stage lost some.")
    nameless = int(((verdicts["outcome"] == ACCEPTED) & (verdicts["pixel_sha256"] == "")).sum())
    if nameless:
        raise RuntimeError(f"{nameless} accepted images were never decoded: the intake stage let them pass.")
