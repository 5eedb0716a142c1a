from __future__ import annotations

import json

from demo.figures import Figures, write_last

FIGURES = Figures(
    total_seconds=412.34567,
    stage_seconds={"intake": 12.34567, "embedding": 60.0},
    embedded_images=11_000,
    macro_recall={"none": 0.8301, "class_weights": 0.8601, "smote": 0.8622},
)


def test_the_latest_figures_are_kept_as_json(tmp_path):
    path = tmp_path / "demo-last.json"

    write_last(FIGURES, path)

    kept = json.loads(path.read_text())
    assert kept["total_seconds"] == 412.3457
    assert kept["embedded_images"] == 11_000
    assert kept["stage_seconds"] == {"intake": 12.3457, "embedding": 60.0}
