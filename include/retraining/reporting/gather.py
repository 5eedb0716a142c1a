"""Everything that a run left behind, as one value; how it looks is in `report.py`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from include.retraining import registry
from include.retraining.artifacts import (
    Approval,
    EmbeddingPlan,
    EvaluationRecord,
    ExtractorRecord,
    ImageLevelRecord,
    IntakeRecord,
    LabelDoubtsRecord,
    Lineage,
    Move,
    PromotionDecision,
    ReconstructionRecord,
    ResamplingRecord,
    SelectionRecord,
    SnapshotRecord,
    VersionRecord,
    Window,
)
from include.retraining.config import GateConfig
from include.retraining.errors import ArtifactIntegrityError
from include.retraining.reporting.embedded_pictures import EmbeddedPicture, embed_pictures
from include.retraining.reporting.intake_overview import DayOverview, intake_overview
from include.retraining.run import (
    APPROVAL,
    DECISION,
    EMBEDDING_PLAN,
    EVALUATION,
    EXTRACTOR,
    EXTRACTOR_CHOICE,
    IMAGE_LEVEL,
    INTAKE,
    LABEL_DOUBTS,
    PROMOTION,
    RECONSTRUCTION,
    RESAMPLING,
    SELECTION,
    SNAPSHOT,
    VERSION,
    Run,
    run_key,
)

Record = TypeVar("Record")
Progress = Literal["done", "not due", "not reached"]


@dataclass(frozen=True)
class Stage:
    """How far a run came in one stage.

    Attributes:
        name: Name of the stage.
        progress: Whether its record is there; "not due" for a promotion that was refused, vetoed, or not asked for.
    """

    name: str
    progress: Progress


@dataclass(frozen=True)
class RunReport:
    """What is known of one run; None where the run did not come so far.

    Attributes:
        classifier: Name of the classifier.
        description: One sentence about it.
        labels: The classes, in their order.
        run_id: Name of the run.
        window: The run's window.
        gates: The gates of the recipe.
        minimum_slice_rows: Test rows that a slice needs to be judged by a gate on every value.
        intake: What became of the delivery.
        intake_days: The same by day; it is known of a delivery that was refused, too.
        snapshot: The frozen dataset.
        extractor: What makes the vectors.
        embedding: What the vectors cost.
        label_doubts: Which labels the vectors contradict.
        resampling: What each strategy that resamples does to the classes.
        reconstruction: Synthetic rows as pictures, the rarest class first; None where the recipe asks for none, too.
        pictures: Those of the reconstruction, by URI.
        image_level: The image-level CNN beside the candidates; None where the recipe asks for none, too.
        selection: The contest between the candidates.
        version: The published challenger.
        lineage: What the challenger was made from.
        evaluation: Challenger and champion on the test rows.
        decision: What the gates said.
        approval: What a person said to it; None where nobody was asked, or has not answered.
        promotion: The move of the champion pointer.
        unreadable: One sentence a record that is there and cannot be read.
    """

    classifier: str
    description: str
    labels: tuple[str, ...]
    run_id: str
    window: Window
    gates: tuple[GateConfig, ...] = ()
    minimum_slice_rows: int = 1
    intake: IntakeRecord | None = None
    intake_days: tuple[DayOverview, ...] = ()
    snapshot: SnapshotRecord | None = None
    extractor: ExtractorRecord | None = None
    embedding: EmbeddingPlan | None = None
    label_doubts: LabelDoubtsRecord | None = None
    resampling: ResamplingRecord | None = None
    reconstruction: ReconstructionRecord | None = None
    pictures: Mapping[str, EmbeddedPicture] = field(default_factory=dict)
    image_level: ImageLevelRecord | None = None
    selection: SelectionRecord | None = None
    version: VersionRecord | None = None
    lineage: Lineage | None = None
    evaluation: EvaluationRecord | None = None
    decision: PromotionDecision | None = None
    approval: Approval | None = None
    promotion: Move | None = None
    unreadable: tuple[str, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in their order, with how far the run came."""
        vetoed = self.approval is not None and not self.approval.approved
        stays = self.decision is not None and (not self.decision.acts or vetoed)
        records = {
            "intake": self.intake,
            "dataset": self.snapshot,
            "embedding": self.embedding,
            "balancing": self.resampling,
            "training": self.selection,
            "export": self.version,
            "evaluation": self.evaluation,
            "decision": self.decision,
            "promotion": self.promotion,
        }
        missing: dict[str, Progress] = {"promotion": "not due"} if stays else {}
        return tuple(
            Stage(name, "done" if record is not None else missing.get(name, "not reached"))
            for name, record in records.items()
        )

    @property
    def last_stage(self) -> str | None:
        """Name of the last stage that left its record, or None."""
        done = [stage.name for stage in self.stages if stage.progress == "done"]
        return done[-1] if done else None


def gather(run: Run) -> RunReport:
    """Reads whatever the run recorded; a broken record is named, not fatal."""
    problems: list[str] = []
    version = _recall(run, VERSION, VersionRecord, problems)
    decision = _recall(run, DECISION, PromotionDecision, problems)
    resampling = _recall(run, RESAMPLING, ResamplingRecord, problems)
    reconstruction = _reconstruction(run, resampling, problems)
    return RunReport(
        classifier=run.classifier,
        description=run.config.description,
        labels=run.config.labels,
        run_id=run.run_id,
        window=run.window,
        gates=run.config.gates,
        minimum_slice_rows=run.config.evaluation.minimum_slice_rows,
        intake=_recall(run, INTAKE, IntakeRecord, problems),
        intake_days=_intake_days(run, problems),
        snapshot=_recall(run, SNAPSHOT, SnapshotRecord, problems),
        extractor=_extractor(run, problems),
        embedding=_recall(run, EMBEDDING_PLAN, EmbeddingPlan, problems),
        label_doubts=_recall(run, LABEL_DOUBTS, LabelDoubtsRecord, problems),
        resampling=resampling,
        reconstruction=reconstruction,
        pictures=_pictures(run, reconstruction),
        image_level=_recall(run, IMAGE_LEVEL, ImageLevelRecord, problems),
        selection=_recall(run, SELECTION, SelectionRecord, problems),
        version=version,
        lineage=_lineage(run, version, problems),
        evaluation=_recall(run, EVALUATION, EvaluationRecord, problems),
        decision=decision,
        approval=_approval_of(decision, _recall(run, APPROVAL, Approval, problems)),
        promotion=_move_of(decision, _recall(run, PROMOTION, Move, problems)),
        unreadable=tuple(problems),
    )


def _recall(run: Run, name: str, kind: type[Record], problems: list[str]) -> Record | None:
    try:
        return run.recall_if_any(name, kind)
    except ArtifactIntegrityError as error:
        problems.append(str(error))
        return None


def _extractor(run: Run, problems: list[str]) -> ExtractorRecord | None:
    """Returns the fine-tuned extractor where this run made one, else the one that was chosen."""
    tuned = _recall(run, EXTRACTOR, ExtractorRecord, problems)
    return tuned if tuned is not None else _recall(run, EXTRACTOR_CHOICE, ExtractorRecord, problems)


def _intake_days(run: Run, problems: list[str]) -> tuple[DayOverview, ...]:
    try:
        return intake_overview(run.store, run.classifier, run_key(run.run_id))
    except ArtifactIntegrityError as error:
        problems.append(str(error))
        return ()


def _lineage(run: Run, version: VersionRecord | None, problems: list[str]) -> Lineage | None:
    if version is None:
        return None
    try:
        return registry.read_version(run.store, run.classifier, version.name).lineage
    except ArtifactIntegrityError as error:
        problems.append(str(error))
        return None


def _reconstruction(run: Run, resampling: ResamplingRecord | None, problems: list[str]) -> ReconstructionRecord | None:
    """Sorts the sheets by the size of their class: if not all fit on the page, those of rare classes do."""
    record = _recall(run, RECONSTRUCTION, ReconstructionRecord, problems)
    plan = resampling.plans.get(record.strategy) if record and resampling else None
    if record is None or plan is None:
        return record
    rarest_first = sorted(record.sheets, key=lambda sheet: plan.counts_before.get(sheet.label, 0))
    return dataclasses.replace(record, sheets=tuple(rarest_first))


def _pictures(run: Run, reconstruction: ReconstructionRecord | None) -> dict[str, EmbeddedPicture]:
    if reconstruction is None:
        return {}
    sheets = [sheet.uri for sheet in reconstruction.sheets]
    return embed_pictures(run.store, [reconstruction.projection_uri, *sheets])


def _move_of(decision: PromotionDecision | None, move: Move | None) -> Move | None:
    """Drops the move of an earlier attempt of the same run, whose decision was another."""
    if decision is None or move is None or not decision.acts or move.resulting != decision.challenger:
        return None
    return move


def _approval_of(decision: PromotionDecision | None, approval: Approval | None) -> Approval | None:
    """Drops what was said about the challenger of an earlier attempt."""
    if decision is None or approval is None or approval.challenger != decision.challenger:
        return None
    return approval
