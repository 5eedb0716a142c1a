"""The page "Models" of the Airflow UI, reports and Data Docs of runs, all behind Airflow's own authentication.

Every process of Airflow executes this file, so what is heavy is imported where it is needed, in the API server alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.plugins_manager import AirflowPlugin
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, Response

from include.orchestration.settings import read_settings
from include.retraining.config import classifier_names, load_classifier
from include.retraining.errors import ConfigurationError, RetrainingError

if TYPE_CHECKING:
    from jinja2 import Environment

    from include.retraining.storage.base import ObjectStore

URL_PREFIX = "/retraining"
RUN_KEY = re.compile(r"(?!\.+$)[A-Za-z0-9._-]{1,250}")  # what `run_key` makes, without "." and ".."

PAGE = re.compile(r"(?!\.+(?:/|$))[A-Za-z0-9._+ -]{1,200}(?:/(?!\.+(?:/|$))[A-Za-z0-9._+ -]{1,200}){0,9}")
"""Path of a page inside the Data Docs: no empty part, no "." and no ".."."""

# Pages hold no script, and may show nothing that they do not carry themselves. Airflow frames them.
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def make_app(
    authenticate: Callable[..., Any],
    may_read: Callable[[Request, Any, str], bool],
    open_store: Callable[[], ObjectStore],
) -> FastAPI:
    """Builds the application.

    Args:
        authenticate: Dependency that returns the user or raises 401; every route has it, whether it names it or not.
        may_read: Tells whether a user may see the runs of a classifier.
        open_store: Returns the lake.
    """
    # The pages that FastAPI adds by itself would not have the dependency.
    app = FastAPI(dependencies=[Depends(authenticate)], docs_url=None, redoc_url=None, openapi_url=None)
    _add_routes(app, Depends(authenticate), may_read, open_store)

    @app.exception_handler(RetrainingError)
    def unavailable(_: Request, error: RetrainingError) -> HTMLResponse:
        """Says why the store gave no answer."""
        return _message(503, "The models cannot be read now", str(error))

    return app


def _add_routes(
    app: FastAPI,
    user_of: Any,
    may_read: Callable[[Request, Any, str], bool],
    open_store: Callable[[], ObjectStore],
) -> None:
    @app.get("/models")
    def models(request: Request, user: Any = user_of) -> HTMLResponse:
        """Shows every classifier that the user may see."""
        return _models_page([name for name in _known() if may_read(request, user, name)], open_store)

    @app.get("/models/{classifier}/{version}/card")
    def card(request: Request, classifier: str, version: str, user: Any = user_of) -> HTMLResponse:
        """Serves the model card of one version."""
        refusal = _refusal(classifier, lambda: may_read(request, user, classifier))
        return refusal or _card_page(classifier, version, open_store)

    @app.get("/reports/{classifier}/{run_key}")
    def report(request: Request, classifier: str, run_key: str, user: Any = user_of) -> HTMLResponse:
        """Serves the report of one run."""
        refusal = _refusal(classifier, lambda: may_read(request, user, classifier)) or _no_run(run_key)
        return refusal or _report_page(classifier, run_key, open_store)

    @app.get("/intake/{classifier}/{run_key}")
    def intake(request: Request, classifier: str, run_key: str, user: Any = user_of) -> HTMLResponse:
        """Shows what one run's intake came to, day by day."""
        refusal = _refusal(classifier, lambda: may_read(request, user, classifier)) or _no_run(run_key)
        return refusal or _intake_page(classifier, run_key, open_store)

    @app.get("/intake/{classifier}/{run_key}/{day}/{page:path}")
    def data_docs(
        request: Request, classifier: str, run_key: str, day: str, page: str, user: Any = user_of
    ) -> Response:
        """Serves a page of the Data Docs of one day of a run."""
        refusal = _refusal(classifier, lambda: may_read(request, user, classifier)) or _no_run(run_key)
        return refusal or _data_docs_page(classifier, run_key, day, page, open_store)


def _models_page(names: list[str], open_store: Callable[[], ObjectStore]) -> HTMLResponse:
    from include.retraining.reporting.overview import model_overview

    store = open_store()
    classifiers = [(_description(name), model_overview(store, name)) for name in names]
    return _page(_environment().get_template("models.html.j2").render(classifiers=classifiers))


def _refusal(classifier: str, may_read: Callable[[], bool]) -> HTMLResponse | None:
    """Returns why nothing of a classifier is shown, or None; nobody is asked about one that does not exist."""
    if classifier not in _known():
        return _message(404, "No such classifier", f"There is no classifier {classifier!r}.")
    if not may_read():
        return _message(403, "Not allowed", f"You may not see the runs of {classifier}.")
    return None


def _no_run(run_key: str) -> HTMLResponse | None:
    if RUN_KEY.fullmatch(run_key):
        return None
    return _message(404, "No such run", f"{run_key!r} is not the key of a run.")


def _card_page(classifier: str, version: str, open_store: Callable[[], ObjectStore]) -> HTMLResponse:
    from include.retraining.registry import is_version_name
    from include.retraining.reporting.cards import HTML
    from include.retraining.storage import layout

    if not is_version_name(version):
        return _message(404, "No such version", f"{version!r} is not the name of a version.")
    try:
        body = open_store().get(f"{layout.card(classifier, version)}{HTML}")
    except KeyError:
        sentence = (
            f"Version {version} of {classifier} has no model card. It is written with the report of a run that makes "
            "or meets the version, and by a rollback."
        )
        return _message(404, "No model card yet", sentence)
    return _page(body)


def _report_page(classifier: str, run_key: str, open_store: Callable[[], ObjectStore]) -> HTMLResponse:
    from include.retraining.run import REPORT
    from include.retraining.storage import layout

    try:
        body = open_store().get(f"{layout.run(classifier, run_key)}{REPORT}")
    except KeyError:
        sentence = f"Run {run_key} of {classifier} has no report. Its task publish_report writes one when the run ends."
        return _message(404, "No report yet", sentence)
    return _page(body)


def _intake_page(classifier: str, run_key: str, open_store: Callable[[], ObjectStore]) -> HTMLResponse:
    from include.retraining.intake.reasons import Reason
    from include.retraining.reporting.intake_overview import intake_overview

    days = intake_overview(open_store(), classifier, run_key)
    if not days:
        sentence = f"Run {run_key} of {classifier} has validated nothing. Its task validate_batch writes the Data Docs."
        return _message(404, "No Data Docs yet", sentence)
    meanings = {reason.value: reason.meaning for reason in Reason}
    template = _environment().get_template("intake.html.j2")
    return _page(template.render(classifier=classifier, run_key=run_key, days=days, meanings=meanings))


def _data_docs_page(
    classifier: str, run_key: str, day: str, page: str, open_store: Callable[[], ObjectStore]
) -> Response:
    from include.retraining.storage import layout
    from include.retraining.storage.publishing import content_type_of

    delivered = _day(day)
    if delivered is None or not PAGE.fullmatch(page):
        return _message(404, "No such page", f"{day}/{page} is not the address of a page.")
    try:
        body = open_store().get(f"{layout.data_docs(classifier, run_key, delivered)}{page}")
    except KeyError:
        return _message(404, "No such page", f"The Data Docs of {day} in run {run_key} have no page {page}.")
    return Response(body, media_type=content_type_of(page), headers=HEADERS)


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    return day if day.isoformat() == text else None  # Python also reads 20260105


def _known() -> list[str]:
    return classifier_names(read_settings().classifiers)


def _description(name: str) -> str:
    try:
        return load_classifier(name, read_settings().classifiers).description
    except ConfigurationError as error:
        return f"The recipe is not valid. {error}"


def _message(status: int, title: str, sentence: str) -> HTMLResponse:
    page = _environment().get_template("message.html.j2").render(title=title, sentence=sentence)
    return _page(page, status)


def _page(html: str | bytes, status: int = 200) -> HTMLResponse:
    return HTMLResponse(html, status_code=status, headers=HEADERS)


@cache
def _environment() -> Environment:
    from include.retraining.reporting.templating import make_environment

    return make_environment(Path(__file__).parent / "templates")


def may_read_runs(request: Request, user: Any, classifier: str) -> bool:
    """Tells whether Airflow lets a user see the runs of a classifier's Dag."""
    from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
    from airflow.api_fastapi.core_api.security import requires_access_dag

    from include.orchestration.runs import DAG_PREFIX

    check = requires_access_dag("GET", DagAccessEntity.RUN, param_dag_id=f"{DAG_PREFIX}{classifier}")
    try:
        check(request, user)
    except HTTPException as error:
        if error.status_code == 403:
            return False
        raise
    return True


def airflow_app() -> FastAPI:
    """Builds the application on Airflow's users and connections."""
    from airflow.api_fastapi.core_api.security import get_user

    from include.orchestration.stores import lake

    return make_app(get_user, may_read_runs, lake)


class RetrainingModelsPlugin(AirflowPlugin):
    """Registers the page in the navigation and the application that serves it."""

    name = "retraining_models"
    # Without a leading slash, the UI resolves it against its own base.
    external_views = [
        {
            "name": "Models",
            "href": f"{URL_PREFIX.lstrip('/')}/models",
            "destination": "nav",
            "url_route": "models",
            "nav_top_level": True,
        }
    ]

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]  # the base has a list, which is only read
        """The application; built when the API server asks, since other processes never do."""
        return [{"app": airflow_app(), "url_prefix": URL_PREFIX, "name": "Retraining models"}]
