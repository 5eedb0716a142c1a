"""How the stack tells a person what it does. Logs of the services are not here: they go to files."""

from __future__ import annotations

import sys


def say(line: str) -> None:
    """Writes one line for the person who waits."""
    print(line, file=sys.stdout, flush=True)
