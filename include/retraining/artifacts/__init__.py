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
    EvaluationRecord,
    Lineage,
    ResamplingRecord,
    SelectionRecord,
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
    "EmbeddingPlan",
    "EmbeddingRecord",
    "EvaluationRecord",
    "ExtractorRecord",
    "GateResult",
    "ImageRef",
    "IntakeRecord",
    "LabelDoubt",
    "LabelDoubtsRecord",
    "Lineage",
    "Move",
    "PlannedShard",
    "PromotionDecision",
    "ResamplingRecord",
    "SPLITS",
    "SelectionRecord",
    "SnapshotRecord",
    "Split",
    "TunedExtractor",
    "VersionRecord",
    "Weights",
    "Window",
]
