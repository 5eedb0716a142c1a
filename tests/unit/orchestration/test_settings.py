from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from include.orchestration.settings import Settings, read_settings
from include.retraining.config import DIRECTORY
from include.retraining.errors import ConfigurationError

DEFAULTS = Settings(bucket="lake", classifiers=DIRECTORY, retry_delay=timedelta(seconds=10))
VARIABLES = ("RETRAIN_BUCKET", "RETRAIN_CLASSIFIERS", "RETRAIN_RETRY_DELAY_SECONDS")


def test_without_variables_the_settings_are_those_of_the_embedded_stack():
    assert read_settings() == DEFAULTS


def test_each_variable_changes_its_setting(monkeypatch):
    for variable, value in zip(VARIABLES, ("images", "/srv/recipes", "0.5"), strict=True):
        monkeypatch.setenv(variable, value)

    assert read_settings() == Settings("images", Path("/srv/recipes"), timedelta(seconds=0.5))


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_empty_variable_counts_as_absent(monkeypatch, variable):
    monkeypatch.setenv(variable, "")

    assert read_settings() == DEFAULTS


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf", "1e9"])
def test_a_delay_that_is_none_is_refused_with_the_variable_and_a_value_that_would_do(monkeypatch, text):
    monkeypatch.setenv("RETRAIN_RETRY_DELAY_SECONDS", text)

    with pytest.raises(ConfigurationError, match=f"got '{text}'. Write RETRAIN_RETRY_DELAY_SECONDS=10"):
        read_settings()
