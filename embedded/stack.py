"""The stack as a whole: what is started in which order, and how all of it is stopped again."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from embedded import airflow, postgres, seaweed
from embedded.console import say as say_on_console
from embedded.credentials import Credentials, ensure_credentials, load_credentials
from embedded.errors import SettingError, StateError
from embedded.ports import VARIABLES, check_ports_free, to_dict
from embedded.processes import family_of, marked_processes, stop_processes
from embedded.services import Service
from embedded.settings import StackSettings, remember_ports, remembered_ports
from embedded.supervisor import ServiceStatus, Supervisor

STORAGE = (postgres.NAME, seaweed.NAME)
ALL_SERVICES = (*STORAGE, *airflow.COMPONENTS)
# Airflow's four need 15 s of processor time together, which is 8 s on two idle cores; a busy machine gets much more.
TIMEOUT_SECONDS = 240.0
STRAY_SECONDS = 2.0  # nobody is left to whom they could report


@dataclass(frozen=True)
class Login:
    """A user of Airflow's UI.

    Attributes:
        user: The name.
        password: The generated password.
    """

    user: str
    password: str

    def __repr__(self) -> str:
        return f"Login(user={self.user!r})"


class EmbeddedStack:
    """SeaweedFS, PostgreSQL and Airflow of one state directory.

    Args:
        settings: Where its state is and where it listens.
        say: Where a line for a person goes.
    """

    def __init__(self, settings: StackSettings, *, say: Callable[[str], None] = say_on_console) -> None:
        self.settings = settings
        self._began = time.monotonic()
        self._print = say
        self._supervisor = Supervisor(settings, self._say)

    @property
    def ui_url(self) -> str:
        """Address of Airflow's UI and REST API, without a slash at the end."""
        return self.settings.ui_url

    @property
    def login(self) -> Login:
        """The login that may do everything."""
        return Login("admin", self._credentials().admin_password)

    @property
    def viewer_login(self) -> Login:
        """The login that may look only."""
        return Login("viewer", self._credentials().viewer_password)

    def s3_environment(self) -> Mapping[str, str]:
        """Returns the variables with which `python -m include.retraining` reaches the store."""
        return seaweed.s3_environment(self.settings, self._credentials())

    def database_url(self) -> str:
        """Returns the address of the database for SQLAlchemy."""
        return postgres.database_url(self.settings, self._credentials())

    def up(self, services: Iterable[str] = ALL_SERVICES) -> None:
        """Starts what does not run yet and waits until everything is healthy.

        Args:
            services: Names of those that are wanted; the storage alone starts in a second or two. Airflow's processes
                need the whole stack.

        Raises:
            PortTakenError: If somebody else listens on a port; nothing was started.
            ServiceFailedError: If a service died or did not become healthy; what was started is stopped again.

        Side effects: The state directory is made, with passwords and keys, at the first start. Repeating it starts
        only what died.
        """
        self._began = time.monotonic()
        wanted = [name for name in ALL_SERVICES if name in frozenset(services)]
        self._make_directories()
        with self._lock():
            credentials = ensure_credentials(self.settings.credentials_file)
            missing = self._missing(wanted)
            self._check_ports(missing)
            remember_ports(self.settings)
            self._stop_strays(credentials, ALL_SERVICES)
            if postgres.NAME in missing:
                # Airflow's processes die of a lost database, but each in its own time.
                self._stop(airflow.COMPONENTS, credentials)
                missing = self._missing(wanted)
            try:
                self._start_storage(wanted, credentials)
                self._start_airflow(wanted, credentials)
            except BaseException:
                self._say("stopping what was started")
                self._stop(missing, credentials)
                raise
        self._say("everything is up" if wanted == list(ALL_SERVICES) else f"{', '.join(wanted)}: up")

    def down(self) -> None:
        """Stops everything, Airflow first and the database last; no process is left, whatever a crash left behind."""
        self._began = time.monotonic()
        credentials = load_credentials(self.settings.credentials_file)
        if credentials is None:
            self._say(f"nothing runs: there is no stack in {self.settings.state_dir}")
            return
        self._make_directories()
        with self._lock():
            stopped = self._stop(ALL_SERVICES, credentials)
            self._stop_strays(credentials, ())
        self._say(f"everything is stopped: {', '.join(stopped)}" if stopped else "nothing was running")

    def status(self) -> list[ServiceStatus]:
        """Returns the state of every service, in the order in which they start."""
        credentials = load_credentials(self.settings.credentials_file)
        if credentials is None:
            return [ServiceStatus(name, "stopped", pid=None, port=None, up_seconds=None) for name in ALL_SERVICES]
        return [self._supervisor.status(service) for service in self._services(ALL_SERVICES, credentials)]

    def _start_storage(self, wanted: Sequence[str], credentials: Credentials) -> None:
        started = self._start([name for name in wanted if name in STORAGE], credentials)
        self._supervisor.wait_until_healthy(started, timeout_seconds=TIMEOUT_SECONDS)
        if seaweed.NAME in wanted:
            seaweed.ensure_bucket(self.settings, credentials)

    def _start_airflow(self, wanted: Sequence[str], credentials: Credentials) -> None:
        components = [name for name in wanted if name not in STORAGE]
        if not components:
            return
        airflow.prepare_airflow(self.settings, credentials)
        if airflow.needs_migration(self.settings):
            self._say("making Airflow's tables")
            airflow.migrate(self.settings, credentials)
        started = self._start(components, credentials)
        self._supervisor.wait_until_healthy(started, timeout_seconds=TIMEOUT_SECONDS)
        airflow.ensure_pool(self.settings, credentials)

    def _start(self, names: Sequence[str], credentials: Credentials) -> list[Service]:
        """Starts those that do not run, and returns all of them."""
        missing = self._missing(names)
        if missing:
            self._say(f"starting {', '.join(missing)}")
        if postgres.NAME in missing and postgres.ensure_cluster(self.settings, credentials):
            self._say("a new database cluster was made")
        services = self._services(names, credentials)
        for service in services:
            if service.name in missing:
                self._supervisor.start(service)
        return services

    def _stop(self, names: Sequence[str], credentials: Credentials) -> list[str]:
        stopped: list[str] = []
        for phase in (airflow.COMPONENTS, (seaweed.NAME,), (postgres.NAME,)):
            running = [name for name in phase if name in names and self._supervisor.process(name) is not None]
            if running:
                self._say(f"stopping {', '.join(running)}")
                self._supervisor.stop(self._services(running, credentials))
                stopped += running
        return stopped

    def _missing(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if self._supervisor.process(name) is None]

    def _stop_strays(self, credentials: Credentials, spared: Iterable[str]) -> None:
        """Stops processes of this stack that no running service owns, as a killed scheduler leaves its tasks behind.

        Args:
            credentials: The secrets, with the marker.
            spared: Services whose processes stay.
        """
        running = [process for name in spared if (process := self._supervisor.process(name)) is not None]
        owned = {process.pid for process in family_of(running)}
        strays = [process for process in marked_processes(credentials.marker) if process.pid not in owned]
        if strays:
            self._say(f"stopping {len(strays)} processes that an earlier run left behind")
            stop_processes(strays, grace_seconds=STRAY_SECONDS)

    def _check_ports(self, missing: Sequence[str]) -> None:
        before, now = remembered_ports(self.settings.state_dir), self.settings.ports
        runs = self._missing(ALL_SERVICES) != list(ALL_SERVICES)
        if runs and before is not None and before != now:
            moved = next(name for name, port in to_dict(now).items() if to_dict(before)[name] != port)
            raise SettingError(
                VARIABLES[moved],
                f"the stack runs on port {to_dict(before)[moved]}, and {to_dict(now)[moved]} is asked for",
                "Stop it first (`make down`), or leave the variable out.",
            )
        check_ports_free(now, missing)

    def _make_directories(self) -> None:
        for path in (self.settings.lock_file, self.settings.log_file("any"), self.settings.record_file("any")):
            path.parent.mkdir(parents=True, exist_ok=True)
        self.settings.seaweed_data.mkdir(exist_ok=True)

    def _services(self, names: Iterable[str], credentials: Credentials) -> list[Service]:
        everything = {
            service.name: service
            for service in (
                postgres.postgres_service(self.settings, credentials),
                seaweed.seaweed_service(self.settings, credentials),
                *airflow.airflow_services(self.settings, credentials),
            )
        }
        return [everything[name] for name in names]

    def _credentials(self) -> Credentials:
        found = load_credentials(self.settings.credentials_file)
        if found is None:
            raise StateError(self.settings.state_dir, "there is no stack in it", "Start it first: `make up`.")
        return found

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with self.settings.lock_file.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._say("waiting for another command that changes this stack")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _say(self, line: str) -> None:
        self._print(f"[{time.monotonic() - self._began:5.1f} s] {line}")
