"""The command line of the embedded stack: `python -m embedded up|down|status|logs|env`."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from embedded.console import say
from embedded.errors import EmbeddedError
from embedded.settings import STATE_VARIABLE, load_settings
from embedded.stack import ALL_SERVICES, EmbeddedStack
from embedded.supervisor import ServiceStatus, tail

LOG_LINES = 40


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    asked = _parser().parse_args(arguments)
    try:
        stack = EmbeddedStack(load_settings(asked.state_dir))
        return int(COMMANDS[asked.command](stack, asked))
    except EmbeddedError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def up(stack: EmbeddedStack, _asked: argparse.Namespace) -> int:
    """Starts everything and says where the UI is."""
    stack.up()
    say(f"Airflow: {stack.ui_url}   user {stack.login.user}, password {stack.login.password}")
    return 0


def down(stack: EmbeddedStack, _asked: argparse.Namespace) -> int:
    """Stops everything."""
    stack.down()
    return 0


def status(stack: EmbeddedStack, _asked: argparse.Namespace) -> int:
    """Prints a line a service; status 0 only if all are healthy."""
    found = stack.status()
    say(f"{'service':<14} {'state':<10} {'pid':>8} {'port':>6} {'up':>9}")
    for service in found:
        say(_status_line(service))
    return 0 if all(service.state == "healthy" for service in found) else 1


def logs(stack: EmbeddedStack, asked: argparse.Namespace) -> int:
    """Prints the last lines of one service's log, or of all."""
    for name in [asked.service] if asked.service else ALL_SERVICES:
        say(f"==> {stack.settings.log_file(name)} <==")
        say(tail(stack.settings, name, LOG_LINES))
    return 0


def env(stack: EmbeddedStack, _asked: argparse.Namespace) -> int:
    """Prints shell lines that let a shell reach the store."""
    for name, value in stack.s3_environment().items():
        say(f"export {name}={shlex.quote(value)}")
    return 0


COMMANDS = {"up": up, "down": down, "status": status, "logs": logs, "env": env}


def _status_line(service: ServiceStatus) -> str:
    age = "" if service.up_seconds is None else f"{service.up_seconds:.0f} s"
    return f"{service.name:<14} {service.state:<10} {service.pid or '':>8} {service.port or '':>6} {age:>9}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m embedded", description=__doc__)
    parser.add_argument("--state-dir", type=Path, help=f"where its state is (default: {STATE_VARIABLE}, or .embedded)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    commands.add_parser("up", help="start what does not run, wait until all is healthy")
    commands.add_parser("down", help="stop everything")
    commands.add_parser("status", help="state of each service; exit status 0 if all are healthy")
    logs_parser = commands.add_parser("logs", help="the last lines of the logs")
    logs_parser.add_argument("service", nargs="?", choices=ALL_SERVICES)
    commands.add_parser("env", help="shell lines for the object store's address and keys")
    return parser


if __name__ == "__main__":
    sys.exit(main())
