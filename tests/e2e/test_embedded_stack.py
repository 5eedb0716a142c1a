from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import requests

from embedded.__main__ import main
from embedded.credentials import load_credentials
from embedded.ports import port_claims
from embedded.processes import load_record, marked_processes
from embedded.stack import ALL_SERVICES, EmbeddedStack, Login
from tests.kills import kill_9


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


def log_in(session: requests.Session, stack: EmbeddedStack, login: Login) -> None:
    answer = session.post(f"{stack.ui_url}/auth/token", json={"username": login.user, "password": login.password})
    answer.raise_for_status()
    session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def pids(stack: EmbeddedStack) -> dict[str, int]:
    records = {name: load_record(stack.settings.record_file(name)) for name in ALL_SERVICES}
    return {name: record.pid for name, record in records.items() if record is not None}


def test_every_service_is_healthy(embedded_stack: EmbeddedStack) -> None:
    assert {status.name: status.state for status in embedded_stack.status()} == dict.fromkeys(ALL_SERVICES, "healthy")
    assert main(["--state-dir", str(embedded_stack.settings.state_dir), "status"]) == 0


def connections_of(process: psutil.Process) -> list[Any]:
    """Returns a process's connections; none where it ended after it was listed, as short-lived children do."""
    try:
        return process.net_connections("inet")
    except psutil.NoSuchProcess:
        return []


def test_every_listening_socket_is_on_loopback(embedded_stack: EmbeddedStack) -> None:
    credentials = load_credentials(embedded_stack.settings.credentials_file)
    assert credentials is not None

    listening = {
        tuple(connection.laddr)
        for process in marked_processes(credentials.marker)
        for connection in connections_of(process)
        if connection.status == psutil.CONN_LISTEN
    }

    assert listening == {("127.0.0.1", claim.port) for claim in port_claims(embedded_stack.settings.ports)}


def test_nobody_gets_in_without_a_generated_password(embedded_stack: EmbeddedStack, session: requests.Session) -> None:
    url = embedded_stack.ui_url

    assert session.get(f"{url}/api/v2/dags").status_code == 401
    assert session.get(f"{url}/auth/token").status_code == 403
    guess = {"username": "admin", "password": "admin"}
    assert session.post(f"{url}/auth/token", json=guess).status_code == 401


def test_the_viewer_may_look_and_not_touch(embedded_stack: EmbeddedStack, session: requests.Session) -> None:
    log_in(session, embedded_stack, embedded_stack.viewer_login)

    assert session.get(f"{embedded_stack.ui_url}/api/v2/dags").status_code == 200
    pool = {"name": "mine", "slots": 1}
    assert session.post(f"{embedded_stack.ui_url}/api/v2/pools", json=pool).status_code == 403


def test_the_pool_of_the_accelerator_has_one_slot(embedded_stack: EmbeddedStack, session: requests.Session) -> None:
    log_in(session, embedded_stack, embedded_stack.login)

    pool = session.get(f"{embedded_stack.ui_url}/api/v2/pools/gpu").json()

    assert pool["slots"] == 1


def test_up_replaces_a_killed_scheduler_and_leaves_the_rest_alone(embedded_stack: EmbeddedStack) -> None:
    before = pids(embedded_stack)

    kill_9(before["scheduler"])
    embedded_stack.up()

    after = pids(embedded_stack)
    assert {name for name in ALL_SERVICES if after[name] != before[name]} == {"scheduler"}
    assert {status.state for status in embedded_stack.status()} == {"healthy"}
