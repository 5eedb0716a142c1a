"""What balancing and training leave behind, and how well predictions match labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class PlanRecord:
    """One strategy's resampling plan and what it does to the classes.

    Attributes:
        strategy: Name of the strategy.
        uri: Prefix of the plan.
        digest: Content digest.
        counts_before: Train rows by label.
        counts_asked: Rows by label that the strategy's `sampling_strategy` asks for.
        counts_after: Train rows by label once synthetic rows are added and cleaned rows are left out.
        neighbours: The k that was used, by label; 0 where images are repeated since there is only one.
        noise_share: Share of the synthetic rows, by label, most of whose nearest train rows are of another class; None
            for a label without synthetic rows.
        warnings: One sentence a class whose k had to be adapted, which did not reach its count, or was filled by rule.
    """

    strategy: str
    uri: str
    digest: str
    counts_before: Mapping[str, int]
    counts_asked: Mapping[str, int]
    counts_after: Mapping[str, int]
    neighbours: Mapping[str, int]
    noise_share: Mapping[str, float | None]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class ResamplingRecord:
    """The plans of a run, one a strategy that resamples.

    Attributes:
        plans: By name of the strategy, in the recipe's order; empty where none resamples.
    """

    plans: Mapping[str, PlanRecord]


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
class CrossValidation:
    """How a candidate did on train and validation rows that were left out of its fitting, fold by fold.

    Attributes:
        scores: Macro recall by fold.
        mean: Of the scores.
        standard_error: Of the mean: standard deviation of the scores divided by the root of their number.
    """

    scores: tuple[float, ...]
    mean: float
    standard_error: float


@dataclass(frozen=True)
class Trial:
    """Settings that a search tried.

    Attributes:
        settings: What differed from the head's own.
        mean: Macro recall, mean over the folds.
    """

    settings: Mapping[str, float]
    mean: float


@dataclass(frozen=True)
class CandidateRecord:
    """A trained candidate.

    Attributes:
        name: `<strategy> · <head>`, then the point of the grid.
        strategy: Name of the strategy.
        kind: What the strategy does, as `config/strategies.py` names it.
        head: Name of the head.
        settings: Weight decay, dropout and learning rate that it was trained with.
        uri: Prefix of its weights.
        n_train_rows: Rows trained on, synthetic ones included.
        n_parameters: Size of the head.
        best_epoch: Epoch whose weights were kept, from 1.
        loss: Mean training loss by epoch.
        validation_macro_recall: Macro recall on validation by epoch.
        validation: Metrics of the kept weights on the validation split, calibrated.
        cross_validation: What it is chosen by.
        temperature: What its logits are divided by; 1 where nothing was fitted.
        thresholds: By label, where they were fitted; a row is of the class whose probability exceeds its threshold by
            the largest factor.
        trials: What a search tried, best first; empty where there was none.
    """

    name: str
    strategy: str
    kind: str
    head: str
    settings: Mapping[str, float]
    uri: str
    n_train_rows: int
    n_parameters: int
    best_epoch: int
    loss: tuple[float, ...]
    validation_macro_recall: tuple[float, ...]
    validation: ClassificationMetrics
    cross_validation: CrossValidation
    temperature: float
    thresholds: Mapping[str, float] | None
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class SelectionRecord:
    """The contest between the candidates, decided by cross-validation on train and validation rows.

    Attributes:
        challenger: Name of the winner.
        best: Name of the candidate with the highest mean.
        rule: The rule of the recipe.
        bound: Mean that a candidate had to reach: the highest, less its standard error where the rule says so.
        because: One sentence for people.
        candidates: All of them, highest mean first.
    """

    challenger: str
    best: str
    rule: str
    bound: float
    because: str
    candidates: tuple[CandidateRecord, ...]

    @property
    def winner(self) -> CandidateRecord:
        """The challenger's record."""
        return next(candidate for candidate in self.candidates if candidate.name == self.challenger)


@dataclass(frozen=True)
class ContactSheet:
    """Pictures of one class: parents, what lies between them, and the nearest real image.

    Attributes:
        label: The class.
        uri: Of the PNG file.
        n_rows: Synthetic rows that it shows.
    """

    label: str
    uri: str
    n_rows: int


@dataclass(frozen=True)
class ReconstructionRecord:
    """Synthetic vectors as pictures.

    Attributes:
        strategy: Name of the strategy whose plan was decoded.
        decoder_uri: Prefix of the decoder.
        decoder_error: Mean absolute error of decoded validation images, of pixels in [0, 1].
        mean_image_error: The same of showing every image's class mean: what the decoder must beat.
        sheets: One a class with synthetic rows.
        projection_uri: Of the picture of real and synthetic rows in two dimensions.
        explained_variance: Share of the variance of the train vectors that its two axes show.
    """

    strategy: str
    decoder_uri: str
    decoder_error: float
    mean_image_error: float
    sheets: tuple[ContactSheet, ...]
    projection_uri: str
    explained_variance: float


@dataclass(frozen=True)
class ImageLevelRecord:
    """The image-level CNN of `mode: images`, for comparison; it is never promoted.

    Attributes:
        strategy: Name of the strategy whose plan balanced its images.
        source: Where the pictures of synthetic rows come from: `decoded` or `nearest_real`.
        n_train_images: Images trained on, pictures of synthetic rows included.
        n_parameters: Size of the network.
        best_epoch: Epoch whose weights were kept, from 1.
        loss: Mean training loss by epoch.
        validation_macro_recall: By epoch.
        validation: Metrics of the kept weights on the validation split.
        test: The same on the test split, for information; None where there is no test row.
    """

    strategy: str
    source: str
    n_train_images: int
    n_parameters: int
    best_epoch: int
    loss: tuple[float, ...]
    validation_macro_recall: tuple[float, ...]
    validation: ClassificationMetrics
    test: ClassificationMetrics | None


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
        environment_digest: Digest of the lock of the whole environment; empty where there is none beside the code.
        seeds: Of balancing, training and evaluation.
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
    # With defaults: versions hold lineages from before these were kept.
    environment_digest: str = ""
    seeds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Provenance:
    """The first run that made a version. Not part of its identity: another run with the same inputs finds it made.

    Attributes:
        run_id: The run.
        started_at: When it started.
        by: Who started it.
    """

    run_id: str
    started_at: datetime
    by: str


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
