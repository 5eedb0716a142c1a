from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from include.retraining.intake.attributes import attributes_of, attributes_text

WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.dictionaries(WORDS, WORDS, max_size=8))
def test_attributes_are_read_back_without_the_empty_ones(values):
    text = attributes_text(values)

    assert attributes_of(text) == {name: value for name, value in values.items() if value}
    assert attributes_text(dict(reversed(values.items()))) == text


def test_equal_attributes_are_one_text_in_any_order():
    assert attributes_text({"b": "2", "a": "ü", "c": ""}) == '{"a":"ü","b":"2"}'
    assert attributes_text({"a": "ü", "b": "2"}) == '{"a":"ü","b":"2"}'


@pytest.mark.parametrize("values", [{}, {"site": ""}])
def test_no_attributes_are_no_text(values):
    assert attributes_text(values) == ""
    assert attributes_of("") == {}


def test_empty_ones_do_not_count_towards_the_number():
    many = {str(number): "x" if number < 32 else "" for number in range(100)}

    assert len(json.loads(attributes_text(many))) == 32
    with pytest.raises(ValueError, match="says 33 things"):
        attributes_text(many | {"32": "x"})


def test_too_long_a_one_is_named():
    assert attributes_text({"note": "x" * 200})
    with pytest.raises(ValueError, match="has 201 characters as 'note'"):
        attributes_text({"note": "x" * 201})
