from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest

from demo import __main__ as command
from demo.demonstration import CLASSIFIER
from demo.follow import Followed
from embedded.errors import EmbeddedError, PortTakenError
from embedded.settings import StackSettings
from embedded.stack import STORAGE, Login
from include.retraining import run as records
from include.retraining.config import load_classifier
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_embedding, make_run
from tests.promotions import crown, publish_made_version
from tests.unit.demo.fake_airflow import FakeAirflow
from tests.unit.demo.small_delivery import made_batches
from tests.unit.demo.test_follow import run_of


@dataclass
class FakeStack:
    """A stack that is up at once, unless it is told to fail when Airflow is started."""

    settings: StackSettings
    failure: BaseException | None = None
    ups: list[object] = field(default_factory=list)
    ui_url: str = "http://airflow.test"
    login: Login = field(default_factory=lambda: Login("admin", "pass-word"))

    def up(self, services: object = None) -> None:
        """Starts the storage always, everything unless a failure is set."""
        self.ups.append(services)
        if services is None and self.failure is not None:
            raise self.failure

    def s3_environment(self) -> dict[str, str]:
        """Names no real store."""
        return {}


@pytest.fixture
def store(monkeypatch) -> InMemoryStore:
    """The store that the command finds; its network, data and Airflow are replaced too."""
    store = InMemoryStore()
    monkeypatch.setenv("NO_PROXY", "intranet")
    monkeypatch.setattr(command, "is_cached", lambda _: True)
    monkeypatch.setattr(command, "load", lambda _: None)
    monkeypatch.setattr(command, "make_batches", lambda *_: made_batches())
    monkeypatch.setattr(command, "store_from", lambda _: store)
    monkeypatch.setattr(command, "AirflowClient", lambda *_: FakeAirflow().client())
    monkeypatch.setattr(command, "retrain", lambda *_: ([Followed(run_of(5, "success"))], {"intake": 3.0}))
    return store


@pytest.fixture
def stack(monkeypatch, tmp_path) -> FakeStack:
    """The stack that the command starts."""
    stack = FakeStack(StackSettings(state_dir=tmp_path))
    monkeypatch.setattr(command, "load_settings", lambda: stack.settings)
    monkeypatch.setattr(command, "EmbeddedStack", lambda *_, **__: stack)
    return stack


def crown_something(store: InMemoryStore) -> None:
    crown(store, publish_made_version(store, classifier=CLASSIFIER), classifier=CLASSIFIER)


def test_a_whole_champion_is_status_0_with_the_login_and_the_figures(store, stack, capsys):
    crown_something(store)
    run = make_run(store, load_classifier(CLASSIFIER), run_id=run_of(5, "success").run_id)
    run.record(records.EMBEDDING_PLAN, make_embedding(n_missing=450))

    status = command.main(["--started", "0"])

    assert status == 0
    printed = capsys.readouterr().out
    assert "every file of it matches its sha256" in printed
    assert "http://airflow.test   user admin, password pass-word" in printed
    figures = json.loads((stack.settings.state_dir / "demo-last.json").read_text())
    assert figures["embedded_images"] == 450
    assert figures["total_seconds"] > 1e9
    stages = {"data", "store_start", "delivery", "airflow_start", "retraining", "intake"}
    assert set(figures["stage_seconds"]) == stages
    assert stack.ups == [STORAGE, None]


def test_without_a_champion_the_status_is_1_and_says_why(store, stack, capsys):
    assert command.main([]) == 1

    assert "nothing was promoted" in capsys.readouterr().out


def test_a_stack_that_does_not_start_is_one_message_and_status_1(store, stack, capsys):
    stack.failure = PortTakenError(8080, "Airflow's UI", "RETRAIN_UI_PORT")

    assert command.main([]) == 1

    printed = capsys.readouterr().out
    assert "Port 8080 of 127.0.0.1 is taken" in printed
    assert "Traceback" not in printed


def test_an_interrupt_leaves_the_stack_and_says_how_to_stop_it(store, stack, capsys):
    stack.failure = KeyboardInterrupt()

    assert command.main([]) == command.INTERRUPTED

    assert "`make down`" in capsys.readouterr().out


def test_settings_that_are_wrong_are_one_message(store, monkeypatch, capsys):
    def refuse() -> StackSettings:
        raise EmbeddedError("RETRAIN_UI_PORT: 'x' is not a port.")

    monkeypatch.setattr(command, "load_settings", refuse)

    assert command.main([]) == 1
    assert "RETRAIN_UI_PORT: 'x' is not a port." in capsys.readouterr().out
