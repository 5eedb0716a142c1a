"""The trigger form: what a person, or a backfill's configuration, may ask of a run."""

from __future__ import annotations

from airflow.sdk import Param


def trigger_form() -> dict[str, Param]:
    """Returns the parameters of a retraining Dag; every default suits a scheduled run."""
    return {
        "window_start": Param(
            None,
            type=["null", "string"],
            title="Window start",
            description="First day to take in, such as 2026-01-05. Leave both empty for the schedule's own window.",
            section="Manual window",
        ),
        "window_end": Param(
            None,
            type=["null", "string"],
            title="Window end",
            description="Where the window ends; this day itself is outside, such as 2026-01-06.",
            section="Manual window",
        ),
        "promote": Param(
            None,
            type=["null", "boolean"],
            title="Promote",
            description="Empty: yes, unless this is a backfill. False: decide and report, but move nothing.",
        ),
        "register_baseline": Param(
            False,
            type="boolean",
            title="Register a new baseline",
            description="Do not compare this run's first day with older batches: later ones are compared from it on.",
        ),
        "require_approval": Param(
            False,
            type="boolean",
            title="Require approval",
            description="A person must approve after the gates did; no answer within a day means no.",
        ),
    }
