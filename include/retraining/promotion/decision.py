"""Whether a challenger replaces the champion: a pure function of what is known; the answer is a value with reasons."""

from __future__ import annotations

from datetime import datetime

from include.retraining.artifacts import ChampionPointer, EvaluationRecord, PromotionDecision
from include.retraining.config import ClassifierConfig
from include.retraining.promotion.gates import check_gates

KEY_METRICS = ("macro_recall", "macro_f1", "geometric_mean", "geometric_mean_macro", "minimum_recall", "ece")


def decide(
    config: ClassifierConfig,
    evaluation: EvaluationRecord,
    champion: ChampionPointer | None,
    etag: str | None,
    *,
    allowed: bool,
    run_id: str,
    decided_at: datetime,
) -> PromotionDecision:
    """Decides on a promotion; every rule that speaks against it is listed, not the first alone.

    Args:
        config: The recipe with its gates.
        evaluation: Challenger and champion on the same rows.
        champion: The pointer as it is now.
        etag: Its tag; the move later compares with it.
        allowed: Whether this run may promote at all.
        run_id: The run that decides.
        decided_at: When that run started.
    """
    gates = check_gates(config.gates, evaluation)
    reasons = _rules(evaluation, champion, allowed=allowed)
    reasons += [f"{gate.gate}: {gate.sentence}" for gate in gates if not gate.passed]
    if not gates:
        reasons.append("no gate is configured, so nothing shows that the challenger is good enough")
    return PromotionDecision(
        classifier=config.name,
        challenger=evaluation.version,
        champion=champion.version if champion else None,
        champion_etag=etag,
        approved=not reasons,
        reasons=tuple(reasons),
        gates=gates,
        run_id=run_id,
        decided_at=decided_at,
        window_end=evaluation.window_end,
        metrics={name: getattr(evaluation.challenger, name) for name in KEY_METRICS},
        recall=evaluation.challenger.recall,
    )


def _rules(evaluation: EvaluationRecord, champion: ChampionPointer | None, *, allowed: bool) -> list[str]:
    """Returns what speaks against the promotion before any metric is looked at."""
    reasons = []
    if evaluation.is_same_model:
        reasons.append("the challenger is the champion, byte for byte: nothing was delivered that changed the model")
    if champion is not None and champion.window_end > evaluation.window_end:
        reasons.append(
            f"its data ends at {evaluation.window_end.isoformat()}, "
            f"the champion's at {champion.window_end.isoformat()}: older data never replaces newer data"
        )
    if (champion.version if champion else None) != evaluation.champion_version:
        reasons.append("the champion changed since the evaluation: run it again")
    if not allowed:
        reasons.append("this run was not asked to promote (a backfill is not, by itself)")
    return reasons
