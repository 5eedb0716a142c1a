"""`python -m deploy.compose_demo`: the demonstration on the compose stack, from building its image to the champion.

What is delivered, asked of Airflow and verified is the same as on the embedded stack: `demo/demonstration.py`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from demo.airflow_client import AirflowClient
from demo.delivery import make_batches
from demo.demonstration import CLASSIFIER, Outcome, Stopwatch, deliver_all, retrain, sum_up
from demo.fashion_mnist import cache_directory, load
from demo.summary import Access
from deploy import generate_env
from deploy.check_stack import compose_command, read_services, wait_until_well
from include.retraining.command_line.environment import store_from
from include.retraining.config import load_classifier
from include.retraining.errors import RetrainingError

UP_SECONDS = 600
LOOPBACK = "127.0.0.1"
ADMIN = "admin"
LOGIN = f"user {ADMIN}, password: AIRFLOW_ADMIN_PASSWORD in .env"


class ComposeError(Exception):
    """The compose stack could not be brought up; the message says what to look at."""


@dataclass(frozen=True)
class StackAddress:
    """Where the stack answers, and what it asks for.

    Attributes:
        ui_url: Airflow's UI and REST API.
        admin_password: Of the user `admin`.
        s3_environment: The variables from which `store_from` makes the lake.
    """

    ui_url: str
    admin_password: str
    s3_environment: Mapping[str, str]

    def __repr__(self) -> str:
        return f"StackAddress(ui_url={self.ui_url!r}, ...)"


def address_of(services: Mapping[str, Any]) -> StackAddress:
    """Reads the address out of what compose resolved, so that it is right whatever set the variables.

    Args:
        services: What `check_stack.read_services` returns.
    """
    airflow = services["airflow-apiserver"]["environment"]
    connection = json.loads(airflow["AIRFLOW_CONN_S3_LAKE"])
    return StackAddress(
        ui_url=f"http://{LOOPBACK}:{_published_port(services['airflow-apiserver'])}",
        admin_password=airflow["AIRFLOW_ADMIN_PASSWORD"],
        s3_environment={
            "RETRAIN_BUCKET": airflow["RETRAIN_BUCKET"],
            "RETRAIN_S3_ENDPOINT_URL": f"http://{LOOPBACK}:{_published_port(services['seaweedfs'])}",
            "AWS_ACCESS_KEY_ID": connection["login"],
            "AWS_SECRET_ACCESS_KEY": connection["password"],
            "AWS_DEFAULT_REGION": connection["extra"]["region_name"],
        },
    )


def main() -> int:
    """Runs the demonstration and returns its exit status: 0 only if the champion is there and whole."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    # A proxy of the machine knows nothing of what listens on its loopback interface.
    os.environ["NO_PROXY"] = ",".join(filter(None, (os.environ.get("NO_PROXY"), LOOPBACK)))
    try:
        outcome = _demonstrate(console)
    except (RetrainingError, ComposeError) as error:
        console.print("\nThe demonstration failed.", style="bold red")
        console.print(str(error), markup=False, highlight=False, soft_wrap=True)
        return 1
    if outcome.problems:
        console.print("\nFailed.", style="bold red")
        for problem in outcome.problems:
            console.print(f"  {problem}", markup=False, highlight=False, soft_wrap=True)
        return 1
    console.print("\nDone: the champion is there, and every file of it matches its sha256.", style="bold green")
    console.print(f"The stack stays up. To stop it: {shlex.join(compose_command())} down")
    return 0


def _demonstrate(console: Console) -> Outcome:
    watch = Stopwatch()
    _require_compose()
    if generate_env.main():
        raise ComposeError("The secrets in .env are incomplete; the line above names the ones that are missing.")
    with watch.taking("data"):
        batches = make_batches(load(cache_directory()), load_classifier(CLASSIFIER).labels)
    with watch.taking("image_build"):
        _compose("build")
    address = _bring_up(watch)
    console.print(
        f"Airflow: {address.ui_url}   user {ADMIN}, password: AIRFLOW_ADMIN_PASSWORD in .env", highlight=False
    )
    store = store_from(address.s3_environment)
    with watch.taking("delivery"):
        deliver_all(store, batches, console)
    client = AirflowClient(address.ui_url, ADMIN, address.admin_password)
    client.log_in()
    followed, dag_seconds = retrain(client, console)
    return sum_up(
        store,
        console,
        followed,
        batches=batches,
        stage_seconds={**watch.seconds, **dag_seconds},
        access=Access(address.ui_url, LOGIN),
    )


def _bring_up(watch: Stopwatch) -> StackAddress:
    with watch.taking("stack_start"):
        _compose("up", "--detach", "--wait", "--wait-timeout", str(UP_SECONDS))
        services = read_services()
        problems = wait_until_well(services)
    if problems:
        raise ComposeError(f"{'; '.join(problems)}. See {shlex.join(compose_command())} logs SERVICE.")
    return address_of(services)


def _require_compose() -> None:
    command = compose_command()
    try:
        subprocess.run([*command, "version"], check=True, capture_output=True)
    except (FileNotFoundError, subprocess.CalledProcessError):
        raise ComposeError(
            f"{shlex.join(command)} is not there. Install Docker with its compose plugin, or name the command that you "
            "have: make compose-demo COMPOSE=docker-compose"
        ) from None


def _compose(*arguments: str) -> None:
    command = [*compose_command(), *arguments]
    try:
        subprocess.run(command, check=True)
    except subprocess.CalledProcessError as error:
        raise ComposeError(f"{shlex.join(command)} ended with status {error.returncode}; it says why above.") from None


def _published_port(service: Mapping[str, Any]) -> str:
    return str(service["ports"][0]["published"])


if __name__ == "__main__":
    sys.exit(main())
