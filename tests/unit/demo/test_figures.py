from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from demo.figures import Figures, record, write_last

FIRST = Figures(
    first_run=True,
    total_seconds=412.34567,
    stage_seconds={"intake": 12.34567, "embedding": 60.0},
    embedded_images=11_000,
    macro_recall={"none": 0.8301, "class_weights": 0.8601, "smote": 0.8622},
)
SECOND = Figures(
    first_run=False,
    total_seconds=101.0,
    stage_seconds={"intake": 1.0},
    embedded_images=0,
    macro_recall=FIRST.macro_recall,
)
REPOSITORY = Path(__file__).parents[3]


def test_the_latest_figures_are_kept_as_json(tmp_path):
    path = tmp_path / "demo-last.json"

    write_last(FIRST, path)

    kept = json.loads(path.read_text())
    assert kept["total_seconds"] == 412.3457
    assert kept["embedded_images"] == 11_000
    assert kept["stage_seconds"] == {"intake": 12.3457, "embedding": 60.0}


def test_a_first_run_begins_the_benchmark_and_a_second_one_completes_it(tmp_path):
    path = tmp_path / "results" / "demo.json"

    record(FIRST, path, REPOSITORY)
    first = json.loads(path.read_text())
    record(SECOND, path, REPOSITORY)
    second = json.loads(path.read_text())

    assert first["first_run_seconds"] == pytest.approx(412.3457)
    assert (first["second_run_seconds"], first["embedded_again"]) == (None, None)
    assert (second["second_run_seconds"], second["embedded_again"]) == (101.0, 0)
    kept = ("first_run_seconds", "macro_recall_none", "macro_recall_smote", "stage_seconds")
    assert {name: second[name] for name in kept} == {name: first[name] for name in kept}


def test_a_first_run_forgets_the_second_one_of_an_earlier_time(tmp_path):
    path = tmp_path / "demo.json"
    record(FIRST, path, REPOSITORY)
    record(SECOND, path, REPOSITORY)

    record(FIRST, path, REPOSITORY)

    assert json.loads(path.read_text())["second_run_seconds"] is None


def test_the_circumstances_are_written_down_and_nothing_else_of_the_machine(tmp_path):
    path = tmp_path / "demo.json"

    record(FIRST, path, REPOSITORY)

    document = json.loads(path.read_text())
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert document["command"] == "make demo"
    assert document["commit"] == head.stdout.strip()
    assert document["cores"] == os.cpu_count()
    assert {"python", "apache-airflow", "tensorflow"} <= set(document["versions"])
    assert set(document) == {
        "command",
        "first_run_seconds",
        "second_run_seconds",
        "embedded_again",
        "macro_recall_none",
        "macro_recall_smote",
        "stage_seconds",
        "versions",
        "cores",
        "commit",
    }


def test_outside_a_repository_the_commit_is_unknown(tmp_path):
    path = tmp_path / "demo.json"

    record(FIRST, path, tmp_path)

    assert json.loads(path.read_text())["commit"] == "unknown"
