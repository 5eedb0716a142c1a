"""Tells whether every service of the compose stack is well: `python3 deploy/check_stack.py`. Needs no package.

`up --wait` alone does not tell: a container whose entry point dies may leave it at exit status 0. The command is taken
from the variable `COMPOSE`, by default `docker compose`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

DEADLINE_SECONDS = 180
POLL_SECONDS = 3


def compose_command() -> list[str]:
    """Returns how compose is called here."""
    return shlex.split(os.environ.get("COMPOSE") or "docker compose")


def read_services() -> dict[str, Any]:
    """Returns the services of the active profiles, as compose resolved them."""
    answer: dict[str, Any] = json.loads(_ask("config", "--format", "json"))
    return dict(answer["services"])


def find_problems(services: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> list[str]:
    """Returns a sentence about each service that is not well.

    A service with a health check must run and be healthy; one without is a job and must have ended with status 0.

    Args:
        services: What `read_services` returns.
        containers: The objects that `docker compose ps --all --format json` prints.
    """
    by_service = {container["Service"]: container for container in containers}
    problems = []
    for name, service in sorted(services.items()):
        container = by_service.get(name)
        if container is None:
            problems.append(f"{name} has no container")
        elif "healthcheck" not in service:
            if container["State"] != "exited" or container["ExitCode"] != 0:
                problems.append(f"{name} must have ended with status 0; it is {_describe(container)}")
        elif container["State"] != "running" or container["Health"] != "healthy":
            problems.append(f"{name} must run and be healthy; it is {_describe(container)}")
    return problems


def wait_until_well(services: Mapping[str, Any], *, deadline_seconds: float = DEADLINE_SECONDS) -> list[str]:
    """Returns an empty list as soon as every service is well, or what is wrong when the deadline has passed."""
    end = time.monotonic() + deadline_seconds
    while True:
        lines = _ask("ps", "--all", "--format", "json").splitlines()
        problems = find_problems(services, [json.loads(line) for line in lines])
        if not problems or time.monotonic() > end:
            return problems
        time.sleep(POLL_SECONDS)


def main() -> int:
    """Says how the stack is, and returns the exit status."""
    services = read_services()
    problems = wait_until_well(services)
    for problem in problems:
        sys.stderr.write(f"{problem}\n")
    if problems:
        sys.stderr.write(f"See {shlex.join(compose_command())} logs SERVICE\n")
        return 1
    sys.stdout.write(f"{len(services)} services are well: {', '.join(sorted(services))}\n")
    return 0


def _describe(container: Mapping[str, Any]) -> str:
    health = f", {container['Health']}" if container.get("Health") else ""
    status = f" with status {container['ExitCode']}" if container["State"] == "exited" else ""
    return f"{container['State']}{status}{health}"


def _ask(*arguments: str) -> str:
    return subprocess.run([*compose_command(), *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
