from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from embedded.processes import (
    MARKER_VARIABLE,
    ProcessRecord,
    family_of,
    find_process,
    load_record,
    marked_processes,
    save_record,
    start_process,
    stop_processes,
)

PATIENCE_SECONDS = 20
SLEEP = (sys.executable, "-c", "import time; time.sleep(600)")
# A child in a process group of its own, as Airflow's tasks are.
PARENT = (
    sys.executable,
    "-c",
    "import subprocess, sys, time\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], process_group=0)\n"
    "time.sleep(600)",
)
STUBBORN = (
    sys.executable,
    "-c",
    "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready', flush=True)\ntime.sleep(600)",
)

Start = Callable[..., ProcessRecord]


@pytest.fixture
def marker() -> str:
    return os.urandom(8).hex()


@pytest.fixture
def start(tmp_path: Path, marker: str) -> Iterator[Start]:
    def start_one(command: tuple[str, ...]) -> ProcessRecord:
        environment = {MARKER_VARIABLE: marker, "PATH": os.defpath}
        return start_process(command, environment=environment, directory=tmp_path, log_file=tmp_path / "log")

    yield start_one
    stop_processes(marked_processes(marker), stop_signal=signal.SIGKILL)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.02)


def test_a_started_process_leads_a_session_of_its_own(start: Start) -> None:
    record = start(SLEEP)

    assert os.getsid(record.pid) == record.pid != os.getsid(0)


def test_its_output_goes_to_the_end_of_the_file(start: Start, tmp_path: Path) -> None:
    (tmp_path / "log").write_text("before\n", encoding="utf-8")

    start((sys.executable, "-c", "print('after')"))

    wait_for(lambda: (tmp_path / "log").read_text(encoding="utf-8") == "before\nafter\n")


def test_a_record_finds_its_process_again(start: Start, tmp_path: Path) -> None:
    record = start(SLEEP)
    save_record(tmp_path / "record.json", record)

    found = find_process(load_record(tmp_path / "record.json"))

    assert found is not None
    assert found.pid == record.pid


def test_another_process_that_got_the_number_is_not_taken_for_it(start: Start) -> None:
    record = start(SLEEP)

    earlier = replace(record, created=record.created - 60)

    assert find_process(earlier) is None


def test_a_process_that_ended_is_not_found(start: Start) -> None:
    record = start((sys.executable, "-c", "pass"))

    wait_for(lambda: find_process(record) is None)


@pytest.mark.parametrize("text", ["", "{}", '{"pid": 1}', "[1]"])
def test_a_record_that_cannot_be_read_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text, encoding="utf-8")

    assert load_record(tmp_path / "record.json") is None
    assert load_record(tmp_path / "missing.json") is None
    assert find_process(None) is None


def test_a_family_holds_children_that_left_the_process_group(start: Start) -> None:
    parent = psutil.Process(start(PARENT).pid)
    wait_for(lambda: len(parent.children()) == 1)

    family = family_of([parent])

    assert [member.pid for member in family] == [parent.pid, parent.children()[0].pid]
    assert os.getpgid(family[1].pid) != os.getpgid(parent.pid)


def test_stopping_a_family_leaves_nobody(start: Start, marker: str) -> None:
    parent = psutil.Process(start(PARENT).pid)
    wait_for(lambda: len(parent.children()) == 1)

    stop_processes(family_of([parent]))

    assert marked_processes(marker) == []


def test_who_does_not_listen_is_killed(start: Start, marker: str, tmp_path: Path) -> None:
    stubborn = psutil.Process(start(STUBBORN).pid)
    wait_for(lambda: (tmp_path / "log").read_text(encoding="utf-8") == "ready\n")

    stop_processes([stubborn], grace_seconds=0.2)

    assert marked_processes(marker) == []


def test_orphans_are_found_by_their_marker(start: Start, marker: str) -> None:
    parent = psutil.Process(start(PARENT).pid)
    wait_for(lambda: len(parent.children()) == 1)
    orphan = parent.children()[0].pid

    parent.kill()

    wait_for(lambda: [process.pid for process in marked_processes(marker)] == [orphan])


def test_the_marker_of_another_stack_does_not_match(start: Start, marker: str) -> None:
    start(SLEEP)

    assert marked_processes(marker + "0") == []


def test_stopping_what_ended_already_is_no_error(start: Start) -> None:
    record = start((sys.executable, "-c", "pass"))
    process = psutil.Process(record.pid)
    wait_for(lambda: find_process(record) is None)

    stop_processes([process])
