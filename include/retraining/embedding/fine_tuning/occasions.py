"""Whether fine-tuning is due, from what the journal says of the runs since the last time.

Light on purpose: choosing an extractor needs no network.
"""

from __future__ import annotations

from collections.abc import Sequence

from include.retraining.artifacts import PromotionDecision
from include.retraining.config import EveryRuns, Occasion

_ROUNDING = 1e-9  # recalls are shares of whole rows; their differences are not exact


def why_due(occasion: Occasion, decisions: Sequence[PromotionDecision], labels: Sequence[str]) -> str:
    """Returns why the network is to be fine-tuned again.

    Args:
        occasion: When the recipe wants it.
        decisions: On the challengers since the last fine-tuning, that of its own run among them, oldest data first.
        labels: The recipe's; recalls of others are no reason.

    Returns:
        A sentence for people; empty where it is not due. A recall that is unknown is no reason.
    """
    if isinstance(occasion, EveryRuns):
        return _enough_runs(occasion.runs, len({decision.run_id for decision in decisions}))
    return _fallen_recalls(occasion.by, decisions, labels)


def _enough_runs(wanted: int, found: int) -> str:
    if found < wanted:
        return ""
    return f"{found} runs have decided on a challenger since the last fine-tuning; it is due every {wanted}"


def _fallen_recalls(by: float, decisions: Sequence[PromotionDecision], labels: Sequence[str]) -> str:
    if not decisions:
        return ""
    falls = []
    for label in labels:
        known = [decision.recall.get(label) for decision in decisions]
        last, best = known[-1], max((recall for recall in known if recall is not None), default=None)
        if last is not None and best is not None and best - last > by + _ROUNDING:
            falls.append(f"of {label!r} from {best:.4f} to {last:.4f}")
    if not falls:
        return ""
    return f"recall on test rows fell by more than {by:g} since the last fine-tuning: {', '.join(falls)}"
