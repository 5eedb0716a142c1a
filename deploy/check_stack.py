"""Tells whether every service of the compose stack is well. Needs no package.

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


def find_problems(services: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Returns what is wrong, by service; empty if nothing is.

    A service with a health check must run and be healthy; one without is a job and must have ended with status 0.

    Args:
        services: The `services` of `docker compose config --format json`.
        containers: The objects that `docker compose ps --all --format json` prints.
    """
    by_service = {container["Service"]: container for container in containers}
    problems = {}
    for name, service in services.items():
        container = by_service.get(name)
        if container is None:
            problems[name] = "has no container"
        elif "healthcheck" not in service:
            if container["State"] != "exited" or container["ExitCode"] != 0:
                problems[name] = f"must have ended with status 0; is {_describe(container)}"
        elif container["State"] != "running" or container["Health"] != "healthy":
            problems[name] = f"must run and be healthy; is {_describe(container)}"
    return problems


def main() -> int:
    """Waits until every service is well or the deadline has passed; returns the exit status."""
    compose = shlex.split(os.environ.get("COMPOSE", "docker compose"))
    services = json.loads(_run([*compose, "config", "--format", "json"]))["services"]
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        lines = _run([*compose, "ps", "--all", "--format", "json"]).splitlines()
        problems = find_problems(services, [json.loads(line) for line in lines])
        if not problems:
            sys.stdout.write(f"{len(services)} services are well: {', '.join(sorted(services))}\n")
            return 0
        if time.monotonic() > deadline:
            break
        time.sleep(POLL_SECONDS)
    for name, problem in sorted(problems.items()):
        sys.stderr.write(f"{name} {problem}. Its log: {shlex.join(compose)} logs {name}\n")
    return 1


def _describe(container: Mapping[str, Any]) -> str:
    health = f", {container['Health']}" if container.get("Health") else ""
    status = f" with status {container['ExitCode']}" if container["State"] == "exited" else ""
    return f"{container['State']}{status}{health}"


def _run(command: Sequence[str]) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    sys.exit(main())
