"""Where the stack keeps its state and which ports it takes: from arguments, the environment, and what it remembers."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from embedded.errors import SettingError, StateError
from embedded.ports import VARIABLES, Ports, check_ports_differ, to_dict

REPOSITORY = Path(__file__).resolve().parent.parent
STATE_VARIABLE = "RETRAIN_EMBEDDED_DIR"
BUCKET = "lake"
REGION = "us-east-1"
LOWEST_PORT = 1024  # below it a server needs root
HIGHEST_PORT = 65535
HIGHEST_S3_PORT = 55531  # four more follow it, and each has a twin at +10000


@dataclass(frozen=True)
class StackSettings:
    """One embedded stack: its directory and its ports.

    Attributes:
        state_dir: Absolute path of the directory that holds all of its state.
        ports: Where it listens.
        repository: The checkout whose `dags/`, `plugins/` and `include/` Airflow runs.
    """

    state_dir: Path
    ports: Ports = Ports()
    repository: Path = REPOSITORY

    @property
    def airflow_home(self) -> Path:
        """Airflow's own directory: its logs, its configuration file, its logins."""
        return self.state_dir / "airflow"

    @property
    def seaweed_data(self) -> Path:
        """Where SeaweedFS keeps the objects."""
        return self.state_dir / "seaweedfs"

    @property
    def postgres_data(self) -> Path:
        """Where PostgreSQL keeps its cluster."""
        return self.state_dir / "postgres" / "data"

    @property
    def credentials_file(self) -> Path:
        """The generated passwords and keys, readable by the owner alone."""
        return self.state_dir / "credentials.json"

    @property
    def migrated_file(self) -> Path:
        """Names the Airflow version whose schema the database has."""
        return self.state_dir / "postgres" / "airflow-schema.txt"

    @property
    def lock_file(self) -> Path:
        """Held while the stack is changed."""
        return self.state_dir / "lock"

    @property
    def ports_file(self) -> Path:
        """The ports of the first start."""
        return self.state_dir / "ports.json"

    @property
    def ui_url(self) -> str:
        """Address of Airflow's UI, without a slash at the end."""
        return f"http://127.0.0.1:{self.ports.ui}"

    @property
    def s3_url(self) -> str:
        """Address of the S3 endpoint, without a slash at the end."""
        return f"http://127.0.0.1:{self.ports.s3}"

    def log_file(self, service: str) -> Path:
        """Returns where a service's output goes."""
        return self.state_dir / "logs" / f"{service}.log"

    def record_file(self, service: str) -> Path:
        """Returns where a service's process is written down."""
        return self.state_dir / "run" / f"{service}.json"


def load_settings(state_dir: Path | None = None, environ: Mapping[str, str] | None = None) -> StackSettings:
    """Puts the settings together: an argument, else the environment, else what the last start wrote, else the default.

    Args:
        state_dir: None for `RETRAIN_EMBEDDED_DIR`, or `.embedded` in the repository.
        environ: None for the process's own environment.

    Raises:
        SettingError: If a variable does not hold a port, or two services would want the same one.
    """
    environ = os.environ if environ is None else environ
    directory = (state_dir or Path(environ.get(STATE_VARIABLE) or REPOSITORY / ".embedded")).expanduser().resolve()
    known = remembered_ports(directory) or Ports()
    ports = Ports(**{name: _port(environ, name, default=number) for name, number in to_dict(known).items()})
    check_ports_differ(ports)
    return StackSettings(state_dir=directory, ports=ports)


def remembered_ports(state_dir: Path) -> Ports | None:
    """Returns the ports that the last start of this state directory took, if there was one.

    Raises:
        StateError: If what was written cannot be read.
    """
    path = StackSettings(state_dir=state_dir).ports_file
    try:
        return Ports(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise StateError(path, f"it holds no ports ({error})", "Delete it, then start again.") from error


def remember_ports(settings: StackSettings) -> None:
    """Writes down the ports, so that the next start takes the same."""
    settings.ports_file.write_text(json.dumps(to_dict(settings.ports)) + "\n", encoding="utf-8")


def _port(environ: Mapping[str, str], name: str, *, default: int) -> int:
    variable = VARIABLES[name]
    text = environ.get(variable, "").strip()
    if not text:
        return default
    highest = HIGHEST_S3_PORT if name == "s3" else HIGHEST_PORT
    if not text.isdecimal() or not LOWEST_PORT <= int(text) <= highest:
        raise SettingError(
            variable,
            f"{text!r} is not a port from {LOWEST_PORT} to {highest}",
            f"Write, for example, {variable}={default}.",
        )
    return int(text)
