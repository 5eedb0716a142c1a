"""One real service each, in a state directory and on ports of its own, beside whatever else runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from embedded import postgres, seaweed
from embedded.ports import find_free_ports
from embedded.settings import StackSettings
from embedded.stack import EmbeddedStack

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture
def fresh_stack(tmp_path: Path) -> Iterator[EmbeddedStack]:
    """A stack of which nothing was started yet; the path has a space on purpose."""
    stack = EmbeddedStack(StackSettings(tmp_path / "a state", find_free_ports()))
    yield stack
    stack.down()


@pytest.fixture(scope="session")
def seaweed_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """An S3 server with its bucket, for all tests that do not stop it."""
    stack = EmbeddedStack(StackSettings(tmp_path_factory.mktemp("seaweed"), find_free_ports()))
    stack.up([seaweed.NAME])
    yield stack
    stack.down()


@pytest.fixture(scope="session")
def postgres_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedStack]:
    """A PostgreSQL server, for all tests that do not stop it."""
    stack = EmbeddedStack(StackSettings(tmp_path_factory.mktemp("postgres"), find_free_ports()))
    stack.up([postgres.NAME])
    yield stack
    stack.down()
