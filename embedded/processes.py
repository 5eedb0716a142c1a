"""Processes that outlive the command that started them: starting them, finding them again, ending them and theirs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from embedded.errors import EmbeddedError

MARKER_VARIABLE = "RETRAIN_EMBEDDED_MARKER"
KILL_SECONDS = 5.0
# psutil counts from the second at which the machine booted, which a clock adjustment can move.
CREATION_TOLERANCE_SECONDS = 1.5

_children: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class ProcessRecord:
    """A process, so written down that its number cannot be mistaken for another's.

    Attributes:
        pid: Its number, which the system gives to another process some day.
        created: When the system says that it was created, in seconds since 1970.
        started: When we started it by the clock that Airflow's heartbeats use, in seconds since 1970.
    """

    pid: int
    created: float
    started: float


def start_process(
    command: Sequence[str], *, environment: Mapping[str, str], directory: Path, log_file: Path
) -> ProcessRecord:
    """Starts a process in a session of its own, its output at the end of a file."""
    started = time.time()
    with log_file.open("ab") as log:
        child = subprocess.Popen(
            list(command),
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children.append(child)
    return ProcessRecord(pid=child.pid, created=psutil.Process(child.pid).create_time(), started=started)


def save_record(path: Path, record: ProcessRecord) -> None:
    """Writes a record down, whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(asdict(record)) + "\n", encoding="utf-8")
    partial.replace(path)


def load_record(path: Path) -> ProcessRecord | None:
    """Returns what was written down; None if there is nothing, or nothing that can be read."""
    try:
        return ProcessRecord(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def find_process(record: ProcessRecord | None) -> psutil.Process | None:
    """Returns the process of a record if it still runs; never another one that got its number."""
    _reap_children()
    if record is None:
        return None
    try:
        process = psutil.Process(record.pid)
        same = abs(process.create_time() - record.created) <= CREATION_TOLERANCE_SECONDS
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def family_of(processes: Iterable[psutil.Process]) -> list[psutil.Process]:
    """Returns processes with all their descendants, whatever group or session those moved to; parents first."""
    found: dict[int, psutil.Process] = {}
    for process in processes:
        found.setdefault(process.pid, process)
        with suppress(psutil.NoSuchProcess):
            for child in process.children(recursive=True):
                found.setdefault(child.pid, child)
    return list(found.values())


def marked_processes(marker: str) -> list[psutil.Process]:
    """Returns the processes whose environment carries the marker, also those whose parents died."""
    # Somebody may run `make down` from a shell that a service started; it must not end itself.
    spared = {os.getpid(), *(parent.pid for parent in psutil.Process().parents())}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            marked = process.pid not in spared and process.environ().get(MARKER_VARIABLE) == marker
            if marked and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def stop_processes(
    asked: Sequence[psutil.Process], *, stop_signal: int = signal.SIGTERM, grace_seconds: float = 10.0
) -> None:
    """Asks processes to end and kills, with their descendants, those that do not.

    Args:
        asked: The processes that get the signal.
        stop_signal: What they get.
        grace_seconds: How long they may take.

    Raises:
        EmbeddedError: If a process belongs to somebody else, or is still there after SIGKILL.
    """
    everybody = family_of(asked)
    _send(asked, stop_signal)
    alive = family_of(_wait(everybody, grace_seconds))
    _send(alive, signal.SIGKILL)
    left = [process.pid for process in _wait(alive, KILL_SECONDS)]
    if left:
        raise EmbeddedError(f"Processes {left} outlived SIGKILL by {KILL_SECONDS:.0f} s. Look at what they wait for.")


def _wait(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Waits until processes ended, and returns those that did not.

    A zombie has ended: in a container whose first process reaps nobody it would stay for ever.
    """
    deadline = time.monotonic() + seconds
    alive = list(processes)
    while True:
        _reap_children()
        alive = [process for process in alive if _is_alive(process)]
        if not alive or time.monotonic() > deadline:
            return alive
        time.sleep(0.05)


def _send(processes: Iterable[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        except psutil.AccessDenied as error:
            raise EmbeddedError(
                f"Process {process.pid} belongs to another user. Run this as the user who started the stack."
            ) from error


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _reap_children() -> None:
    """Forgets children that ended; until their parent asks for them they would stay as zombies."""
    _children[:] = [child for child in _children if child.poll() is None]
