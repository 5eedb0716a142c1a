from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.builders import make_config
from tests.dags.dag_files import read_dags
from tests.recipes import write_recipe


@pytest.fixture(scope="session")
def dag_bag() -> Any:
    """The Dags of the shipped recipes."""
    return read_dags()


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of recipes that the Dag files read instead of the shipped one: `flowers` and `birds`."""
    for name in ("flowers", "birds"):
        write_recipe(tmp_path, make_config(name))
    monkeypatch.setenv("RETRAIN_CLASSIFIERS", str(tmp_path))
    return tmp_path
