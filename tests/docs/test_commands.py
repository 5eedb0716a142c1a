from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest

from include.retraining.command_line import main as command
from include.retraining.command_line.main import main
from include.retraining.errors import ConfigurationError
from tests.docs.documents import DOCUMENTS, REPOSITORY, code_lines, code_spans, name_of, read

PROGRAM = "python -m include.retraining "
TARGETS = dict(re.findall(r"^([a-z0-9-]+):.*?## (.+)$", read("Makefile"), re.MULTILINE))
EVERYWHERE = [(name_of(path), path.read_text(encoding="utf-8")) for path in DOCUMENTS]


def commands(text: str) -> list[str]:
    """Everything in a document that can be typed: code spans, and lines of code blocks."""
    return [*code_spans(text), *code_lines(text)]


def make_targets(line: str) -> list[str]:
    """The targets that a command line makes: `make check test`, `eval "$(make -s env)"`."""
    found = re.search(r"\bmake((?: -\w| [a-z][a-z0-9-]*)+)(?=\)|\s*$|\s{2,}|\s*#)", line)
    return [word for word in found[1].split() if not word.startswith("-")] if found else []


@pytest.mark.parametrize(("name", "text"), EVERYWHERE, ids=[name for name, _ in EVERYWHERE])
def test_every_make_target_that_a_document_names_has_a_help_text(name: str, text: str):
    named = {target for line in commands(text) for target in make_targets(line)}

    assert named - TARGETS.keys() == set()


def test_targets_are_found_in_all_the_ways_in_which_they_are_written():
    assert make_targets("make demo     # on this machine") == ["demo"]
    assert make_targets("make check test") == ["check", "test"]
    assert make_targets('eval "$(make -s env)"          # the store') == ["env"]
    assert make_targets("make") == []


def test_the_readme_names_the_commands_of_the_first_five_minutes():
    named = {target for line in commands(read("README.md")) for target in make_targets(line)}

    assert {"demo", "test", "status", "logs", "down", "env", "compose-demo"} <= named


def test_every_target_that_is_no_file_says_what_it_does():
    phony = re.search(r"^\.PHONY: (.+)$", read("Makefile"), re.MULTILINE)

    assert phony is not None
    assert set(phony[1].split()) == TARGETS.keys()


def test_continuous_integration_uses_the_same_targets():
    assert {target for line in read(".ci/run").splitlines() for target in make_targets(line)} == {"check", "test"}


def command_lines() -> list[str]:
    found = [line for _, text in EVERYWHERE for line in commands(text) if line.startswith(PROGRAM)]
    return sorted({line for line in found if "…" not in line})


@pytest.mark.parametrize("line", command_lines())
def test_every_command_line_in_the_documents_is_understood(line: str, monkeypatch, capsys):
    def reached(_: Mapping[str, str]) -> None:
        raise ConfigurationError("test", "the command was understood", "and the classifier found")

    monkeypatch.setattr(command, "store_from", reached)
    # <placeholders> stand for what the reader has to fill in.
    filled = line.replace("<classifier>", "fashion_mnist").replace("<day>", "2026-01-05")
    arguments = shlex.split(filled.partition(" > ")[0], comments=True)[3:]

    if "fashion_mnist" in arguments:
        assert main(arguments) == 1
        assert "the command was understood" in capsys.readouterr().err
    else:  # prose that speaks of a command as such
        with pytest.raises(SystemExit, match="^0$"):
            main([*arguments, "--help"])


def test_the_readme_shows_every_command():
    shown = {" ".join(shlex.split(line, comments=True)[3:5]) for line in command_lines()}

    assert {"models list", "models show", "models verify"} <= shown
    for command_name in ("run", "intake", "quarantine", "release"):
        assert any(line.startswith(f"{PROGRAM}{command_name} ") for line in command_lines())


@pytest.mark.parametrize(("name", "text"), EVERYWHERE, ids=[name for name, _ in EVERYWHERE])
def test_every_script_that_a_document_runs_is_there(name: str, text: str):
    scripts = [match[1] for line in commands(text) if (match := re.match(r"python3? ([\w./]+\.py)", line))]
    modules = [match[1] for line in commands(text) if (match := re.match(r"python3? -m ([\w.]+)", line))]

    assert [script for script in scripts if not (REPOSITORY / script).is_file()] == []
    assert [module for module in modules if not is_module(module)] == []


def is_module(name: str) -> bool:
    path = REPOSITORY / Path(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__main__.py").is_file()
