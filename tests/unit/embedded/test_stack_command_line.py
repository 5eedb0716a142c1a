from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest

from embedded.__main__ import main
from embedded.credentials import ensure_credentials
from embedded.ports import Ports
from embedded.processes import ProcessRecord, save_record
from embedded.settings import StackSettings, remember_ports


@pytest.fixture
def stopped_stack(tmp_path: Path) -> StackSettings:
    """A stack that was started once, on ports that the environment does not name."""
    settings = StackSettings(tmp_path / "state", Ports(ui=9001, s3=9100, postgres=9200))
    settings.state_dir.mkdir()
    ensure_credentials(settings.credentials_file)
    remember_ports(settings)
    return settings


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RETRAIN_EMBEDDED_DIR", "RETRAIN_UI_PORT", "RETRAIN_S3_PORT", "RETRAIN_POSTGRES_PORT"):
        monkeypatch.delenv(name, raising=False)


def run(settings: StackSettings, *arguments: str) -> int:
    return main(["--state-dir", str(settings.state_dir), *arguments])


def test_a_shell_that_evaluates_env_reaches_the_store(
    stopped_stack: StackSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stopped_stack, "env") == 0

    lines = capsys.readouterr().out
    shell = subprocess.run(
        ["sh", "-c", 'eval "$1" && env', "sh", lines], env={}, capture_output=True, text=True, check=True
    )
    exported = dict(line.split("=", 1) for line in shell.stdout.splitlines())
    credentials = ensure_credentials(stopped_stack.credentials_file)
    assert exported["RETRAIN_BUCKET"] == "lake"
    assert exported["RETRAIN_S3_ENDPOINT_URL"] == "http://127.0.0.1:9100"
    assert exported["AWS_ACCESS_KEY_ID"] == credentials.s3_access_key
    assert exported["AWS_SECRET_ACCESS_KEY"] == credentials.s3_secret_key
    assert exported["AWS_DEFAULT_REGION"] == "us-east-1"


def test_env_quotes_what_a_shell_would_interpret(
    stopped_stack: StackSettings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    awkward = 'it\'s $HOME `and` "more"'
    monkeypatch.setattr("embedded.stack.seaweed.s3_environment", lambda *_: {"RETRAIN_BUCKET": awkward})

    run(stopped_stack, "env")

    assert shlex.split(capsys.readouterr().out) == ["export", f"RETRAIN_BUCKET={awkward}"]


def test_env_without_a_stack_is_an_error_on_the_error_stream(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(StackSettings(tmp_path / "nothing"), "env") == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "there is no stack in it. Start it first: `make up`." in printed.err


def test_down_where_nothing_ever_ran_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(StackSettings(tmp_path / "nothing"), "down") == 0

    assert "nothing runs" in capsys.readouterr().out
    assert not (tmp_path / "nothing").exists()


def test_down_after_a_reboot_kills_nobody(stopped_stack: StackSettings, capsys: pytest.CaptureFixture[str]) -> None:
    bystander = subprocess.Popen(["sleep", "600"])
    try:
        stopped_stack.record_file("postgres").parent.mkdir()
        save_record(stopped_stack.record_file("postgres"), ProcessRecord(bystander.pid, created=1.0, started=1.0))
        save_record(stopped_stack.record_file("scheduler"), ProcessRecord(pid=2**22 + 1, created=1.0, started=1.0))

        assert run(stopped_stack, "down") == 0

        assert bystander.poll() is None
        assert "nothing was running" in capsys.readouterr().out
    finally:
        bystander.kill()
        bystander.wait()


def test_status_of_a_stopped_stack_lists_every_service_and_fails(
    stopped_stack: StackSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(stopped_stack, "status") == 1

    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[:2] for row in rows] == [
        ["postgres", "stopped"],
        ["seaweedfs", "stopped"],
        ["api-server", "stopped"],
        ["scheduler", "stopped"],
        ["dag-processor", "stopped"],
        ["triggerer", "stopped"],
    ]
    assert [row[2] for row in rows if len(row) > 2] == ["9200", "9100", "9001"]


def test_logs_shows_the_end_of_one_service_s_log(
    stopped_stack: StackSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    log_file = stopped_stack.log_file("scheduler")
    log_file.parent.mkdir()
    log_file.write_text("".join(f"line {number}\n" for number in range(100)), encoding="utf-8")

    assert run(stopped_stack, "logs", "scheduler") == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"==> {log_file} <=="
    assert lines[1:] == [f"line {number}" for number in range(60, 100)]


def test_a_busy_port_stops_the_start_before_anything_runs(
    stopped_stack: StackSettings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedded.ports.is_free", lambda port: port != 19_102)

    assert run(stopped_stack, "up") == 1

    assert "Port 19102 of 127.0.0.1 is taken, and SeaweedFS (filer, gRPC) wants it" in capsys.readouterr().err
    assert not stopped_stack.postgres_data.exists()
