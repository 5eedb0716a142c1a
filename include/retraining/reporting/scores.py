"""The single numbers of a model on rows, as pages present them."""

from __future__ import annotations

from dataclasses import dataclass

from include.retraining.config import OVERALL_METRICS


@dataclass(frozen=True)
class ScoreName:
    """How a metric is presented.

    Attributes:
        name: Field of `ClassificationMetrics`.
        title: Its name for people.
        meaning: What it is the mean of, in a few words.
    """

    name: str
    title: str
    meaning: str


SCORE_NAMES = (
    ScoreName("macro_recall", "Macro recall", "mean of the recalls of all classes (balanced accuracy)"),
    ScoreName("macro_f1", "Macro F1", "mean of the F1 scores of all classes"),
    ScoreName("geometric_mean", "G-mean of recalls", "geometric mean of the recalls of all classes"),
    ScoreName("geometric_mean_macro", "G-mean, one against the rest", "mean over classes of √(recall × specificity)"),
    ScoreName("minimum_recall", "Minimum recall", "recall of the worst class"),
    ScoreName("accuracy", "Accuracy", "share of right predictions under the test rows' own class distribution"),
    ScoreName("ece", "Calibration error (ECE)", "15 bins of equal width; lower is better"),
)
TILES = ("macro_recall", "minimum_recall", "geometric_mean", "ece")
TITLES = {score.name: score.title for score in SCORE_NAMES}

SCORES = OVERALL_METRICS
"""The single numbers of `ClassificationMetrics`, in the order in which they are shown."""
