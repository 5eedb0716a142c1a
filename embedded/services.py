"""What a service of the stack is, as a value. How services are started and watched is in `supervisor.py`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Service:
    """One long-running process of the stack.

    Attributes:
        name: Short name, also of its log file.
        port: Where it listens on loopback, if it does.
        command: What is run.
        environment: Its whole environment.
        directory: Its working directory.
        probe: Asks the service for an answer. It gets the moment at which the service was started, in seconds since
            1970, and returns whether the service is healthy; it never raises because a service is not.
        stop_signal: What ends it in order.
        stop_seconds: How long that may take before it is killed.
        signals_family: Whether its descendants get the signal too, because it would wait for their work to end.
    """

    name: str
    port: int | None
    command: tuple[str, ...]
    environment: Mapping[str, str]
    directory: Path
    probe: Callable[[float], bool]
    stop_signal: int = signal.SIGTERM
    stop_seconds: float = 10.0
    signals_family: bool = False
