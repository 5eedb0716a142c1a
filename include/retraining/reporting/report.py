"""Renders the report of a run and puts it beside the run's records. It works for every run, however far it came."""

from __future__ import annotations

import logging

from include.retraining.intake.reasons import Reason
from include.retraining.reporting.balance import PlanView, plan_views
from include.retraining.reporting.cards import publish_cards
from include.retraining.reporting.comparison import Comparison, comparison_of
from include.retraining.reporting.contest import Contest, contest_of
from include.retraining.reporting.gate_table import gate_table_of
from include.retraining.reporting.gather import RunReport, gather
from include.retraining.reporting.headline import headline_of
from include.retraining.reporting.metrics import metrics_json
from include.retraining.reporting.scores import TILES
from include.retraining.reporting.templating import make_environment
from include.retraining.run import METRICS, REPORT, Run, run_key
from include.retraining.storage.base import uri_of
from include.retraining.storage.publishing import content_type_of

logger = logging.getLogger(__name__)


def publish_report(run: Run) -> str:
    """Writes `report.html` and `metrics.json` of a run, whatever it recorded; returns the report's URI.

    Side effects:
        Both objects are overwritten: the same records give the same bytes. So are the model cards of the run's version
        and of the champion that it met, once the run came so far.
    """
    report = gather(run)
    for name, body in ((METRICS, metrics_json(report)), (REPORT, render_report(report).encode())):
        run.store.put(f"{run.prefix}{name}", body, content_type=content_type_of(name))
    uri = uri_of(run.store, f"{run.prefix}{REPORT}")
    logger.info("report published uri=%s last_stage=%s", uri, report.last_stage)
    publish_cards(run.config, run.store, _told_about(report))
    return uri


def render_report(report: RunReport) -> str:
    """Returns the report as one HTML page that loads nothing from elsewhere."""
    template = make_environment().get_template("report.html.j2")
    return template.render(
        report=report,
        headline=headline_of(report),
        meanings={reason.value: reason.meaning for reason in Reason},
        intake_pages=f"../../intake/{report.classifier}/{run_key(report.run_id)}",
        card_pages=f"../../models/{report.classifier}",
        tiles=TILES,
        plans=_plans(report),
        contest=_contest(report),
        comparison=_comparison(report),
        gates=report.decision and gate_table_of(report.decision),
    )


def _told_about(report: RunReport) -> list[str]:
    """Returns the versions of which a run has something new to tell."""
    incumbent = report.evaluation.incumbent if report.evaluation else None
    names = (report.version.name if report.version else None, incumbent.version if incumbent else None)
    return list(dict.fromkeys(name for name in names if name))


def _comparison(report: RunReport) -> Comparison | None:
    if report.evaluation is None:
        return None
    return comparison_of(report.evaluation, report.labels, report.gates, minimum_slice_rows=report.minimum_slice_rows)


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
