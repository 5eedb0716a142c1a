"""The recipe of one classifier: what its YAML may say, and how a wrong one is refused.

Light on purpose: Dag files read it when they are parsed.
"""

from __future__ import annotations

from include.retraining.config.embedding import (
    EXTRACTOR_NAMES,
    Augmentation,
    EmbeddingConfig,
    ExtractorName,
    ImageDataGeneratorAugmentation,
    KerasAugmentation,
    Pooling,
    Precision,
    Runtime,
    StoredType,
)
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
from include.retraining.config.fine_tuning import EveryRuns, FineTuneConfig, Occasion, RecallFell
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
    HeadConfig,
    Strategy,
    TrainingConfig,
)

__all__ = [
    "Augmentation",
    "BalancingConfig",
    "CalibrationGate",
    "Candidate",
    "ClassifierConfig",
    "CountRule",
    "DIRECTORY",
    "DatasetConfig",
    "DriftRule",
    "EXTRACTOR_NAMES",
    "EmbeddingConfig",
    "EveryRuns",
    "ExpectationsConfig",
    "ExtractorName",
    "FineTuneConfig",
    "FloorGate",
    "FractionRule",
    "GateConfig",
    "GatedMetric",
    "Handling",
    "HeadConfig",
    "ImageDataGeneratorAugmentation",
    "ImagePolicy",
    "IntakeConfig",
    "KerasAugmentation",
    "LabelDriftRule",
    "NonInferiorGate",
    "Occasion",
    "OptionalRule",
    "Pooling",
    "Precision",
    "RangeRule",
    "RecallFell",
    "Rule",
    "Runtime",
    "ScheduleConfig",
    "StoredType",
    "Strategy",
    "TestRowsGate",
    "TrainingConfig",
    "classifier_names",
    "load_classifier",
    "parse_classifier",
]
