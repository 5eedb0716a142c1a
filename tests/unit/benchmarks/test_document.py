from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import document as command
from benchmarks.document import document, main
from benchmarks.results import RESULTS

RESULT: dict[str, Any] = {
    "title": "Reading",
    "command": "python -m benchmarks.reading",
    "method": "A book is read.",
    "seconds": 1.25,
    "pages": {"first": 10, "by_chapter": {"one": 4}},
    "versions": {"python": "3.11.7", "numpy": "2.4.6"},
    "cores": 2,
    "commit": "abc123",
}
SECTION = """## Reading

A book is read.

`python -m benchmarks.reading`, 2 cores, commit `abc123`, python 3.11.7, numpy 2.4.6.

| figure | value |
|---|---|
| `seconds` | 1.25 |
| `pages.first` | 10 |
| `pages.by_chapter.one` | 4 |
"""


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one result; the document is beside it."""
    folder = tmp_path / "results"
    folder.mkdir()
    write(folder, "reading", RESULT)
    monkeypatch.setattr(command, "RESULTS", folder)
    monkeypatch.setattr(command, "DOCUMENT", tmp_path / "benchmarks.md")
    return folder


def write(folder: Path, name: str, result: dict[str, Any]) -> None:
    (folder / f"{name}.json").write_text(json.dumps(result), encoding="utf-8")


def test_a_result_becomes_a_section_with_its_command_circumstances_and_every_figure(results):
    assert document(results).endswith(SECTION)


def test_rows_of_features_become_a_table_with_mean_and_deviation(results):
    rows = [
        {"features": "pixels", "strategy": "none", "acsa": {"mean": 70.126, "sd": 0.5}},
        {"features": "frozen", "strategy": "smote", "acsa": {"mean": 86.0, "sd": 0.25}},
    ]
    write(results, "reading", {**RESULT, "rows": rows})

    text = document(results)

    assert "| features | strategy | acsa |\n|---|---|---|\n| pixels | none | 70.13 ± 0.50 |\n" in text
    assert "| frozen | smote | 86.00 ± 0.25 |\n\n| figure | value |" in text
    assert "rows." not in text


def test_sections_stand_in_the_order_of_the_files(results):
    write(results, "archive", {**RESULT, "title": "Archiving"})

    headings = [line for line in document(results).splitlines() if line.startswith("#")]

    assert headings == ["# Benchmarks", "## Archiving", "## Reading"]


def test_a_figure_is_shown_even_where_it_is_called_like_a_circumstance(results):
    write(results, "reading", {**RESULT, "pages": {"title": 1, "cores": 8}})

    assert "| `pages.title` | 1 |\n| `pages.cores` | 8 |" in document(results)


def test_writing_and_then_checking_agree(results):
    assert main(["--check"]) == 1
    assert main([]) == 0
    assert main(["--check"]) == 0


def test_a_result_that_changed_since_is_found_with_the_command_that_mends_it(results, capsys):
    main([])
    write(results, "reading", {**RESULT, "seconds": 1.26})

    assert main(["--check"]) == 1
    assert "run `python -m benchmarks.document`" in capsys.readouterr().err


def test_a_document_that_was_edited_by_hand_is_found_and_left_as_it_is(results):
    main([])
    command.DOCUMENT.write_text(command.DOCUMENT.read_text().replace("1.25", "0.25"))

    assert main(["--check"]) == 1
    assert "0.25" in command.DOCUMENT.read_text()


@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_recorded_result_has_a_benchmark_that_measures_it_again(path: Path):
    recorded = json.loads(path.read_text(encoding="utf-8"))
    benchmark = importlib.import_module(f"benchmarks.{path.stem}").BENCHMARK

    assert (benchmark.name, benchmark.command) == (path.stem, f"python -m benchmarks.{path.stem}")
    assert recorded["command"] == benchmark.command
    assert recorded.keys() > {"title", "command", "method", "versions", "cores", "commit"}
