"""What balancing, training and evaluation leave behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class ResamplingRecord:
    """A resampling plan and what it does to the classes.

    Attributes:
        uri: Its prefix.
        digest: Content digest.
        counts_before: Train images by label.
        counts_after: Train rows by label, synthetic ones included.
        neighbours: The k that was used, by label; 0 where images are repeated since there is only one.
        warnings: One sentence a class whose k had to be adapted.
    """

    uri: str
    digest: str
    counts_before: Mapping[str, int]
    counts_after: Mapping[str, int]
    neighbours: Mapping[str, int]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ClassificationMetrics:
    """How well predictions match labels. None where a value is undefined, which no gate lets pass.

    Attributes:
        n_rows: Rows scored, by label.
        recall: Recall by label; None for a label without rows.
        precision: Precision by label; None for a label that is never predicted.
        macro_recall: Mean of the recalls (balanced accuracy, ACSA), in [0, 1].
        macro_f1: Mean of the F1 scores.
        geometric_mean: Geometric mean of the recalls.
        geometric_mean_macro: Square root of mean recall × mean specificity, each class against the rest
            (imbalanced-learn's `geometric_mean_score(average="macro")`).
        minimum_recall: Smallest recall of a class.
        accuracy: Share of right predictions, under the test rows' own class distribution.
        ece: Expected calibration error with 15 equal-width bins, in [0, 1].
        confusion: Rows by true (outer) and predicted (inner) label, in label order.
    """

    n_rows: Mapping[str, int]
    recall: Mapping[str, float | None]
    precision: Mapping[str, float | None]
    macro_recall: float | None
    macro_f1: float | None
    geometric_mean: float | None
    geometric_mean_macro: float | None
    minimum_recall: float | None
    accuracy: float | None
    ece: float | None
    confusion: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class CandidateRecord:
    """A trained candidate.

    Attributes:
        name: `<strategy> · <head>`.
        strategy: How the imbalance was met.
        head: Name of the head.
        uri: Prefix of its weights.
        n_train_rows: Rows trained on, synthetic ones included.
        n_parameters: Size of the head.
        best_epoch: Epoch whose weights were kept, from 1.
        loss: Mean training loss by epoch.
        validation_macro_recall: Macro recall on validation by epoch.
        validation: Metrics of the kept weights on the validation split.
    """

    name: str
    strategy: str
    head: str
    uri: str
    n_train_rows: int
    n_parameters: int
    best_epoch: int
    loss: tuple[float, ...]
    validation_macro_recall: tuple[float, ...]
    validation: ClassificationMetrics


@dataclass(frozen=True)
class SelectionRecord:
    """The contest between the candidates, decided on the validation split alone.

    Attributes:
        challenger: Name of the winner.
        candidates: All of them, best first.
    """

    challenger: str
    candidates: tuple[CandidateRecord, ...]


@dataclass(frozen=True)
class Lineage:
    """Where a model version comes from. Nothing in it names the run that made it: same inputs, same version.

    Attributes:
        classifier: Name of the classifier.
        window_end: End of its data window.
        snapshot_digest: Frozen dataset.
        resampling_digest: Resampling plan; empty where the strategy uses none.
        extractor_fingerprint: What made the vectors.
        candidate: Name of the winning candidate.
        code_digest: Digest of the library's source files.
        config_digest: Digest of the recipe.
        versions: Versions of the libraries that change numbers.
    """

    classifier: str
    window_end: datetime
    snapshot_digest: str
    resampling_digest: str
    extractor_fingerprint: str
    candidate: str
    code_digest: str
    config_digest: str
    versions: Mapping[str, str]


@dataclass(frozen=True)
class VersionRecord:
    """A published model version.

    Attributes:
        name: `<window end>-<digest>`.
        uri: Its prefix.
        digest: Digest in its manifest.
        largest_difference: Largest difference between the probabilities of the exported model, loaded back from its
            bytes, and those of the candidate on stored vectors.
    """

    name: str
    uri: str
    digest: str
    largest_difference: float


@dataclass(frozen=True)
class EvaluationRecord:
    """Challenger and champion on the same test rows in the same run.

    Attributes:
        version: The challenger.
        window_end: End of the challenger's data window.
        test_digest: Digest of the test rows: image ids and labels.
        challenger: Its metrics.
        champion_version: The champion, or None where there is none.
        champion_window_end: End of the champion's data window.
        champion: Its metrics on the same rows.
        is_same_model: Whether both are one model, byte for byte: trained again from the same data.
        candidates: Test metrics of every candidate by name, for the report only.
    """

    version: str
    window_end: datetime
    test_digest: str
    challenger: ClassificationMetrics
    champion_version: str | None
    champion_window_end: datetime | None
    champion: ClassificationMetrics | None
    is_same_model: bool
    candidates: Mapping[str, ClassificationMetrics]
