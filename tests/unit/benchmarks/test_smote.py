from __future__ import annotations

import numpy as np
import pytest

from benchmarks import results
from benchmarks.smote import RATIO, main, make_rows, measure_imblearn, measure_plan


def test_classes_are_geometric_and_the_rows_are_the_same_in_every_process():
    X, y = make_rows(20_000, 2)
    sizes = np.bincount(y)

    assert len(X) == len(y) == sizes.sum() == 20_000
    assert X.dtype == np.float32
    assert sizes[0] / sizes[-1] == pytest.approx(RATIO, rel=0.02)
    assert np.ptp(sizes[:-1] / sizes[1:]) < 0.05
    assert np.array_equal(X, make_rows(20_000, 2)[0])


def test_both_make_the_same_rows_and_other_rows_have_another_digest():
    X, y = make_rows(2_000, 16)
    plan, imblearn = measure_plan(X, y), measure_imblearn(X, y)

    assert plan.n_made == imblearn.n_made == 10 * np.bincount(y).max() - len(y)
    assert plan.digest == imblearn.digest
    assert 0 < plan.planning_cpu_seconds <= plan.used.cpu_seconds

    X[y == 1] += np.float32(0.001)
    assert measure_plan(X, y).digest != plan.digest


def test_a_trial_tells_its_ratios_and_writes_nothing(tmp_path, monkeypatch: pytest.MonkeyPatch, capfd):
    monkeypatch.setattr(results, "RESULTS", tmp_path)

    status = main(["--rows", "1500", "--features", "8", "--large-rows", "1200"])

    printed = capfd.readouterr().out
    assert status == 0
    assert "a trial, not written" in printed
    assert '"identical": true' in printed
    assert '"large"' in printed
    assert list(tmp_path.iterdir()) == []
