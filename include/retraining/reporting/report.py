"""Renders the report of a run and puts it beside the run's records. It works for every run, however far it came."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from include.retraining.artifacts import ClassificationMetrics
from include.retraining.intake.reasons import Reason
from include.retraining.reporting.balance import PlanView, plan_views
from include.retraining.reporting.contest import Contest, contest_of
from include.retraining.reporting.gather import RunReport, gather
from include.retraining.reporting.headline import headline_of
from include.retraining.reporting.metrics import SCORES, metrics_json
from include.retraining.reporting.plots import confusion_cells, share_bars
from include.retraining.reporting.templating import make_environment
from include.retraining.run import METRICS, REPORT, Run, run_key
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import content_type_of

logger = logging.getLogger(__name__)


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


SCORE_NAMES = tuple(
    ScoreName(name, title, meaning)
    for name, (title, meaning) in zip(
        SCORES,
        (
            ("Macro recall", "mean of the recalls of all classes (balanced accuracy)"),
            ("Macro F1", "mean of the F1 scores of all classes"),
            ("G-mean of recalls", "geometric mean of the recalls of all classes"),
            ("G-mean, one against the rest", "mean over classes of √(recall × specificity)"),
            ("Minimum recall", "recall of the worst class"),
            ("Accuracy", "share of right predictions under the test rows' own class distribution"),
            ("Calibration error (ECE)", "15 bins of equal width; lower is better"),
        ),
        strict=True,
    )
)
TILES = ("macro_recall", "minimum_recall", "geometric_mean", "ece")


def publish_report(run: Run) -> str:
    """Writes `report.html` and `metrics.json` of a run, whatever it recorded; returns the report's URI.

    Side effects:
        Both objects are overwritten: the same records give the same bytes.
    """
    report = gather(run)
    for name, body in ((METRICS, metrics_json(report)), (REPORT, render_report(report).encode())):
        run.store.put(f"{run.prefix}{name}", body, content_type=content_type_of(name))
    uri = uri_of(run.store, f"{run.prefix}{REPORT}")
    logger.info("report published uri=%s last_stage=%s", uri, report.last_stage)
    return uri


def render_report(report: RunReport) -> str:
    """Returns the report as one HTML page that loads nothing from elsewhere."""
    evaluation = report.evaluation
    recalls = [metrics.recall for metrics in _models(report)]
    template = make_environment().get_template("report.html.j2")
    return template.render(
        report=report,
        headline=headline_of(report),
        meanings={reason.value: reason.meaning for reason in Reason},
        intake_pages=f"../../intake/{report.classifier}/{run_key(report.run_id)}",
        score_names=SCORE_NAMES,
        tiles=[score for score in SCORE_NAMES if score.name in TILES],
        plans=_plans(report),
        contest=_contest(report),
        recall_plot=share_bars(report.labels, *recalls) if recalls else None,
        confusion=evaluation and confusion_cells(evaluation.challenger),
    )


def _models(report: RunReport) -> list[ClassificationMetrics]:
    """Returns the challenger's metrics, then the champion's if there is one."""
    if report.evaluation is None:
        return []
    both = (report.evaluation.challenger, report.evaluation.champion)
    return [metrics for metrics in both if metrics is not None]


def _plans(report: RunReport) -> list[PlanView]:
    if report.resampling is None:
        return []
    chosen = report.selection.winner.strategy if report.selection else None
    return plan_views(report.labels, report.resampling.plans, chosen)


def _contest(report: RunReport) -> Contest | None:
    if report.selection is None:
        return None
    tested = report.evaluation.candidates if report.evaluation else {}
    return contest_of(report.selection, tested, report.image_level)
