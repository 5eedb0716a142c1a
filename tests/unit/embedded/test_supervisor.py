from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from embedded.errors import ServiceFailedError
from embedded.processes import MARKER_VARIABLE, load_record, marked_processes, save_record, stop_processes
from embedded.services import Service
from embedded.settings import StackSettings
from embedded.supervisor import Supervisor, tail

MARKER = os.urandom(8).hex()


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[StackSettings]:
    made = StackSettings(state_dir=tmp_path)
    made.log_file("any").parent.mkdir()
    made.record_file("any").parent.mkdir()
    yield made
    stop_processes(marked_processes(MARKER))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(settings: StackSettings, said: list[str]) -> Supervisor:
    return Supervisor(settings, said.append)


def python_service(code: str, directory: Path, *, healthy: bool = True) -> Service:
    return Service(
        name="worker",
        port=None,
        command=(sys.executable, "-c", code),
        environment={MARKER_VARIABLE: MARKER},
        directory=directory,
        probe=lambda _started: healthy,
    )


def test_a_service_that_answers_is_said_to_be_healthy(
    supervisor: Supervisor, settings: StackSettings, said: list[str]
) -> None:
    service = python_service("import time; time.sleep(600)", settings.state_dir)

    supervisor.start(service)
    supervisor.wait_until_healthy([service], timeout_seconds=10)

    assert said == ["worker is healthy"]
    assert supervisor.status(service).state == "healthy"


def test_the_probe_gets_the_moment_of_the_start(supervisor: Supervisor, settings: StackSettings) -> None:
    asked: list[float] = []
    service = replace(
        python_service("import time; time.sleep(600)", settings.state_dir),
        probe=lambda started: asked.append(started) is None,
    )
    before = time.time()

    supervisor.start(service)
    supervisor.wait_until_healthy([service], timeout_seconds=10)

    assert before <= asked[0] <= time.time()


def test_a_death_while_starting_shows_the_last_lines_of_the_log(
    supervisor: Supervisor, settings: StackSettings
) -> None:
    code = "for number in range(30): print('line', number)"
    service = python_service(code, settings.state_dir, healthy=False)

    supervisor.start(service)
    with pytest.raises(ServiceFailedError) as caught:
        supervisor.wait_until_healthy([service], timeout_seconds=20)

    message = str(caught.value)
    assert message.startswith("worker died while it was starting. The end of ")
    assert str(settings.log_file("worker")) in message
    assert message.endswith("\n".join(f"line {number}" for number in range(10, 30)))


def test_a_service_that_never_answers_fails_in_time(supervisor: Supervisor, settings: StackSettings) -> None:
    service = python_service("import time; time.sleep(600)", settings.state_dir, healthy=False)

    supervisor.start(service)
    with pytest.raises(ServiceFailedError, match="was not healthy after 0 s"):
        supervisor.wait_until_healthy([service], timeout_seconds=0.2)

    assert supervisor.status(service).state == "unhealthy"


def test_a_stopped_service_is_forgotten(supervisor: Supervisor, settings: StackSettings) -> None:
    service = python_service("import time; time.sleep(600)", settings.state_dir)
    supervisor.start(service)

    supervisor.stop([service])

    assert supervisor.process("worker") is None
    assert not settings.record_file("worker").exists()
    assert supervisor.status(service).state == "stopped"


def test_stopping_spares_the_process_that_got_the_number(supervisor: Supervisor, settings: StackSettings) -> None:
    service = python_service("import time; time.sleep(600)", settings.state_dir)
    supervisor.start(service)
    path = settings.record_file("worker")
    record = load_record(path)
    assert record is not None
    save_record(path, replace(record, created=record.created - 3600))

    supervisor.stop([service])

    assert [process.pid for process in marked_processes(MARKER)] == [record.pid]


def test_a_missing_and_an_empty_log_are_told_apart(settings: StackSettings) -> None:
    settings.log_file("empty").touch()

    assert tail(settings, "missing", 5) == "(no log)"
    assert tail(settings, "empty", 5) == "(the log is empty)"


def test_the_stacks_of_a_dying_server_do_not_hide_its_last_words(settings: StackSettings) -> None:
    stacks = "".join(f"goroutine {number} [running]:\n\tmain.go:{number}\n" for number in range(50))
    settings.log_file("server").write_text(f"ready\ncannot open the folder\n{stacks}", encoding="utf-8")

    assert tail(settings, "server", 20) == "ready\ncannot open the folder"


def test_a_start_begins_a_new_log_and_keeps_the_last(supervisor: Supervisor, settings: StackSettings) -> None:
    log_file = settings.log_file("worker")
    log_file.write_text("the run before\n", encoding="utf-8")

    supervisor.start(python_service("import time; time.sleep(600)", settings.state_dir))

    assert log_file.read_text(encoding="utf-8") == ""
    assert log_file.with_suffix(".previous.log").read_text(encoding="utf-8") == "the run before\n"
