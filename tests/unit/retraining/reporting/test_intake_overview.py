from __future__ import annotations

from datetime import date

import pytest

from include.retraining.errors import ArtifactIntegrityError
from include.retraining.reporting.intake_overview import intake_overview
from include.retraining.run import INTAKE, Run, run_key
from tests.builders import make_intake, make_run
from tests.unit.retraining.reporting.judged import DAY, keep_judged_day

LATER = date(2026, 1, 3)


def overview_of(run: Run):
    return intake_overview(run.store, run.classifier, run_key(run.run_id))


def test_a_run_that_validated_nothing_has_no_days() -> None:
    assert overview_of(make_run()) == ()


def test_days_come_in_order_with_their_counts_and_sentences() -> None:
    run = make_run()
    keep_judged_day(run, LATER)
    keep_judged_day(run, warnings=("late",), failures=("too few",))

    first, second = overview_of(run)

    assert (first.day, second.day) == (DAY, LATER)
    assert (first.warnings, first.failures) == (("late",), ("too few",))
    assert (first.counts.delivered, first.counts.accepted) == (4, 1)
    assert first.counts.quarantined == {"truncated_or_corrupt": 1, "unknown_label": 2}
    assert first.counts.skipped_by == {}


def test_reasons_that_skip_are_told_apart_from_those_that_quarantine() -> None:
    run = make_run()
    counts = {
        "delivered": 6,
        "outcomes": {"quarantined": 1, "skipped": 5},
        "first_reasons": {"duplicate": 3, "duplicate_of_test_image": 2, "label_conflict": 1},
    }
    keep_judged_day(run, counts=counts)

    (day,) = overview_of(run)

    assert day.counts.accepted == 0
    assert day.counts.skipped_by == {"duplicate": 3, "duplicate_of_test_image": 2}
    assert day.counts.quarantined == {"label_conflict": 1}


@pytest.mark.parametrize(
    ("record", "failures", "state"),
    [
        (None, ("too few",), "refused"),
        (None, (), "judged"),
        (make_intake(), (), "taken in"),
        (make_intake(unchanged=(DAY,)), (), "unchanged"),
        (make_intake(batch_uris={}), (), "nothing new"),
    ],
)
def test_the_state_says_what_became_of_the_delivery(record, failures, state) -> None:
    run = make_run()
    keep_judged_day(run, failures=failures)
    if record is not None:
        run.record(INTAKE, record)

    assert [day.state for day in overview_of(run)] == [state]


def test_a_record_that_cannot_be_read_is_a_clear_error() -> None:
    run = make_run()
    run.store.put(f"{run.prefix}intake/verdicts.json", b"[]")

    with pytest.raises(ArtifactIntegrityError, match=r"verdicts\.json: expected a Verdicts record"):
        overview_of(run)
