"""Airflow on one machine: its environment, its four processes, their health, its schema and its pool."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import requests

from embedded.credentials import Credentials, write_private
from embedded.errors import EmbeddedError
from embedded.ports import LOOPBACK
from embedded.postgres import database_url
from embedded.processes import MARKER_VARIABLE
from embedded.services import Service
from embedded.settings import BUCKET, REGION, StackSettings

API_SERVER = "api-server"
COMPONENTS = (API_SERVER, "scheduler", "dag-processor", "triggerer")
POOL = "gpu"
POOL_SLOTS = 1
HEALTH_SECONDS = 5.0
# Whatever another Airflow, AWS profile or proxy of the user would bring along; the stack talks to loopback alone.
FOREIGN_PREFIXES = ("AIRFLOW", "_AIRFLOW", "AWS_", "RETRAIN_S3_")
FOREIGN_NAMES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "PYTHONHOME", "PYTHONSTARTUP"})


def airflow_services(settings: StackSettings, credentials: Credentials) -> tuple[Service, ...]:
    """Returns the api server, scheduler, dag processor and triggerer of a stack."""
    environment = airflow_environment(settings, credentials, os.environ)
    # The log servers of scheduler and triggerer would listen on every interface; all logs are local files here.
    arguments = {"scheduler": ("--skip-serve-logs",), "triggerer": ("--skip-serve-logs",)}
    return tuple(
        Service(
            name=name,
            port=settings.ports.ui if name == API_SERVER else None,
            command=(*_airflow(), name, *arguments.get(name, ())),
            environment=environment,
            directory=settings.airflow_home,
            probe=lambda started, name=name: _is_healthy(settings, name, started),  # type: ignore[misc]
            # Its state is in the database; what does not end by itself, as a running task, may be killed.
            stop_seconds=5.0,
            signals_family=True,
        )
        for name in COMPONENTS
    )


def airflow_environment(
    settings: StackSettings, credentials: Credentials, inherited: Mapping[str, str]
) -> dict[str, str]:
    """Returns the environment of Airflow's processes, and so of the tasks.

    Args:
        settings: The stack.
        credentials: Its secrets.
        inherited: The environment of the command that starts it; what belongs to another Airflow is left out.
    """
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.upper().startswith(FOREIGN_PREFIXES) and name.upper() not in FOREIGN_NAMES
    }
    beside_python = str(Path(sys.executable).parent)
    return {
        **kept,
        "PATH": os.pathsep.join([beside_python, kept.get("PATH", os.defpath)]),
        "PYTHONPATH": str(settings.repository),
        "NO_PROXY": "127.0.0.1,localhost",
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "SCARF_ANALYTICS": "false",
        "SPT_NOENV": "1",  # else a process that renames itself overwrites its environment, and with it the marker
        MARKER_VARIABLE: credentials.marker,
        "RETRAIN_BUCKET": BUCKET,
        "AIRFLOW_CONN_S3_LAKE": s3_connection(settings, credentials),
        "AIRFLOW_HOME": str(settings.airflow_home),
        **{f"AIRFLOW__{name}": value for name, value in _options(settings, credentials).items()},
    }


def s3_connection(settings: StackSettings, credentials: Credentials) -> str:
    """Returns the Airflow connection to the object store, as JSON."""
    return json.dumps(
        {
            "conn_type": "aws",
            "login": credentials.s3_access_key,
            "password": credentials.s3_secret_key,
            "extra": {
                "endpoint_url": settings.s3_url,
                "region_name": REGION,
                "config_kwargs": {"s3": {"addressing_style": "path"}},
            },
        }
    )


def _options(settings: StackSettings, credentials: Credentials) -> dict[str, str]:
    return {
        "CORE__EXECUTOR": "LocalExecutor",
        # A task that computes uses every core and 650 MB of TensorFlow alone; four leave light tasks a way past it.
        "CORE__PARALLELISM": "4",
        "CORE__DAGS_FOLDER": str(settings.repository / "dags"),
        "CORE__PLUGINS_FOLDER": str(settings.repository / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        # The default asks the name servers for a full name, which costs seconds per process without a network.
        "CORE__HOSTNAME_CALLABLE": "socket.gethostname",
        "CORE__FERNET_KEY": credentials.fernet_key,
        "CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin,viewer:viewer",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(_passwords_file(settings)),
        "CORE__EXECUTION_API_SERVER_URL": f"{settings.ui_url}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": database_url(settings, credentials),
        "API__HOST": LOOPBACK,
        "API__PORT": str(settings.ports.ui),
        "API__BASE_URL": settings.ui_url,
        "API__WORKERS": "1",
        "API__SECRET_KEY": credentials.api_secret_key,
        "API_AUTH__JWT_SECRET": credentials.jwt_secret,
        "LOGGING__COLORED_CONSOLE_LOG": "False",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "5",  # seconds until a new Dag file is seen; the default is 300
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",  # half of it is the mean wait between two tasks; default 1
        # A heartbeat comes every 5 s. One that was lost to a busy machine must not end an hour of training.
        "WORKERS__MAX_FAILED_HEARTBEATS": "20",
        "WORKERS__EXECUTION_API_TIMEOUT": "30",
        # A task whose supervisor was killed is noticed, and tried again, after a minute; the default is five.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
    }


def prepare_airflow(settings: StackSettings, credentials: Credentials) -> None:
    """Makes Airflow's directory, and writes the logins where Airflow looks for them."""
    settings.airflow_home.mkdir(parents=True, exist_ok=True)
    logins = {"admin": credentials.admin_password, "viewer": credentials.viewer_password}
    write_private(_passwords_file(settings), json.dumps(logins) + "\n")


def needs_migration(settings: StackSettings) -> bool:
    """Tells whether the database lacks the schema of the installed Airflow."""
    try:
        return settings.migrated_file.read_text(encoding="utf-8").strip() != _airflow_version()
    except FileNotFoundError:
        return True


def migrate(settings: StackSettings, credentials: Credentials) -> None:
    """Brings the database to the schema of the installed Airflow.

    Raises:
        EmbeddedError: If Airflow could not.
    """
    log_file = settings.log_file("migration")
    with log_file.open("wb") as log:
        ran = subprocess.run(
            [*_airflow(), "db", "migrate"],
            env=airflow_environment(settings, credentials, os.environ),
            cwd=settings.airflow_home,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if ran.returncode != 0:
        raise EmbeddedError(f"`airflow db migrate` failed with status {ran.returncode}; see {log_file}.")
    settings.migrated_file.write_text(_airflow_version() + "\n", encoding="utf-8")


def ensure_pool(settings: StackSettings, credentials: Credentials) -> None:
    """Makes the pool through which one task at a time gets the accelerator, if it is not there."""
    with requests.Session() as session:
        session.trust_env = False
        login = {"username": "admin", "password": credentials.admin_password}
        answer = session.post(f"{settings.ui_url}/auth/token", json=login, timeout=30)
        answer.raise_for_status()
        session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        pools = f"{settings.ui_url}/api/v2/pools"
        if session.get(f"{pools}/{POOL}", timeout=30).status_code == requests.codes.not_found:
            pool = {"name": POOL, "slots": POOL_SLOTS, "description": "One slot for each accelerator."}
            session.post(pools, json=pool, timeout=30).raise_for_status()


def _is_healthy(settings: StackSettings, name: str, started: float) -> bool:
    health = _health(settings)
    if health is None or name == API_SERVER:
        return health is not None
    key = name.replace("-", "_")
    part = health.get(key, {})
    beat = part.get(f"latest_{key}_heartbeat")
    # For half a minute Airflow takes the last heartbeat of a dead process for life.
    return part.get("status") == "healthy" and beat is not None and datetime.fromisoformat(beat).timestamp() > started


def _health(settings: StackSettings) -> dict[str, Any] | None:
    try:
        with requests.Session() as session:
            session.trust_env = False
            answer = session.get(f"{settings.ui_url}/api/v2/monitor/health", timeout=HEALTH_SECONDS)
            return dict(answer.json()) if answer.ok else None
    except (requests.RequestException, ValueError):
        return None


def _airflow() -> tuple[str, ...]:
    # Not the script `airflow`: its first line cannot name an interpreter whose path has spaces.
    return (sys.executable, "-m", "airflow")


def _airflow_version() -> str:
    return importlib.metadata.version("apache-airflow-core")


def _passwords_file(settings: StackSettings) -> Path:
    return settings.airflow_home / "passwords.json"
