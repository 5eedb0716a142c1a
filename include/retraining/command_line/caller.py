"""Who types a command, and when: the outermost layer is where both come from."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Caller:
    """Who asked, and when.

    Attributes:
        name: The user of the operating system.
        at: When the command was started.
    """

    name: str
    at: datetime

    def run_id(self, verb: str) -> str:
        """Returns what the journal calls a command that is no run."""
        return f"command-line__{verb}__{self.at.isoformat()}"


def the_caller() -> Caller:
    """Returns who types, and the present moment in UTC."""
    return Caller(_user(), datetime.now(UTC))  # noqa: TID251 (a command line is where time comes from)


def _user() -> str:
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):  # a container may run under a number that has no name
        return "command line"
