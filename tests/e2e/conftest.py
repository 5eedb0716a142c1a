"""The whole embedded stack once for all tests, on its own ports and in its own directory, beside whatever else runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from embedded.credentials import load_credentials
from embedded.ports import find_free_ports
from embedded.processes import marked_processes
from embedded.settings import StackSettings
from embedded.stack import ALL_SERVICES, EmbeddedStack

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


class RecipesStack(EmbeddedStack):
    """A stack whose Airflow has the tests' small recipe, also when a test starts again what it killed."""

    def up(self, services: Iterable[str] = ALL_SERVICES) -> None:
        """Starts what does not run."""
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("RETRAIN_CLASSIFIERS", str(HERE / "recipes"))
            environment.setenv("RETRAIN_RETRY_DELAY_SECONDS", "1")
            super().up(services)


@pytest.fixture(scope="session")
def embedded_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """SeaweedFS with its bucket, PostgreSQL and Airflow with this checkout's Dags, healthy; no process outlives it."""
    stack = RecipesStack(StackSettings(tmp_path_factory.mktemp("embedded stack"), find_free_ports()))
    stack.up()
    credentials = load_credentials(stack.settings.credentials_file)
    assert credentials is not None

    yield stack

    stack.down()
    assert marked_processes(credentials.marker) == []
