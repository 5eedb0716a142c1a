"""`run`: a whole retraining without Airflow."""

from __future__ import annotations

import argparse

from include.retraining.artifacts import EvaluationRecord, IntakeRecord, PromotionDecision, SelectionRecord
from include.retraining.command_line.days import ONE_DAY, run_of_days
from include.retraining.command_line.output import print_json, print_table, progress_bars, shown_mean
from include.retraining.config import ClassifierConfig
from include.retraining.errors import ConfigurationError
from include.retraining.pipeline import Outcome, Wishes, retrain
from include.retraining.promotion.decision import why_not_carried_out
from include.retraining.run import EVALUATION, INTAKE, SELECTION, Run
from include.retraining.storage.base import ObjectStore


def run(arguments: argparse.Namespace, config: ClassifierConfig, store: ObjectStore) -> int:
    """Retrains on the days asked for; exit status 0 whether or not the challenger was promoted."""
    last = arguments.end or arguments.start
    if last < arguments.start:
        raise ConfigurationError("--to", f"expected {arguments.start} or a later day, got {last}", "Swap the two days")
    run_id = f"command-line__{arguments.start.isoformat()}_{last.isoformat()}"
    this_run = run_of_days(config, store, arguments.start, last, run_id=run_id)
    wishes = Wishes(
        allowed=not arguments.no_promote,
        rebaseline=arguments.rebaseline,
        register_baseline=arguments.register_baseline,
    )
    with progress_bars() as progress:
        outcome = retrain(this_run, wishes, progress=progress)
    if arguments.json:
        print_json(
            {"run_id": this_run.run_id, "outcome": outcome, "intake": this_run.recall_if_any(INTAKE, IntakeRecord)}
        )
    else:
        _print(this_run, outcome)
    return 0


def _print(this_run: Run, outcome: Outcome) -> None:
    if not outcome.delivered or outcome.decision is None:
        first, last = this_run.window.start, this_run.window.end - ONE_DAY
        print(f"Nothing was delivered for {this_run.classifier} from {first:%Y-%m-%d} to {last:%Y-%m-%d}.")
        return
    intake = this_run.recall(INTAKE, IntakeRecord)
    quarantined = sum(intake.quarantined.values())
    print(
        f"delivered {intake.delivered}, accepted {intake.accepted}, skipped {intake.skipped}, quarantined {quarantined}"
    )
    evaluation = this_run.recall(EVALUATION, EvaluationRecord)
    selection = this_run.recall(SELECTION, SelectionRecord)
    rows = [
        (it.name, shown_mean(it), it.validation.macro_recall, evaluation.candidates[it.name].macro_recall)
        for it in selection.candidates
    ]
    print_table("Candidates, by macro recall", ("candidate", "cross-validation", "validation", "test"), rows)
    print(f"{selection.because} Test rows are not used to choose.")
    print_table(
        "Gates", ("gate", "passed", "why"), [(it.gate, it.passed, it.sentence) for it in outcome.decision.gates]
    )
    print(f"challenger {outcome.decision.challenger}: {_outcome(outcome.decision)}")
    for reason in (*outcome.decision.reasons, why_not_carried_out(outcome.decision)):
        if reason:
            print(f"  because {reason}")
    print(f"report {outcome.report_uri}")


def _outcome(decision: PromotionDecision) -> str:
    if decision.acts:
        return "promoted"
    return "approved, and not promoted" if decision.approved else "not promoted"
