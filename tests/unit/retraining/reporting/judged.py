"""What validation leaves of a day, with counts, for those who show it."""

from __future__ import annotations

import json
from datetime import date

from include.retraining.intake import exchange
from include.retraining.intake.outcomes import VERDICTS_RECORD, ValidationOutcome, Verdicts
from include.retraining.run import Run

DAY = date(2026, 1, 2)
COUNTS = {
    "delivered": 4,
    "outcomes": {"accepted": 1, "quarantined": 3},
    "first_reasons": {"truncated_or_corrupt": 1, "unknown_label": 2},
}


def keep_judged_day(
    run: Run,
    day: date = DAY,
    *,
    failures: tuple[str, ...] = (),
    warnings: tuple[str, ...] = (),
    counts: dict[str, object] = COUNTS,
    pages: dict[str, bytes] | None = None,
) -> None:
    """Adds a day to the verdicts that are kept among a run's records."""
    outcome = ValidationOutcome(
        warnings=warnings,
        failures=failures,
        document=json.dumps({**counts, "findings": []}).encode(),
        data_docs={"index.html": b"<html>index</html>", "contact_sheet.html": b"<html>sheet</html>", **(pages or {})},
    )
    known = run.recall_if_any(VERDICTS_RECORD, Verdicts) or Verdicts({})
    judged = exchange.keep_validation(run, day, outcome, [], 4)
    exchange.keep_judgement(run, Verdicts({**known.days, day: judged}))
