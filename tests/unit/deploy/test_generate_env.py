from __future__ import annotations

import base64
import os
import re
import stat
from pathlib import Path

import pytest

from deploy import generate_env
from deploy.generate_env import REPOSITORY, fill_in, find_missing, write_new

EXAMPLE = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
SOURCES = ("include", "dags", "plugins", "embedded", "demo", "deploy")
SET_BY_THE_PROJECT_ITSELF = {"RETRAIN_EMBEDDED_MARKER"}


def values_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line and not line.startswith("#"))


def test_every_empty_variable_gets_a_secret_of_its_own_and_the_others_stay():
    before, after = values_of(EXAMPLE), values_of(fill_in(EXAMPLE))

    generated = [after[name] for name, value in before.items() if not value]
    assert len(generated) == 8
    assert len(set(generated)) == 8
    assert all(len(secret) >= 44 for secret in generated)
    assert {name: after[name] for name, value in before.items() if value} == {n: v for n, v in before.items() if v}


def test_two_calls_give_different_secrets():
    assert not set(values_of(fill_in("A=\nB=\n")).values()) & set(values_of(fill_in("A=\nB=\n")).values())


def test_the_fernet_key_is_32_bytes_in_base64_and_the_other_secrets_need_no_quoting():
    secrets = values_of(fill_in("AIRFLOW_FERNET_KEY=\nPOSTGRES_PASSWORD=\n"))

    assert len(base64.urlsafe_b64decode(secrets["AIRFLOW_FERNET_KEY"])) == 32
    assert re.fullmatch(r"[0-9a-f]{64}", secrets["POSTGRES_PASSWORD"])


def test_only_the_owner_can_read_the_file_whatever_the_umask(tmp_path: Path):
    before = os.umask(0)
    try:
        assert write_new(tmp_path / ".env", "A=1\n")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert (tmp_path / ".env").read_text() == "A=1\n"


def test_a_file_that_is_there_is_never_touched(tmp_path: Path):
    (tmp_path / ".env").write_text("A=mine\n")

    assert not write_new(tmp_path / ".env", "A=other\n")
    assert (tmp_path / ".env").read_text() == "A=mine\n"


def test_a_variable_that_is_absent_or_empty_is_missing():
    assert find_missing("# A\nA=\nB=1\nC=\n", "C=secret\nA=\n") == ["A", "B"]


def test_the_script_writes_once_and_then_names_what_is_missing(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr(generate_env, "REPOSITORY", tmp_path)
    (tmp_path / ".env.example").write_text("A=\n")
    assert generate_env.main() == 0
    written = (tmp_path / ".env").read_text()
    assert generate_env.main() == 0
    (tmp_path / ".env.example").write_text("A=\nB=\n")

    assert generate_env.main() == 1

    assert (tmp_path / ".env").read_text() == written
    assert "no value for B" in capsys.readouterr().err


@pytest.mark.parametrize("source", SOURCES)
def test_each_variable_that_the_code_reads_is_described_in_the_example(source: str):
    code = "".join(path.read_text(encoding="utf-8") for path in (REPOSITORY / source).rglob("*.py"))

    read = set(re.findall(r"\bRETRAIN_[A-Z0-9_]*[A-Z0-9]\b", code)) - SET_BY_THE_PROJECT_ITSELF

    described = set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", EXAMPLE, re.MULTILINE))
    assert read <= described


def test_each_variable_of_the_example_has_a_line_that_describes_it():
    lines = EXAMPLE.splitlines()

    undescribed = [
        line
        for above, line in zip(lines, lines[1:], strict=False)
        if re.match("#?[A-Z_0-9]+=", line) and above[:2] != "# "
    ]

    assert not undescribed
