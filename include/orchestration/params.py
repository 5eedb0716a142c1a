"""The trigger forms: what a person, or a backfill's configuration, may ask of a run."""

from __future__ import annotations

from airflow.sdk import Param

from include.retraining.config import ClassifierConfig


def trigger_form(config: ClassifierConfig) -> dict[str, Param]:
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
        "rebaseline_champion": Param(
            False,
            type="boolean",
            title="Replace a champion that cannot be scored",
            description="Then the gates that compare with it are passed over and the others decide; the journal keeps "
            "that it was asked for, and why. A champion that can be scored is compared with all the same.",
        ),
        "register_baseline": Param(
            False,
            type="boolean",
            title="Register a new baseline",
            description="Do not compare this run's first day with older batches: later ones are compared from it on.",
        ),
        "require_approval": Param(
            config.promotion.require_approval,
            type="boolean",
            title="Require approval",
            description="A person must approve after the gates did; no answer within "
            f"{config.promotion.approval_hours:g} hours means no. What the recipe requires cannot be waived here.",
        ),
    }


def rollback_form() -> dict[str, Param]:
    """Returns the parameters of a rollback Dag."""
    return {
        "version": Param(
            None,
            type=["null", "string"],
            title="Version",
            description="Such as 20260103T0200-0123456789ab; the page Models lists all. Empty: the newest former "
            "champion that was not rolled back from itself.",
        ),
        "reason": Param(
            None,
            type="string",
            minLength=3,
            title="Reason",
            description="Why; the journal keeps it, with who asked and when.",
        ),
    }
