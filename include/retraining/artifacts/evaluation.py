"""What evaluation leaves behind: challenger and champion on the same test rows, in numbers that gates can ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from include.retraining.artifacts.models import ClassificationMetrics


@dataclass(frozen=True)
class PriorMetrics:
    """What depends on how common the classes are, under a given class distribution. None where undefined.

    Attributes:
        prior: Share of each label.
        accuracy: Share of right predictions.
        macro_f1: Mean of the F1 scores.
        ece: Expected calibration error, 15 bins.
        precision: By label.
    """

    prior: Mapping[str, float]
    accuracy: float | None
    macro_f1: float | None
    ece: float | None
    precision: Mapping[str, float | None]


@dataclass(frozen=True)
class ReliabilityBin:
    """Test rows of like confidence.

    Attributes:
        lower: Least probability of the bin, itself outside.
        upper: Largest, itself inside.
        n_rows: Rows in it.
        confidence: Mean of their largest probabilities; None where it is empty.
        accuracy: Share of them whose most probable class is right; None where it is empty.
    """

    lower: float
    upper: float
    n_rows: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class SliceMetrics:
    """Metrics of the test rows that have one value in a column. None where undefined.

    Attributes:
        column: Of the manifests, or `group`, or `date`.
        value: Their value; empty for rows without one.
        n_rows: Rows by label; zeros included.
        macro_recall: Mean recall of the labels that have rows.
        minimum_recall: Smallest recall of a label that has rows.
        accuracy: Share of right predictions.
        ece: Expected calibration error, 15 bins.
        recall: By label; None for a label without rows.
    """

    column: str
    value: str
    n_rows: Mapping[str, int]
    macro_recall: float | None
    minimum_recall: float | None
    accuracy: float | None
    ece: float | None
    recall: Mapping[str, float | None]

    @property
    def name(self) -> str:
        """The slice as a gate names it: `column=value`."""
        return f"{self.column}={self.value}"

    @property
    def total(self) -> int:
        """Rows of all labels."""
        return sum(self.n_rows.values())


@dataclass(frozen=True)
class ScoredVersion:
    """How one version does on the test rows, loaded from the bytes that would be served.

    Attributes:
        version: Its name.
        digest: Digest of its manifest, which the bytes were compared with.
        window_end: End of its data window.
        metrics: Under the test rows' own class distribution.
        deployment: Under that of deployment; None where the recipe names none.
        reliability: 15 bins of equal width.
        slices: By column in the recipe's order, largest slice first.
    """

    version: str
    digest: str
    window_end: datetime
    metrics: ClassificationMetrics
    deployment: PriorMetrics | None
    reliability: tuple[ReliabilityBin, ...]
    slices: tuple[SliceMetrics, ...]


@dataclass(frozen=True)
class Incumbent:
    """The champion that was met.

    Attributes:
        version: Its name.
        digest: Digest that the pointer names.
        window_end: End of its data window.
        problem: Why it cannot be scored; empty where it was.
    """

    version: str
    digest: str
    window_end: datetime
    problem: str


@dataclass(frozen=True)
class Bound:
    """One-sided confidence bounds.

    Attributes:
        confidence: Of each bound alone, in (0.5, 1).
        lower: Lower bound; None where undefined.
        upper: Upper bound.
    """

    confidence: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Difference:
    """Challenger less champion, with bounds from a paired bootstrap that is stratified by class.

    Attributes:
        metric: As a gate names it, such as `macro_recall` or `recall:coat`.
        slice: `column=value`; empty over all test rows.
        prior: `test` or `deployment`.
        estimate: On the test rows themselves; None where undefined.
        standard_error: Standard deviation over resamples.
        bounds: For each of the confidences that gates may ask for, ascending.
    """

    metric: str
    slice: str
    prior: str
    estimate: float | None
    standard_error: float | None
    bounds: tuple[Bound, ...]


@dataclass(frozen=True)
class ChanceTest:
    """Whether predictions have to do with labels: the metric against the same under permuted labels.

    Attributes:
        metric: `macro_recall`.
        observed: On the test rows; None where undefined.
        null_mean: Mean under permuted labels.
        null_95: Their 95 % quantile.
        p_value: Share of permutations, the observed one counted among them, that reach the observed value.
        permutations: How many.
    """

    metric: str
    observed: float | None
    null_mean: float | None
    null_95: float | None
    p_value: float | None
    permutations: int


@dataclass(frozen=True)
class ServingCost:
    """What serving a version takes.

    Attributes:
        size_bytes: All its files together.
        median_milliseconds: Of one call with one image, from the bytes of a file to a label, on a CPU.
        slow_milliseconds: 95 % of the calls are faster.
        calls: Calls measured.
    """

    size_bytes: int
    median_milliseconds: float
    slow_milliseconds: float
    calls: int


@dataclass(frozen=True)
class EvaluationRecord:
    """Challenger and champion on the same test rows in the same run.

    Attributes:
        window_end: End of the challenger's data window.
        test_digest: Digest of the test rows: image ids and labels.
        challenger: How it does.
        incumbent: The champion that it meets; None where there is none.
        champion: How that does on the same rows; None also where it cannot be scored.
        is_same_model: Whether both are one model, byte for byte: trained again from the same data.
        differences: Challenger less champion; empty without a champion that can be scored.
        chance: The challenger against permuted labels.
        cost: What serving the challenger takes.
        candidates: Test metrics of every candidate by name, for the report only.
    """

    window_end: datetime
    test_digest: str
    challenger: ScoredVersion
    incumbent: Incumbent | None
    champion: ScoredVersion | None
    is_same_model: bool
    differences: tuple[Difference, ...]
    chance: ChanceTest
    cost: ServingCost
    candidates: Mapping[str, ClassificationMetrics]
