"""The ports of the stack: which service wants which, and whether they are free. Nothing is started here."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from embedded.errors import PortTakenError, SettingError

LOOPBACK = "127.0.0.1"
SEAWEED_PARTS = ("S3 endpoint", "master", "filer", "volume server", "admin server")
GRACE_SECONDS = 2.0
TWIN_OFFSET = 10_000  # SeaweedFS speaks gRPC at the port of each part plus this


@dataclass(frozen=True)
class Ports:
    """The three ports that can be chosen; the others follow from them.

    Attributes:
        ui: Airflow's UI and REST API.
        s3: The S3 endpoint; SeaweedFS takes the four after it too, and the five at +10000.
        postgres: PostgreSQL.
    """

    ui: int = 8080
    s3: int = 8333
    postgres: int = 8338


VARIABLES = {"ui": "RETRAIN_UI_PORT", "s3": "RETRAIN_S3_PORT", "postgres": "RETRAIN_POSTGRES_PORT"}


@dataclass(frozen=True)
class PortClaim:
    """One port that a service listens on.

    Attributes:
        port: The port.
        service: Name of the service.
        purpose: What for, in words.
        variable: The environment variable that moves it.
    """

    port: int
    service: str
    purpose: str
    variable: str


def port_claims(ports: Ports) -> tuple[PortClaim, ...]:
    """Returns every port that the stack listens on."""
    claims = [
        PortClaim(ports.ui, "api-server", "Airflow's UI", VARIABLES["ui"]),
        PortClaim(ports.postgres, "postgres", "PostgreSQL", VARIABLES["postgres"]),
    ]
    for number, part in enumerate(SEAWEED_PARTS):
        port = ports.s3 + number
        claims.append(PortClaim(port, "seaweedfs", f"SeaweedFS ({part})", VARIABLES["s3"]))
        claims.append(PortClaim(port + TWIN_OFFSET, "seaweedfs", f"SeaweedFS ({part}, gRPC)", VARIABLES["s3"]))
    return tuple(claims)


def check_ports_differ(ports: Ports) -> None:
    """Refuses ports of which two services would want the same.

    Raises:
        SettingError: If two claims meet.
    """
    seen: dict[int, PortClaim] = {}
    for claim in port_claims(ports):
        other = seen.setdefault(claim.port, claim)
        if other is not claim:
            raise SettingError(
                claim.variable,
                f"port {claim.port} is wanted twice, by {other.purpose} and by {claim.purpose}",
                f"Change {claim.variable} or {other.variable}.",
            )


def check_ports_free(ports: Ports, services: Iterable[str]) -> None:
    """Makes sure that nobody listens where some services want to.

    Args:
        ports: The ports of the stack.
        services: Names of the services that are about to be started.

    Raises:
        PortTakenError: If one of their ports is taken.
    """
    wanted = frozenset(services)
    for claim in port_claims(ports):
        if claim.service in wanted and not _becomes_free(claim.port):
            raise PortTakenError(claim.port, claim.purpose, claim.variable)


def _becomes_free(port: int) -> bool:
    """Tells whether a port is free, or soon is: the sockets of a killed process may outlive it by some 40 ms."""
    deadline = time.monotonic() + GRACE_SECONDS
    while not is_free(port):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def is_free(port: int) -> bool:
    """Tells whether a server could listen on the port of the loopback interface."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as trial:
        # Without it a port counts as taken for a minute after its last connection ended.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def find_free_ports() -> Ports:
    """Returns ports on which a second stack can run beside others, as tests need them.

    Raises:
        SettingError: If no block of free ports was found.
    """
    # Below 32768 with the twins at +10000: above it Linux takes ports for outgoing connections.
    blocks = list(range(20_000, 22_700, 10))
    random.shuffle(blocks)
    for base in blocks:
        ports = Ports(s3=base, ui=base + 5, postgres=base + 6)
        if all(is_free(claim.port) for claim in port_claims(ports)):
            return ports
    raise SettingError(VARIABLES["s3"], "no free block of ports from 20000 to 22700", "Stop other stacks.")


def to_dict(ports: Ports) -> dict[str, int]:
    """Returns the ports as they are remembered in the state directory."""
    return asdict(ports)
