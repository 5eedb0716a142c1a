from __future__ import annotations

from pathlib import Path

import pytest

from include.retraining.command_line import main as command
from include.retraining.storage.memory import InMemoryStore
from tests.builders import make_config
from tests.recipes import write_recipe


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InMemoryStore:
    """The store that the command line finds; `flowers` is its only classifier, the terminal has 80 columns."""
    write_recipe(tmp_path, make_config("flowers"))
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "80")
    store = InMemoryStore()
    monkeypatch.setattr(command, "store_from", lambda environment: store)
    return store
