from __future__ import annotations

from pathlib import Path

import pytest

from embedded.errors import SettingError, StateError
from embedded.ports import Ports
from embedded.settings import REPOSITORY, StackSettings, load_settings, remember_ports, remembered_ports


def test_without_arguments_and_variables_the_state_is_in_the_repository() -> None:
    settings = load_settings(environ={})

    assert settings.state_dir == REPOSITORY / ".embedded"
    assert settings.repository == REPOSITORY


def test_a_variable_chooses_the_directory_and_an_argument_wins_over_it(tmp_path: Path) -> None:
    environ = {"RETRAIN_EMBEDDED_DIR": str(tmp_path / "variable")}

    assert load_settings(environ=environ).state_dir == tmp_path / "variable"
    assert load_settings(tmp_path / "argument", environ).state_dir == tmp_path / "argument"


def test_a_relative_directory_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert load_settings(Path("state"), {}).state_dir == tmp_path / "state"


def test_variables_choose_the_ports(tmp_path: Path) -> None:
    environ = {"RETRAIN_UI_PORT": "9001", "RETRAIN_S3_PORT": " 9100 ", "RETRAIN_POSTGRES_PORT": ""}

    assert load_settings(tmp_path, environ).ports == Ports(ui=9001, s3=9100, postgres=8338)


def test_the_ports_of_the_first_start_are_taken_again(tmp_path: Path) -> None:
    first = StackSettings(tmp_path, Ports(ui=9001, s3=9100, postgres=9200))

    remember_ports(first)

    assert remembered_ports(tmp_path) == first.ports
    assert load_settings(tmp_path, {}).ports == first.ports


def test_a_variable_wins_over_a_remembered_port(tmp_path: Path) -> None:
    remember_ports(StackSettings(tmp_path, Ports(ui=9001, s3=9100, postgres=9200)))

    assert load_settings(tmp_path, {"RETRAIN_UI_PORT": "9002"}).ports == Ports(ui=9002, s3=9100, postgres=9200)


@pytest.mark.parametrize(
    ("variable", "text", "range_named"),
    [
        pytest.param("RETRAIN_UI_PORT", "http", "1024 to 65535", id="no number"),
        pytest.param("RETRAIN_UI_PORT", "80", "1024 to 65535", id="needs root"),
        pytest.param("RETRAIN_POSTGRES_PORT", "70000", "1024 to 65535", id="too high"),
        pytest.param("RETRAIN_S3_PORT", "60000", "1024 to 55531", id="no room for the twins"),
        pytest.param("RETRAIN_UI_PORT", "-8080", "1024 to 65535", id="negative"),
    ],
)
def test_what_is_no_port_is_refused_with_the_range(tmp_path: Path, variable: str, text: str, range_named: str) -> None:
    with pytest.raises(SettingError) as caught:
        load_settings(tmp_path, {variable: text})

    assert str(caught.value).startswith(f"{variable}: {text!r} is not a port from {range_named}")
    assert f"{variable}=" in caught.value.cure


def test_a_broken_memory_of_the_ports_says_which_file_to_delete(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{", encoding="utf-8")

    with pytest.raises(StateError, match="Delete it") as caught:
        load_settings(tmp_path, {})

    assert caught.value.path == tmp_path / "ports.json"
