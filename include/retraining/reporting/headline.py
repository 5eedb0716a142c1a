"""The one sentence that a reader of a report must not miss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from include.retraining.artifacts import Approval, Move, PromotionDecision
from include.retraining.promotion.decision import why_not_carried_out
from include.retraining.reporting.gather import RunReport

Verdict = Literal["promoted", "approved", "kept", "stopped"]


@dataclass(frozen=True)
class Headline:
    """How a run ended.

    Attributes:
        verdict: Whether the champion was replaced, could have been, was kept, or was never in question.
        title: Two or three words.
        sentence: What happened and why.
    """

    verdict: Verdict
    title: str
    sentence: str


def headline_of(report: RunReport) -> Headline:
    """Returns how a run ended, in one sentence."""
    decision = report.decision
    if decision is None:
        return _stopped(report)
    if not decision.approved:
        return _kept(decision, is_same_model=report.evaluation is not None and report.evaluation.is_same_model)
    if report.promotion is None:
        return _approved(decision, report.approval)
    return _promoted(decision, report.promotion)


def _promoted(decision: PromotionDecision, move: Move) -> Headline:
    became = f"replaced {move.incumbent} as champion" if move.incumbent else "became the first champion"
    how = _passed(decision)
    if decision.rebaseline:
        how += f", without being compared with that champion, as was asked (re-baseline): {decision.rebaseline}"
    return Headline("promoted", "New champion", f"Version {decision.challenger} {became}: it {how.rstrip('.')}.")


def _approved(decision: PromotionDecision, approval: Approval | None) -> Headline:
    challenger = f"Challenger {decision.challenger} {_passed(decision)}"
    if decision.is_dry_run:
        why = why_not_carried_out(decision).rstrip(".")
        return Headline("approved", "Approved, not promoted", f"{challenger}; the champion was not moved: {why}.")
    if approval is not None and not approval.approved:
        vetoed = f"{approval.by} said no to its promotion" if approval.by else "nobody approved its promotion in time"
        return Headline("kept", "Champion kept", f"{challenger}, but {vetoed}; the champion was not moved.")
    return Headline(
        "approved",
        "Approved, not promoted",
        f"{challenger}, but the champion was not moved: the approval is pending, or the promotion failed.",
    )


def _passed(decision: PromotionDecision) -> str:
    return "passed its only check" if len(decision.gates) == 1 else f"passed all {len(decision.gates)} checks"


def _kept(decision: PromotionDecision, *, is_same_model: bool) -> Headline:
    champion, challenger = decision.champion, decision.challenger
    if is_same_model:
        return Headline("kept", "Champion kept", f"Champion {champion} stays: retraining gave the same model again.")
    first, *others = decision.reasons or ("no reason was recorded",)
    more = f" (and {len(others)} more reason{'s' if len(others) > 1 else ''})" if others else ""
    refusal = f"challenger {challenger} was refused: {first.rstrip('.')}{more}."
    if champion is None:
        return Headline("kept", "Challenger refused", f"No model is in production, and {refusal}")
    return Headline("kept", "Champion kept", f"Champion {champion} stays, since {refusal}")


def _stopped(report: RunReport) -> Headline:
    untouched = "the champion was not touched."
    refused = [day for day in report.intake_days if day.failures]
    if refused and report.intake is None:
        first, days = refused[0], ", ".join(it.day.isoformat() for it in refused)
        sentence = f"The delivery of {days} was refused: {first.failures[0].rstrip('.')}; {untouched}"
        return Headline("stopped", "Delivery refused", sentence)
    if report.last_stage is None:
        return Headline(
            "stopped",
            "Nothing was retrained",
            f"The run left no record: its window held no delivery, or its intake failed; {untouched}",
        )
    if report.intake is not None and report.intake.delivered == 0 and report.snapshot is None:
        return Headline("stopped", "Nothing was retrained", f"The window held no delivery; {untouched}")
    return Headline(
        "stopped",
        f"Stopped after {report.last_stage}",
        f"The run came as far as the {report.last_stage} stage and made no decision; {untouched}",
    )
