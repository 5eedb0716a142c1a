"""The recipe of one classifier: what its YAML may say, and how a wrong one is refused.

Light on purpose: Dag files read it when they are parsed.
"""

from __future__ import annotations

from include.retraining.config.expectations import (
    CountRule,
    DriftRule,
    ExpectationsConfig,
    FractionRule,
    LabelDriftRule,
    OptionalRule,
    RangeRule,
    Rule,
)
from include.retraining.config.gates import (
    CalibrationGate,
    FloorGate,
    GateConfig,
    GatedMetric,
    NonInferiorGate,
    TestRowsGate,
)
from include.retraining.config.intake import Handling, ImagePolicy, IntakeConfig
from include.retraining.config.recipe import (
    DIRECTORY,
    ClassifierConfig,
    ScheduleConfig,
    classifier_names,
    load_classifier,
    parse_classifier,
)
from include.retraining.config.training import (
    BalancingConfig,
    Candidate,
    DatasetConfig,
    EmbeddingConfig,
    HeadConfig,
    Strategy,
    TrainingConfig,
)

__all__ = [
    "BalancingConfig",
    "CalibrationGate",
    "Candidate",
    "ClassifierConfig",
    "CountRule",
    "DIRECTORY",
    "DatasetConfig",
    "DriftRule",
    "EmbeddingConfig",
    "ExpectationsConfig",
    "FloorGate",
    "FractionRule",
    "GateConfig",
    "GatedMetric",
    "Handling",
    "HeadConfig",
    "ImagePolicy",
    "IntakeConfig",
    "LabelDriftRule",
    "NonInferiorGate",
    "OptionalRule",
    "RangeRule",
    "Rule",
    "ScheduleConfig",
    "Strategy",
    "TestRowsGate",
    "TrainingConfig",
    "classifier_names",
    "load_classifier",
    "parse_classifier",
]
