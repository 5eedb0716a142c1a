from __future__ import annotations

import re
from typing import Any, get_args

import pytest
import yaml

from include.retraining.config import CONFIDENCES, OVERALL_METRICS, SLICE_METRICS, GateConfig
from tests.builders import make_config
from tests.docs.documents import read

PROMOTION = read("docs/promotion.md")
GATES: dict[str, Any] = {
    get_args(gate.model_fields["gate"].annotation)[0]: gate for gate in get_args(get_args(GateConfig)[0])
}
ROWS = dict(re.findall(r"^\| `(?!gate`)(\w+)` (\|.*\|)$", PROMOTION.partition("### Rules")[0], re.MULTILINE))


@pytest.mark.parametrize("block", re.findall(r"^```yaml\n(.*?)^```", PROMOTION, re.MULTILINE | re.DOTALL))
def test_every_section_of_a_recipe_on_the_page_is_understood(block: str):
    assert make_config(**yaml.safe_load(block)).gates


def test_every_gate_has_its_row_and_no_other_has():
    assert set(ROWS) == set(GATES)


@pytest.mark.parametrize("gate", GATES)
def test_a_row_names_every_setting_of_its_gate_with_its_default(gate: str):
    settings = {name: field for name, field in GATES[gate].model_fields.items() if name != "gate"}

    assert set(re.findall(r"`(\w+)`", ROWS[gate])) == set(settings)
    for name, field in settings.items():
        if isinstance(field.default, int | float):
            assert f"`{name}` ({field.default}" in ROWS[gate]


def test_the_page_names_all_metrics_and_confidences():
    (metrics,) = re.findall(r"^\*\*Metrics\*\* are (.*?), and by label", PROMOTION, re.MULTILINE)
    (of_slices,) = re.findall(r"A slice has (.*?)\.", PROMOTION, re.DOTALL)
    (others,) = re.findall(r"`confidence` \(0\.95; also (.*?)\)", PROMOTION)

    assert tuple(re.findall(r"`(\w+)`", metrics)) == OVERALL_METRICS
    assert tuple(re.findall(r"`(\w+)`", of_slices)) == SLICE_METRICS
    assert {0.95, *map(float, others.split(", "))} == set(CONFIDENCES)
