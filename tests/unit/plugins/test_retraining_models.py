from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi import FastAPI, Request

from include.retraining import journal
from include.retraining.errors import StorageUnavailableError
from include.retraining.reporting.cards import publish_cards
from include.retraining.reporting.report import publish_report
from include.retraining.storage import layout
from include.retraining.storage.memory import InMemoryStore
from plugins.retraining_models import RetrainingModelsPlugin, airflow_app, make_app, may_read_runs
from tests.builders import CLASSIFIER, RUN_ID, make_config, make_intake, make_run
from tests.promotions import crown, make_decision, make_move, publish_made_version
from tests.unit.retraining.reporting.judged import keep_judged_day

REPOSITORY = Path(__file__).parents[3]
RUN_KEY = "scheduled__2026-01-03T02-00-00-00-00"
VERSION = "20260103T0200-aaaaaaaaaaaa"
HOSTILE = "<img src=x onerror=alert(1)>"

Get = Callable[[str], Any]
Client = Callable[[FastAPI], Get]


@pytest.fixture
def client() -> Iterator[Client]:
    """Returns a function that makes a client of an application, as Airflow mounts it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Starlette asks for another HTTP library than Airflow installs
        from fastapi.testclient import TestClient

    def make(app: FastAPI) -> Get:
        root = FastAPI()
        root.mount("/retraining", app)
        return TestClient(root, raise_server_exceptions=False).get

    return make


@pytest.fixture(autouse=True)
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classifiers; a page must not depend on those that the repository ships."""
    for name in (CLASSIFIER, "birds"):
        document = make_config(name, description=f"All about {name}.").model_dump(mode="json")
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path))
    return tmp_path


def app_over(
    store: InMemoryStore, may_read: Callable[[Request, Any, str], bool] = lambda request, user, name: True
) -> FastAPI:
    return make_app(lambda: "somebody", may_read, lambda: store)


def anonymous_app() -> FastAPI:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above: Airflow's own import
        return airflow_app()


def test_anonymous_requests_get_401_on_every_route(client: Client) -> None:
    app = anonymous_app()
    get = client(app)
    paths = [_filled(route.path) for route in app.routes]  # type: ignore[attr-defined]

    answers = {path: get(f"/retraining{path}").status_code for path in paths}

    assert answers == {
        "/models": 401,
        f"/models/{CLASSIFIER}/{VERSION}/card": 401,
        f"/reports/{CLASSIFIER}/{RUN_KEY}": 401,
        f"/intake/{CLASSIFIER}/{RUN_KEY}": 401,
        f"/intake/{CLASSIFIER}/{RUN_KEY}/2026-01-02/index.html": 401,
    }


def _filled(path: str) -> str:
    values = {"classifier": CLASSIFIER, "run_key": RUN_KEY, "day": "2026-01-02", "page:path": "index.html"}
    values["version"] = VERSION
    for name, value in values.items():
        path = path.replace(f"{{{name}}}", value)
    return path


@pytest.mark.parametrize("path", ["/docs", "/redoc", "/openapi.json"])
def test_fastapi_adds_no_page_of_its_own(client: Client, path: str) -> None:
    assert client(app_over(InMemoryStore()))(f"/retraining{path}").status_code == 404


def test_the_page_shows_the_champion_and_the_reasons_of_the_last_decision(client: Client) -> None:
    store = InMemoryStore()
    version = publish_made_version(store)
    crown(store, version)
    journal.append(store, CLASSIFIER, make_decision(challenger=version.name))
    journal.append(store, CLASSIFIER, make_move(version.name))
    journal.append(store, CLASSIFIER, make_decision("recall fell too far", champion=version.name, run_id="later"))

    answer = client(app_over(store))("/retraining/models")

    assert answer.status_code == 200
    assert answer.text.count(version.name) >= 3
    assert "recall fell too far" in answer.text
    assert "✕ failed" in answer.text
    assert "✓ champion" in answer.text
    assert f'href="reports/{CLASSIFIER}/{RUN_KEY}"' in answer.text
    assert f'href="reports/{CLASSIFIER}/later"' in answer.text


def test_an_empty_registry_is_told_and_not_an_error(client: Client) -> None:
    answer = client(app_over(InMemoryStore()))("/retraining/models")

    assert answer.status_code == 200
    assert answer.text.count("No model is in production yet.") == 2


def test_a_broken_champion_and_a_broken_version_are_shown_as_such(client: Client) -> None:
    store = InMemoryStore()
    version = publish_made_version(store)
    crown(store, version)
    store.delete(f"{layout.version(CLASSIFIER, version.name)}lineage.json")

    text = client(app_over(store))("/retraining/models").text

    assert "not whole" in text
    assert "lineage.json is missing." in text
    assert "✕ broken" in text


def test_airflow_is_asked_about_the_runs_of_the_dag(monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as above
        from airflow.api_fastapi.core_api import security

    asked = []

    class AuthManager:
        def is_authorized_dag(self, *, method: str, access_entity: Any, details: Any, user: str) -> bool:
            asked.append((method, access_entity.name, details.id, user))
            return details.id == "retrain_birds"

    monkeypatch.setattr(security, "get_auth_manager", AuthManager)
    monkeypatch.setattr(security.DagModel, "get_team_name", lambda dag_id: None)  # a query to Airflow's database

    answers = [may_read_runs(Request({"type": "http"}), "somebody", name) for name in ("birds", CLASSIFIER)]

    assert answers == [True, False]
    assert asked == [("GET", "RUN", f"retrain_{name}", "somebody") for name in ("birds", CLASSIFIER)]


def test_a_classifier_that_the_user_may_not_see_is_not_there(client: Client) -> None:
    app = app_over(InMemoryStore(), may_read=lambda request, user, name: name == "birds")
    get = client(app)

    page = get("/retraining/models").text

    assert "birds" in page
    assert CLASSIFIER not in page
    assert get(f"/retraining/models/{CLASSIFIER}/{VERSION}/card").status_code == 403
    for path in ("reports/{}/{}", "intake/{}/{}", "intake/{}/{}/2026-01-02/index.html"):
        assert get(f"/retraining/{path.format(CLASSIFIER, RUN_KEY)}").status_code == 403


def test_a_report_is_served_as_it_was_written_and_can_load_nothing(client: Client) -> None:
    store = InMemoryStore()
    run = make_run(store)
    run.record("intake.json", make_intake())
    publish_report(run)

    answer = client(app_over(store))(f"/retraining/reports/{CLASSIFIER}/{RUN_KEY}")

    assert answer.status_code == 200
    assert answer.content == store.get(f"{run.prefix}report.html")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert RUN_ID.startswith("scheduled__")


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(f"unknown/{RUN_KEY}", id="unknown classifier"),
        pytest.param(f"{CLASSIFIER}/{RUN_KEY}", id="run without a report"),
        pytest.param(f"{CLASSIFIER}/..", id="parent"),
        pytest.param(f"{CLASSIFIER}/%2e%2e", id="encoded parent"),
        pytest.param(f"{CLASSIFIER}/a%2Fb", id="encoded slash"),
        pytest.param(f"..%2F{CLASSIFIER}/a", id="classifier that leads out"),
        pytest.param(f"{CLASSIFIER}/%3Cscript%3E", id="markup"),
        pytest.param(f"{CLASSIFIER}/{'a' * 300}", id="too long"),
    ],
)
def test_what_is_no_report_is_404_and_reads_nothing_else(client: Client, path: str) -> None:
    store = InMemoryStore()
    store.put(f"runs/{CLASSIFIER}/report.html", b"outside of any run")
    store.put("runs/report.html", b"outside of any classifier")
    store.put(f"runs/{CLASSIFIER}/a/b/report.html", b"deeper than a run")

    answer = client(app_over(store))(f"/retraining/reports/{path}")

    assert answer.status_code == 404
    assert "outside" not in answer.text
    assert "deeper" not in answer.text
    assert "<script>" not in answer.text


def test_a_missing_report_says_which_task_writes_it(client: Client) -> None:
    answer = client(app_over(InMemoryStore()))(f"/retraining/reports/{CLASSIFIER}/{RUN_KEY}")

    assert f"Run {RUN_KEY} of {CLASSIFIER} has no report." in answer.text
    assert "publish_report" in answer.text


def test_the_page_tells_what_was_in_production_and_how_to_go_back(client: Client) -> None:
    store = InMemoryStore()
    new, old = publish_made_version(store), publish_made_version(store, model=b"old")
    journal.append(store, CLASSIFIER, make_move(new.name, old.name, by="schedule"))
    back = make_move(old.name, new.name, kind="rollback", by=HOSTILE, reason=f"it {HOSTILE} fell")
    journal.append(store, CLASSIFIER, back)
    crown(store, old)

    text = client(app_over(store))("/retraining/models").text

    assert text.index("↩ rollback") < text.index("promotion")
    assert "it &lt;img src=x onerror=alert(1)&gt; fell" in text
    assert "<img" not in text
    assert f"rollback_{CLASSIFIER}" in text


def test_a_card_is_served_as_it_was_written_and_the_page_leads_to_it(client: Client) -> None:
    store = InMemoryStore()
    version = publish_made_version(store)
    crown(store, version)
    publish_cards(make_config(), store, [version.name])
    get = client(app_over(store))

    links = set(re.findall(r'href="(models/[^"]+)"', get("/retraining/models").text))
    answer = get(f"/retraining/{links.pop()}")

    assert not links
    assert answer.status_code == 200
    assert answer.content == store.get(f"{layout.card(CLASSIFIER, version.name)}card.html")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        pytest.param(f"unknown/{VERSION}", "no classifier", id="unknown classifier"),
        pytest.param(f"{CLASSIFIER}/{VERSION}", "has no model card", id="no card"),
        pytest.param(f"{CLASSIFIER}/%2e%2e", "", id="encoded parent"),
        pytest.param(f"{CLASSIFIER}/..%2F{VERSION}", "", id="encoded slash"),
        pytest.param(f"{CLASSIFIER}/%3Cscript%3E", "is not the name of a version", id="markup"),
        pytest.param(f"{CLASSIFIER}/{VERSION}%0A", "", id="line break"),
        pytest.param(f"{CLASSIFIER}/versions", "is not the name of a version", id="another folder"),
    ],
)
def test_what_is_no_card_is_404_and_reads_nothing_else(client: Client, path: str, told: str) -> None:
    store = InMemoryStore()
    for key in ("card.html", f"{CLASSIFIER}/card.html", f"{CLASSIFIER}/cards/card.html"):
        store.put(f"models/{key}", b"outside of any card")
    store.put(f"models/{CLASSIFIER}/cards/versions/card.html", b"outside of any card")

    answer = client(app_over(store))(f"/retraining/models/{path}/card")

    assert answer.status_code == 404
    assert told in answer.text
    assert "outside" not in answer.text
    assert "<script>" not in answer.text


def test_the_intake_page_lists_each_day_with_its_numbers_and_leads_to_its_pages(client: Client) -> None:
    run = make_run(InMemoryStore())
    keep_judged_day(run, failures=("3 of 4 images are quarantined",), warnings=(HOSTILE,))
    keep_judged_day(run, date(2026, 1, 3))
    get = client(app_over(run.store))

    answer = get(f"/retraining/intake/{CLASSIFIER}/{RUN_KEY}")

    assert answer.status_code == 200
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "3 of 4 images are quarantined" in answer.text
    assert "The label is not one of the classifier&#39;s, letter for letter." in answer.text
    assert HOSTILE not in answer.text
    links = re.findall(r'href="([^"]+)"', answer.text)
    assert [link.removeprefix(f"{RUN_KEY}/") for link in links] == [
        "2026-01-02/index.html",
        "2026-01-02/contact_sheet.html",
        "2026-01-03/index.html",
        "2026-01-03/contact_sheet.html",
    ]
    assert {get(f"/retraining/intake/{CLASSIFIER}/{link}").status_code for link in links} == {200}


def test_a_run_that_validated_nothing_says_which_task_does(client: Client) -> None:
    answer = client(app_over(InMemoryStore()))(f"/retraining/intake/{CLASSIFIER}/{RUN_KEY}")

    assert answer.status_code == 404
    assert "Its task validate_batch writes the Data Docs." in answer.text


@pytest.mark.parametrize(
    ("page", "content_type"),
    [
        ("index.html", "text/html; charset=utf-8"),
        ("validations/flowers/2026-01-02/20260102T000000.000000Z/delivery.html", "text/html; charset=utf-8"),
        ("style.css", "text/css; charset=utf-8"),
        ("logo.png", "image/png"),
        ("what.exe", "application/octet-stream"),
    ],
)
def test_a_page_of_the_data_docs_is_served_as_it_was_written(client: Client, page: str, content_type: str) -> None:
    run = make_run(InMemoryStore())
    keep_judged_day(run, pages={page: b"<p>as written</p>"})

    answer = client(app_over(run.store))(f"/retraining/intake/{CLASSIFIER}/{RUN_KEY}/2026-01-02/{page}")

    assert (answer.status_code, answer.content) == (200, b"<p>as written</p>")
    assert answer.headers["content-type"] == content_type
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline';")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("2026-01-02/../verdicts.json", id="parent"),
        pytest.param("2026-01-02/%2e%2e/verdicts.json", id="encoded parent"),
        pytest.param("2026-01-02/..%2fverdicts.json", id="encoded slash"),
        pytest.param("2026-01-02/%2e%2e%2f%2e%2e%2fverdicts.json", id="all encoded"),
        pytest.param("2026-01-02/a/%2e%2e/%2e%2e/secret.html", id="parent in the middle"),
        pytest.param("2026-01-02/%2fverdicts.json", id="empty part"),
        pytest.param("2026-01-02/./index.html%00", id="null byte"),
        pytest.param("2026-01-02/..%5cverdicts.json", id="backslash"),
        pytest.param("2026-01-02/", id="no page"),
        pytest.param("2026-01-02/none.html", id="unknown page"),
        pytest.param("%2e%2e/index.html", id="day that leads out"),
        pytest.param("20260102/index.html", id="day in another form"),
        pytest.param("2026-01-02%2fdata_docs/index.html", id="day with a slash"),
        pytest.param("2026-01-02/" + "a" * 300, id="too long"),
    ],
)
def test_nothing_but_pages_of_the_data_docs_is_served(client: Client, path: str) -> None:
    run = make_run(InMemoryStore())
    keep_judged_day(run)
    run.store.put(f"{run.prefix}intake/2026-01-02/secret.html", b"outside of the pages")
    run.store.put(f"{run.prefix}intake/2026-01-02/data_docs/../verdicts.json", b"outside of the pages")
    run.store.put(f"{run.prefix}intake/20260102/data_docs/index.html", b"outside of the pages")

    answer = client(app_over(run.store))(f"/retraining/intake/{CLASSIFIER}/{RUN_KEY}/{path}")

    assert answer.status_code == 404
    assert b"outside" not in answer.content
    assert b"shard_uris" not in answer.content


@pytest.mark.parametrize("run_key", ["..", "%2e%2e", "a%2Fb", "%3Cscript%3E", "a" * 300])
def test_the_intake_of_what_is_no_run_is_404(client: Client, run_key: str) -> None:
    get = client(app_over(InMemoryStore()))

    for path in (f"{CLASSIFIER}/{run_key}", f"{CLASSIFIER}/{run_key}/2026-01-02/index.html"):
        answer = get(f"/retraining/intake/{path}")
        assert answer.status_code == 404
        assert "<script>" not in answer.text


def test_hostile_names_are_text_and_never_markup(client: Client, recipes: Path) -> None:
    document = make_config("birds", description=HOSTILE).model_dump(mode="json")
    (recipes / "birds.yaml").write_text(yaml.safe_dump(document))
    store = InMemoryStore()
    decision = make_decision(HOSTILE, classifier="birds", challenger=HOSTILE, champion=HOSTILE, run_id=HOSTILE)
    journal.append(store, "birds", decision)
    store.put(f"{layout.version('birds', HOSTILE)}manifest.json", b"{}")

    text = client(app_over(store))("/retraining/models").text

    assert "<img" not in text
    assert text.count("&lt;img src=x onerror=alert(1)&gt;") >= 5


def test_a_recipe_that_is_not_valid_says_so_and_the_models_are_shown(client: Client, recipes: Path) -> None:
    (recipes / "birds.yaml").write_text("name: birds\ncolour: blue\n")

    text = client(app_over(InMemoryStore()))("/retraining/models").text

    assert "The recipe is not valid." in text
    assert text.count("No model is in production yet.") == 2


def test_a_store_that_does_not_answer_gives_503_and_says_what_to_do(client: Client) -> None:
    def down() -> InMemoryStore:
        raise StorageUnavailableError("get s3://lake/models/", "connection refused")

    answer = client(make_app(lambda: "somebody", lambda request, user, name: True, down))("/retraining/models")

    assert answer.status_code == 503
    assert "connection refused" in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_the_page_is_in_the_navigation_and_works_under_a_sub_path() -> None:
    (view,) = RetrainingModelsPlugin().external_views

    assert view["url_route"] == "models"
    assert not view["href"].startswith("/")


def test_every_process_of_airflow_can_load_the_plugin_without_paying_for_it(tmp_path: Path) -> None:
    program = """
import sys
from airflow._shared.plugins_manager import _load_plugins_from_plugin_directory

def loaded(*names):
    return [name for name in names if name in sys.modules]

plugins, errors = _load_plugins_from_plugin_directory("plugins")
print("plugins:", [plugin.name for plugin in plugins], errors)
ML = ("tensorflow", "keras", "sklearn", "imblearn", "great_expectations", "pandas", "matplotlib")
print("every process:", loaded(*ML, "boto3", "pyarrow", "airflow.api_fastapi.core_api.security"))
(app,) = plugins[0].fastapi_apps
from include.retraining.reporting import cards, intake_overview, overview, templating
print("api server:", app["url_prefix"], loaded(*ML))
"""
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": str(REPOSITORY)}

    done = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    told = [line for line in done.stdout.splitlines() if line.startswith(("plugins:", "every process:", "api server:"))]
    assert told == ["plugins: ['retraining_models'] {}", "every process: []", "api server: /retraining []"]
