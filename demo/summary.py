"""What the runs came to, read from the records that they left in the bucket, as tables for a terminal.

Nothing is computed here that a stage did not record.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo.delivery import Planted
from include.retraining import run as records
from include.retraining.artifacts import (
    SPLITS,
    CandidateRecord,
    ChampionPointer,
    ClassificationMetrics,
    EmbeddingPlan,
    EvaluationRecord,
    IntakeRecord,
    PromotionDecision,
    ResamplingRecord,
    SelectionRecord,
    SnapshotRecord,
)
from include.retraining.promotion.decision import why_not_carried_out
from include.retraining.storage import layout
from include.retraining.storage.base import ObjectStore
from include.retraining.storage.records import Record, read_record

MARK = "★"
COMPARED = ("macro_recall", "macro_f1", "geometric_mean")
SHOWN = (*COMPARED, "geometric_mean_macro", "minimum_recall", "accuracy", "ece")
OF_THE_DATA_SET = "not planted"


@dataclass(frozen=True)
class RunResults:
    """The records of one run; None where it did not come so far.

    Attributes:
        day: The day that it was about.
        run_id: Its name in Airflow.
    """

    day: str
    run_id: str
    intake: IntakeRecord | None
    snapshot: SnapshotRecord | None
    embedding: EmbeddingPlan | None
    resampling: ResamplingRecord | None
    selection: SelectionRecord | None
    evaluation: EvaluationRecord | None
    decision: PromotionDecision | None


@dataclass(frozen=True)
class Access:
    """Where a person looks on.

    Attributes:
        ui_url: Address of the UI.
        login: How to get in.
    """

    ui_url: str
    login: str


def read_results(store: ObjectStore, classifier: str, *, day: str, run_id: str) -> RunResults:
    """Reads the records of a run."""
    prefix = layout.run(classifier, records.run_key(run_id))

    def recall(name: str, kind: type[Record]) -> Record | None:
        try:
            return read_record(store, f"{prefix}{name}", kind)
        except KeyError:
            return None

    return RunResults(
        day=day,
        run_id=run_id,
        intake=recall(records.INTAKE, IntakeRecord),
        snapshot=recall(records.SNAPSHOT, SnapshotRecord),
        embedding=recall(records.EMBEDDING_PLAN, EmbeddingPlan),
        resampling=recall(records.RESAMPLING, ResamplingRecord),
        selection=recall(records.SELECTION, SelectionRecord),
        evaluation=recall(records.EVALUATION, EvaluationRecord),
        decision=recall(records.DECISION, PromotionDecision),
    )


def macro_recalls_by_strategy(results: RunResults) -> dict[str, float | None]:
    """Returns, by strategy, the macro recall on test of the strategy's best candidate by cross-validation."""
    if results.selection is None or results.evaluation is None:
        return {}
    best: dict[str, CandidateRecord] = {}
    for candidate in results.selection.candidates:  # best first
        best.setdefault(candidate.strategy, candidate)
    tested = results.evaluation.candidates
    return {
        strategy: tested[candidate.name].macro_recall if candidate.name in tested else None
        for strategy, candidate in best.items()
    }


def print_summary(
    console: Console,
    runs: Sequence[RunResults],
    *,
    planted: Sequence[Planted],
    stage_seconds: Mapping[str, float],
    pointer: ChampionPointer | None,
    access: Access,
) -> None:
    """Writes all tables.

    Args:
        console: Where to.
        runs: The runs, oldest first; classes and candidates are shown of the last.
        planted: The trouble in the batches.
        stage_seconds: Seconds by stage.
        pointer: What is in production, or None.
        access: How to look on.
    """
    console.print(intake_table(runs), quarantine_table(runs, planted))
    if runs:
        last = runs[-1]
        console.print(class_table(last), candidate_table(last, pointer), test_table(last))
        recalls = macro_recalls_by_strategy(last)
        shown = ", ".join(f"{name} {_number(value)}" for name, value in recalls.items()) or "none"
        heading = "Macro recall on test, of each strategy's best head by cross-validation"
        console.print(f"{heading}: {shown}", highlight=False)
    console.print(decision_table(runs))
    for run in runs:
        if run.decision is not None and not run.decision.acts:
            why = "; ".join(run.decision.reasons) or why_not_carried_out(run.decision)
            console.print(f"{run.day} was not promoted: {why}", markup=False)
    console.print(seconds_table(stage_seconds))
    print_access(console, pointer, access)


def print_access(console: Console, pointer: ChampionPointer | None, access: Access) -> None:
    """Writes what is in production, and where to look on."""
    lines = {
        "champion": pointer.version if pointer else "none",
        "its files": pointer.uri if pointer else "-",
        "Airflow UI": access.ui_url,
        "login": access.login,
    }
    for name, value in lines.items():
        console.print(f"{name + ':':<12}{value}", markup=False, highlight=False, soft_wrap=True)


def intake_table(runs: Iterable[RunResults]) -> Table:
    """Returns what became of the delivered images, a row a run."""
    columns = ("delivered", "accepted", "skipped", "quarantined", "embedded", "vectors reused")
    table = _table("Images by day", "day", *columns)
    for run in runs:
        intake, embedding = run.intake, run.embedding
        values: list[int | None] = [None] * len(columns)
        if intake is not None:
            values[:4] = [intake.delivered, intake.accepted, intake.skipped, sum(intake.quarantined.values())]
        if embedding is not None:
            values[4:] = [embedding.n_missing, embedding.n_stored]
        _add(table, run.day, *(_count(value) for value in values))
    return table


def quarantine_table(runs: Sequence[RunResults], planted: Sequence[Planted]) -> Table:
    """Returns the quarantined images by reason, beside those that were planted, all days together.

    Fashion-MNIST brings trouble of its own: a few train images that nearly equal test images.
    """
    table = _table("Quarantine by reason", "reason", "found", "planted")
    found = _sum(run.intake.quarantined for run in runs if run.intake)
    made = _sum({reason.value: count for reason, count in each.quarantined.items()} for each in planted)
    for reason in {**made, **found}:
        _add(table, reason, _count(found.get(reason, 0)), _count(made[reason]) if reason in made else OF_THE_DATA_SET)
    skipped = sum(run.intake.skipped for run in runs if run.intake)
    _add(table, "(skipped duplicates)", _count(skipped), _count(sum(each.duplicates for each in planted)))
    return table


def class_table(run: RunResults) -> Table:
    """Returns the images by class and split, the train rows also after SMOTE."""
    table = _table(f"Classes in the snapshot of {run.day}", "label", "train", "train after SMOTE", "validation", "test")
    counts = run.snapshot.counts if run.snapshot else {split: {} for split in SPLITS}
    smote = run.resampling.plans.get("smote") if run.resampling else None
    after = smote.counts_after if smote else {}
    for label in counts["train"]:
        train, validation, test = (counts[split].get(label) for split in SPLITS)
        _add(table, label, *(_count(value) for value in (train, after.get(label), validation, test)))
    return table


def candidate_table(run: RunResults, pointer: ChampionPointer | None) -> Table:
    """Returns the candidates side by side, best first; the mark is on the one that is in production."""
    names = ["macro recall in folds", "validation macro recall", *(f"test {_words(metric)}" for metric in COMPARED)]
    table = _table(f"Candidates of {run.day} ({MARK} champion, → challenger)", "", "candidate", *names)
    table.columns[1].justify = "left"
    table.columns[1].no_wrap = True
    is_champion = (
        pointer is not None and run.evaluation is not None and run.evaluation.challenger.version == pointer.version
    )
    tested = run.evaluation.candidates if run.evaluation else {}
    for candidate in run.selection.candidates if run.selection else ():
        is_challenger = run.selection is not None and candidate.name == run.selection.challenger
        mark = "" if not is_challenger else MARK if is_champion else "→"
        scores = candidate.cross_validation
        values = [f"{scores.mean:.3f} ± {scores.standard_error:.3f}", _metric(candidate.validation, "macro_recall")]
        values += [_metric(tested.get(candidate.name), name) for name in COMPARED]
        _add(table, mark, candidate.name, *values, style="bold" if is_challenger else "")
    return table


def test_table(run: RunResults) -> Table:
    """Returns the test metrics of the challenger beside those of the champion that it met."""
    evaluation = run.evaluation
    met = evaluation.incumbent.version if evaluation and evaluation.incumbent else "none"
    table = _table(f"Test metrics of {run.day}", "metric", "challenger", f"champion before ({met})")
    for name in SHOWN:
        challenger = evaluation.challenger.metrics if evaluation else None
        champion = evaluation.champion.metrics if evaluation and evaluation.champion else None
        _add(table, _words(name), _metric(challenger, name), _metric(champion, name))
    return table


def decision_table(runs: Iterable[RunResults]) -> Table:
    """Returns every gate of every run with its sentence."""
    table = _table("Gates", "day", "challenger", "gate", "passed", "because")
    for column in table.columns:
        column.justify = "left"
    for run in runs:
        if run.decision is None:
            _add(table, run.day, "-", "-", "-", "the run decided nothing")
            continue
        verdict = "promoted" if run.decision.acts else "not promoted"
        _add(table, run.day, run.decision.challenger, "all", verdict, "", style="bold")
        for gate in run.decision.gates:
            _add(table, "", "", gate.gate, "yes" if gate.passed else "NO", gate.sentence)
    return table


def seconds_table(stage_seconds: Mapping[str, float]) -> Table:
    """Returns the seconds by stage, all days together; those of the Dag's stages are part of `retraining`."""
    table = _table("Seconds by stage", "stage", "seconds")
    for stage, seconds in stage_seconds.items():
        _add(table, stage, f"{seconds:.1f}")
    return table


def _add(table: Table, *cells: str, style: str = "") -> None:
    """Adds a row of plain text: what stages record may hold brackets, which are markup otherwise."""
    table.add_row(*(Text(cell) for cell in cells), style=style)


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _sum(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for each in counts:
        for name, count in each.items():
            total[str(name)] = total.get(str(name), 0) + count
    return total


def _words(metric: str) -> str:
    return metric.replace("_", " ").replace("f1", "F1").replace("ece", "ECE")


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _metric(metrics: ClassificationMetrics | None, name: str) -> str:
    value: float | None = getattr(metrics, name) if metrics is not None else None
    return _number(value)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
