"""Whether a challenger replaces the champion: a pure function of what is known; the answer is a value with reasons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from include.retraining.artifacts import PromotionDecision
from include.retraining.config import ClassifierConfig
from include.retraining.promotion.evidence import Evidence, finite, metric_of
from include.retraining.promotion.gates import check_gates

KEY_METRICS = ("macro_recall", "macro_f1", "geometric_mean", "geometric_mean_macro", "minimum_recall", "ece")
BY_HAND = "there is no champion yet, and the recipe leaves the first one to a person (promotion.first_model: by_hand)"


@dataclass(frozen=True)
class Request:
    """Who asks for a decision, and for what.

    Attributes:
        run_id: The run that decides.
        decided_at: When that run started.
        by: Who started it.
        is_dry_run: Whether it is decided and reported only; a backfill asks for no more, by itself.
        rebaseline: Whether a champion that cannot be scored may be replaced on the absolute gates alone.
    """

    run_id: str
    decided_at: datetime
    by: str = ""
    is_dry_run: bool = False
    rebaseline: bool = False


def decide(config: ClassifierConfig, evidence: Evidence, request: Request) -> PromotionDecision:
    """Decides on a promotion; every rule and gate that speaks against it is listed, not the first alone.

    `approved` is what rules and gates say, `is_dry_run` whether that is all that is asked. A first model that the
    recipe leaves to a person is approved or refused like any other, and never promoted by the run.

    Args:
        config: The recipe with its gates.
        evidence: What is known.
        request: Who asks, and for what.
    """
    evaluation, champion = evidence.evaluation, evidence.champion
    challenger = evaluation.challenger
    gates = check_gates(config.gates, evidence, config.evaluation, rebaseline=request.rebaseline)
    reasons = [*_rules(config, evidence), *_about_the_champion(evidence, request)]
    reasons += [f"{gate.gate}: {gate.sentence}" for gate in gates if not gate.passed]
    if not gates:
        reasons.append("no gate is configured, so nothing shows that the challenger is good enough")
    is_dry_run = request.is_dry_run or (champion is None and config.promotion.first_model == "by_hand")
    incumbent = champion.version if champion else None
    return PromotionDecision(
        classifier=config.name,
        challenger=challenger.version,
        champion=incumbent,
        champion_etag=evidence.champion_etag,
        approved=not reasons,
        reasons=tuple(reasons),
        gates=gates,
        run_id=request.run_id,
        decided_at=request.decided_at,
        window_end=evaluation.window_end,
        metrics={name: metric_of(challenger, name) for name in KEY_METRICS},
        recall={label: finite(value) for label, value in challenger.metrics.recall.items()},
        resulting=incumbent if reasons or is_dry_run else challenger.version,
        is_dry_run=is_dry_run,
        rebaseline=evidence.unscored if request.rebaseline else "",
        challenger_digest=challenger.digest,
        test_digest=evaluation.test_digest,
        policy=_policy(config),
        by=request.by,
    )


def why_not_carried_out(decision: PromotionDecision) -> str:
    """Returns why an approved decision moves nothing, as a sentence; empty where it does, and where it is a refusal."""
    if not decision.approved or not decision.is_dry_run:
        return ""
    promotion = decision.policy.get("promotion", {})
    by_hand = decision.champion is None and promotion.get("first_model") == "by_hand"
    return BY_HAND if by_hand else "the run was asked to decide only (a backfill is, unless it is asked to promote)"


def _rules(config: ClassifierConfig, evidence: Evidence) -> list[str]:
    """Returns what speaks against the challenger itself, before any metric is looked at."""
    evaluation, champion = evidence.evaluation, evidence.champion
    version = evaluation.challenger.version
    reasons = []
    if evaluation.is_same_model or (champion is not None and champion.version == version):
        reasons.append("the challenger is the champion, byte for byte: nothing was delivered that changed the model")
    if version in evidence.withdrawn:
        reasons.append(f"no run may make {version} champion again: {evidence.withdrawn[version]}")
    if champion is not None and champion.window_end > evaluation.window_end:
        reasons.append(
            f"its data ends at {evaluation.window_end.isoformat()}, "
            f"the champion's at {champion.window_end.isoformat()}: older data never replaces newer data"
        )
    known = tuple(evaluation.challenger.metrics.n_rows)
    if set(known) != set(config.labels):
        reasons.append(f"the evaluation is about the labels {', '.join(known) or 'none'}, and the recipe has others")
    return reasons


def _about_the_champion(evidence: Evidence, request: Request) -> list[str]:
    """Returns what is wrong with the champion that the evaluation met."""
    incumbent = evidence.evaluation.incumbent
    reasons = []
    if evidence.is_overtaken:
        reasons.append("the champion changed since the evaluation: run it again")
    if incumbent is not None and evidence.unscored and not request.rebaseline:
        reasons.append(
            f"the champion {incumbent.version} cannot be scored: {evidence.unscored}. "
            "Mend it, roll back to a version that is whole, or ask a run for a re-baseline"
        )
    return reasons


def _policy(config: ClassifierConfig) -> Mapping[str, Any]:
    return {
        "gates": [gate.model_dump(mode="json") for gate in config.gates],
        "promotion": config.promotion.model_dump(mode="json"),
        "evaluation": config.evaluation.model_dump(mode="json"),
    }
