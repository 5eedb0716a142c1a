from __future__ import annotations

import json
import os

import pytest

from benchmarks import results
from benchmarks.results import Benchmark, write_result

BENCHMARK = Benchmark(name="made", title="Made", command="make it", method="By hand.", packages=("keras",))


def test_figures_stand_beside_their_command_and_circumstances(tmp_path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(results, "RESULTS", tmp_path)

    path = write_result(BENCHMARK, {"seconds": 1.23456, "by_stage": {"intake": 2.0, "rows": [0.123456, 3]}})

    document = json.loads(path.read_text())
    assert path == tmp_path / "made.json"
    assert document["seconds"] == pytest.approx(1.2346)
    assert document["by_stage"] == {"intake": 2.0, "rows": [0.1235, 3]}
    assert (document["command"], document["cores"]) == ("make it", os.cpu_count())
    assert set(document["versions"]) == {"python", "keras"}
    assert len(document["commit"]) == 12
