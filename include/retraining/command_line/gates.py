"""`gates`: what was asked of a run's challenger, and what was found."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TypeVar

from include.retraining.artifacts import Approval, GateResult, Move, PromotionDecision
from include.retraining.command_line.output import print_json, print_table
from include.retraining.errors import ConfigurationError
from include.retraining.promotion.decision import why_not_carried_out
from include.retraining.run import (
    APPROVAL,
    DECISION,
    EMBEDDING,
    EVALUATION,
    INTAKE,
    PROMOTION,
    SELECTION,
    SNAPSHOT,
    VERSION,
    run_key,
)
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore, uri_of
from include.retraining.storage.records import read_record

Record = TypeVar("Record", Approval, Move)

STEPS = (INTAKE, SNAPSHOT, EMBEDDING, SELECTION, VERSION, EVALUATION, DECISION)
"""Records that every run makes, in their order."""


def explain(arguments: argparse.Namespace, store: ObjectStore, classifiers: Sequence[str]) -> int:
    """Prints every gate and rule of a run's decision; a refusal is no failure of the command.

    Args:
        arguments: `run` is a run id, its key in the bucket, or `<classifier>/<run>`; `json` asks for the decision
            itself.
        store: The bucket.
        classifiers: Among whose runs it is looked for.

    Raises:
        ConfigurationError: If none of them has such a run, or several have, or it came to no decision.
    """
    classifier, key = _find(arguments.run, store, classifiers)
    prefix = layout.run(classifier, key)
    if not store.exists(f"{prefix}{DECISION}"):
        raise ConfigurationError(
            f"run {arguments.run} of {classifier}",
            f"it came to no decision{_how_far(store, prefix)}",
            "See in its report and log where it stopped, or whether it is still going on",
        )
    decision = read_record(store, f"{prefix}{DECISION}", PromotionDecision)
    if arguments.json:
        print_json(decision)
        return 0
    print_table(
        f"Gates of {classifier}, run {decision.run_id}",
        ("gate", "verdict", "found", "asked", "why"),
        [_row(gate) for gate in decision.gates],
    )
    for reason in decision.reasons:
        print(f"refused because {reason}")
    print_table("Decision", ("what", "which"), _summary(decision))
    print_table("What came of it", ("what", "which"), _outcome(store, prefix, decision))
    return 0


def _find(run: str, store: ObjectStore, classifiers: Sequence[str]) -> tuple[str, str]:
    """Returns the classifier and the key of a run that somebody typed."""
    before, _, after = run.partition("/")
    named, run = ([before], after) if after and before in classifiers else (list(classifiers), run)
    key = run_key(run)
    found = [it for it in named if key.strip(".") and any(True for _ in store.list(layout.run(it, key)))]
    if not found:
        where = ", ".join(layout.run(it, "") + key for it in named) or "no classifier"
        raise ConfigurationError(
            f"run {run}",
            f"nothing was recorded of it; looked under {where}",
            "Name a run as Airflow does, or as its folder under runs/ is called; of a classifier without a recipe, "
            "restore the recipe first",
        )
    if len(found) > 1:
        raise ConfigurationError(
            f"run {run}", f"{' and '.join(found)} have one of this name", f"Write {found[0]}/{run} for one of them"
        )
    return found[0], key


def _row(gate: GateResult) -> tuple[object, ...]:
    return gate.gate, "passed" if gate.passed else "refused", gate.found, gate.asked, gate.sentence


def _summary(decision: PromotionDecision) -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = [
        ("verdict", "approved" if decision.approved else "refused"),
        ("challenger", decision.challenger),
        ("data up to", decision.window_end),
        ("incumbent", decision.champion),
        ("resulting", decision.resulting),
        ("dry run", decision.is_dry_run),
        ("re-baseline", decision.rebaseline or None),
        ("decided at", decision.decided_at),
        ("asked by", decision.by or None),
        ("test rows", decision.test_digest or None),
    ]
    promotion = decision.policy.get("promotion", {})
    return rows + [(name.replace("_", " "), value) for name, value in promotion.items()]


def _outcome(store: ObjectStore, prefix: str, decision: PromotionDecision) -> list[tuple[str, object]]:
    """Returns what happened after the decision, as the run recorded it."""
    approval = _record(store, f"{prefix}{APPROVAL}", Approval)
    move = _record(store, f"{prefix}{PROMOTION}", Move)
    rows: list[tuple[str, object]] = []
    if approval is not None:
        answer = "approved" if approval.approved else "rejected"
        rows.append(("a person", f"{answer} by {approval.by}" if approval.by else "no answer in time, which means no"))
    if move is not None:
        rows.append(("champion", f"{move.incumbent or 'none'} -> {move.resulting}"))
    else:
        rows.append(("champion", f"not moved by this run{_because(decision, approval)}"))
    return rows


def _because(decision: PromotionDecision, approval: Approval | None) -> str:
    if not decision.approved:
        return ": the decision is a refusal"
    if decision.is_dry_run:
        return f": {why_not_carried_out(decision)}"
    return "" if approval is None or approval.approved else ": a person must approve"


def _record(store: ObjectStore, key: str, kind: type[Record]) -> Record | None:
    return read_record(store, key, kind) if store.exists(key) else None


def _how_far(store: ObjectStore, prefix: str) -> str:
    """Returns how far a run without a decision came."""
    there = [name for name in STEPS if store.exists(f"{prefix}{name}")]
    missing = next(name for name in STEPS if name not in there)
    came = f"the last step that it recorded is {there[-1]}" if there else "it recorded none of the steps before it"
    return f": {came}, the first record that is missing is {uri_of(store, prefix)}{missing}"
