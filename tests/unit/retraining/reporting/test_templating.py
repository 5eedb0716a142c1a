from __future__ import annotations

import pytest

from include.retraining.reporting.templating import difference, figure, megabytes, signed


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0.0, "0"),
        (0.75, "0.7500"),
        (1.0, "1.0000"),
        (-0.02, "−0.0200"),
        (50.0, "50"),
        (12.5, "12.5"),
        (1234.567, "1,234.57"),
        (-30.0, "−30"),
    ],
)
def test_what_a_gate_compares_is_shown_by_its_size(value: float | None, shown: str) -> None:
    assert figure(value) == shown


def test_differences_carry_their_sign_and_undefined_ones_a_dash() -> None:
    assert [signed(0.01), signed(-0.01), signed(None)] == ["+0.0100", "−0.0100", "–"]
    assert [difference(0.5, 0.75), difference(None, 0.5), difference(0.5, None)] == ["−0.2500", "–", "–"]


def test_sizes_are_in_units_of_a_million_bytes() -> None:
    assert megabytes(15_250_000) == "15.2\u00a0MB"
