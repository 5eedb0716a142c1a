"""Starts services, waits for their health, stops them, and remembers their processes between commands."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from embedded.errors import ServiceFailedError
from embedded.processes import (
    family_of,
    find_process,
    load_record,
    save_record,
    start_process,
    stop_processes,
)
from embedded.services import Service
from embedded.settings import StackSettings

POLL_SECONDS = 0.1
TAIL_LINES = 20


@dataclass(frozen=True)
class ServiceStatus:
    """What `status` tells of a service.

    Attributes:
        name: Its name.
        state: `healthy`, `unhealthy` (it runs, but does not answer as it should) or `stopped`.
        pid: Its process, if it runs.
        port: Where it listens, if it does.
        up_seconds: Since when it runs.
    """

    name: str
    state: str
    pid: int | None
    port: int | None
    up_seconds: float | None


class Supervisor:
    """Looks after the services of one stack.

    Args:
        settings: The stack.
        say: Where a line for a person goes.
    """

    def __init__(self, settings: StackSettings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say

    def process(self, name: str) -> psutil.Process | None:
        """Returns the process of a service if it runs."""
        return find_process(load_record(self._settings.record_file(name)))

    def start(self, service: Service) -> None:
        """Starts a service with a new log and writes its process down; it does not wait for it."""
        log_file = self._settings.log_file(service.name)
        if log_file.exists():
            log_file.replace(log_file.with_suffix(".previous.log"))
        record = start_process(
            service.command, environment=service.environment, directory=service.directory, log_file=log_file
        )
        save_record(self._settings.record_file(service.name), record)

    def is_healthy(self, service: Service) -> bool:
        """Tells whether a service runs and answers as it should."""
        record = load_record(self._settings.record_file(service.name))
        return record is not None and find_process(record) is not None and service.probe(record.started)

    def wait_until_healthy(self, services: Sequence[Service], *, timeout_seconds: float) -> None:
        """Waits for services, and says of each when it is healthy.

        Raises:
            ServiceFailedError: If one died, or is not healthy in time.
        """
        deadline = time.monotonic() + timeout_seconds
        waiting = list(services)
        while waiting:
            for service in list(waiting):
                if self.process(service.name) is None:
                    raise self._failure(service, "died while it was starting")
                if self.is_healthy(service):
                    waiting.remove(service)
                    self._say(f"{service.name} is healthy")
            if waiting and time.monotonic() > deadline:
                raise self._failure(waiting[0], f"was not healthy after {timeout_seconds:.0f} s")
            if waiting:
                time.sleep(POLL_SECONDS)

    def stop(self, services: Sequence[Service]) -> None:
        """Stops services that end by the same signal together, and forgets their processes."""
        asked: list[psutil.Process] = []
        for service in services:
            process = self.process(service.name)
            if process is not None:
                asked += family_of([process]) if service.signals_family else [process]
        stop_processes(
            asked,
            stop_signal=services[0].stop_signal,
            grace_seconds=max(service.stop_seconds for service in services),
        )
        for service in services:
            self._settings.record_file(service.name).unlink(missing_ok=True)

    def status(self, service: Service) -> ServiceStatus:
        """Returns the state of a service."""
        record = load_record(self._settings.record_file(service.name))
        if record is None or find_process(record) is None:
            return ServiceStatus(service.name, "stopped", pid=None, port=service.port, up_seconds=None)
        state = "healthy" if service.probe(record.started) else "unhealthy"
        return ServiceStatus(service.name, state, record.pid, service.port, time.time() - record.started)

    def _failure(self, service: Service, reason: str) -> ServiceFailedError:
        log_file = self._settings.log_file(service.name)
        return ServiceFailedError(service.name, reason, log_file, tail(self._settings, service.name, TAIL_LINES))


def tail(settings: StackSettings, name: str, lines: int) -> str:
    """Returns the last lines of a service's log, or a word that there is none."""
    try:
        text = settings.log_file(name).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return "(no log)"
    # After a fatal message SeaweedFS writes the stacks of all its threads, which would push the message out of sight.
    text = text.partition("\ngoroutine ")[0]
    return "\n".join(text.splitlines()[-lines:]) or "(the log is empty)"
