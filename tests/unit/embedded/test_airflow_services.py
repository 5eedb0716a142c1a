from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from embedded.airflow import (
    COMPONENTS,
    airflow_environment,
    airflow_services,
    needs_migration,
    prepare_airflow,
)
from embedded.credentials import Credentials, generate_credentials
from embedded.ports import Ports
from embedded.settings import StackSettings


@pytest.fixture
def settings(tmp_path: Path) -> StackSettings:
    return StackSettings(tmp_path / "a state", Ports(ui=9001, s3=9100, postgres=9200), repository=Path("/a repository"))


@pytest.fixture
def credentials() -> Credentials:
    return generate_credentials()


def test_another_airflow_aws_profile_or_proxy_does_not_leak_in(
    settings: StackSettings, credentials: Credentials
) -> None:
    foreign = {
        "AIRFLOW_HOME": "/other",
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CORE__SQL_ALCHEMY_CONN_CMD": "cat /secret",
        "AIRFLOW_CONN_AWS_DEFAULT": "aws://",
        "AWS_PROFILE": "work",
        "RETRAIN_S3_ENDPOINT_URL": "https://elsewhere",
        "http_proxy": "http://proxy:3128",
        "LANG": "C.UTF-8",
    }

    environment = airflow_environment(settings, credentials, foreign)

    assert environment["AIRFLOW_HOME"] == str(settings.airflow_home)
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert environment["LANG"] == "C.UTF-8"
    left = {name for name in foreign if environment.get(name) == foreign[name]}
    assert left == {"LANG"}


def test_everything_listens_on_and_talks_to_loopback(settings: StackSettings, credentials: Credentials) -> None:
    environment = airflow_environment(settings, credentials, {})

    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__API__PORT"] == "9001"
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:9001/execution/"
    assert "@127.0.0.1:9200/" in environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"]
    commands = {service.name: service.command for service in airflow_services(settings, credentials)}
    assert "--skip-serve-logs" in commands["scheduler"]
    assert "--skip-serve-logs" in commands["triggerer"]


def test_the_connection_to_the_store_carries_the_stack_s_own_keys(
    settings: StackSettings, credentials: Credentials
) -> None:
    connection = json.loads(airflow_environment(settings, credentials, {})["AIRFLOW_CONN_S3_LAKE"])

    assert connection["conn_type"] == "aws"
    assert connection["login"] == credentials.s3_access_key
    assert connection["password"] == credentials.s3_secret_key
    assert connection["extra"]["endpoint_url"] == "http://127.0.0.1:9100"
    assert connection["extra"]["config_kwargs"] == {"s3": {"addressing_style": "path"}}


def test_no_secret_stands_on_a_command_line(settings: StackSettings, credentials: Credentials) -> None:
    words = [word for service in airflow_services(settings, credentials) for word in service.command]

    secrets = {credentials.admin_password, credentials.jwt_secret, credentials.postgres_password}
    assert not [word for word in words if any(secret in word for secret in secrets)]


def test_the_four_processes_run_with_the_interpreter_of_the_stack(
    settings: StackSettings, credentials: Credentials
) -> None:
    services = airflow_services(settings, credentials)

    assert tuple(service.name for service in services) == COMPONENTS
    assert all(service.command[:3] == (sys.executable, "-m", "airflow") for service in services)
    path = services[0].environment["PATH"]
    assert path.split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_logins_are_generated_private_and_not_open_to_all(settings: StackSettings, credentials: Credentials) -> None:
    prepare_airflow(settings, credentials)

    environment = airflow_environment(settings, credentials, {})
    file = Path(environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert file.stat().st_mode & 0o077 == 0
    assert json.loads(file.read_text(encoding="utf-8")) == {
        "admin": credentials.admin_password,
        "viewer": credentials.viewer_password,
    }
    assert environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:admin,viewer:viewer"
    assert "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS" not in environment


def test_the_schema_is_made_once_and_again_for_another_airflow(
    settings: StackSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.migrated_file.parent.mkdir(parents=True)
    assert needs_migration(settings)

    monkeypatch.setattr("embedded.airflow.importlib.metadata.version", lambda _name: "3.3.2")
    settings.migrated_file.write_text("3.3.2\n", encoding="utf-8")
    assert not needs_migration(settings)

    monkeypatch.setattr("embedded.airflow.importlib.metadata.version", lambda _name: "3.4.0")
    assert needs_migration(settings)
