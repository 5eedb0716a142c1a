"""The values that travel between stages. Each is small, frozen, and stored as JSON; rows and vectors are in tables.

The tables' columns are in `schemas.py`. `uri` fields have a scheme; `key` columns do not.
"""

from __future__ import annotations

from include.retraining.artifacts.data import (
    BaselineRegistration,
    BatchPointer,
    IntakeRecord,
    LabelDoubt,
    LabelDoubtsRecord,
    SnapshotRecord,
)
from include.retraining.artifacts.embedding import (
    EmbeddingPlan,
    EmbeddingRecord,
    ExtractorRecord,
    ImageRef,
    PlannedShard,
    TunedExtractor,
    Weights,
)
from include.retraining.artifacts.models import (
    CandidateRecord,
    ClassificationMetrics,
    ContactSheet,
    CrossValidation,
    EvaluationRecord,
    ImageLevelRecord,
    Lineage,
    PlanRecord,
    ReconstructionRecord,
    ResamplingRecord,
    SelectionRecord,
    Trial,
    VersionRecord,
)
from include.retraining.artifacts.promotion import ChampionPointer, GateResult, Move, PromotionDecision
from include.retraining.artifacts.windows import SPLITS, Split, Window

__all__ = [
    "BaselineRegistration",
    "BatchPointer",
    "CandidateRecord",
    "ChampionPointer",
    "ClassificationMetrics",
    "ContactSheet",
    "CrossValidation",
    "EmbeddingPlan",
    "EmbeddingRecord",
    "EvaluationRecord",
    "ExtractorRecord",
    "GateResult",
    "ImageLevelRecord",
    "ImageRef",
    "IntakeRecord",
    "LabelDoubt",
    "LabelDoubtsRecord",
    "Lineage",
    "Move",
    "PlanRecord",
    "PlannedShard",
    "PromotionDecision",
    "ReconstructionRecord",
    "ResamplingRecord",
    "SPLITS",
    "SelectionRecord",
    "SnapshotRecord",
    "Split",
    "Trial",
    "TunedExtractor",
    "VersionRecord",
    "Weights",
    "Window",
]
