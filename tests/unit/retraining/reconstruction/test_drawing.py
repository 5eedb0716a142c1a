from __future__ import annotations

import pytest

from include.retraining.reconstruction.drawing import fitted, font


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("ankle_boot", "ankle_boot", id="plain"),
        pytest.param("Käfer", "Kafer", id="accents"),
        pytest.param("花", "?", id="letters that the font lacks"),
        pytest.param("", "", id="nothing"),
    ],
)
def test_text_is_shown_in_letters_that_the_font_knows(text, expected):
    assert fitted(text, 13, 300) == expected


def test_long_text_is_cut_to_the_width_and_says_so():
    text = fitted("a label that somebody made far too long", 13, 80)

    assert text.endswith("…")
    assert text.startswith("a label")
    assert font(13).getlength(text) <= 80
