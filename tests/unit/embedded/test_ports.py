from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from embedded.errors import PortTakenError, SettingError
from embedded.ports import Ports, check_ports_differ, check_ports_free, find_free_ports, is_free, port_claims


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def test_the_error_names_the_port_the_service_and_the_variable(listener: socket.socket) -> None:
    taken = listener.getsockname()[1]

    with pytest.raises(PortTakenError) as caught:
        check_ports_free(Ports(ui=taken, s3=21900, postgres=21906), ["api-server"])

    assert f"Port {taken} of 127.0.0.1 is taken" in str(caught.value)
    assert "Airflow's UI wants it" in str(caught.value)
    assert "RETRAIN_UI_PORT=<port>" in str(caught.value)


@pytest.mark.parametrize("offset", [0, 3, 10_000, 10_004])
def test_every_port_that_follows_from_the_s3_port_is_checked(offset: int) -> None:
    ports = find_free_ports()

    with socket.create_server(("127.0.0.1", ports.s3 + offset)), pytest.raises(PortTakenError) as caught:
        check_ports_free(ports, ["seaweedfs"])

    assert caught.value.port == ports.s3 + offset
    assert caught.value.variable == "RETRAIN_S3_PORT"


def test_ports_of_services_that_are_not_started_are_not_looked_at(listener: socket.socket) -> None:
    free = find_free_ports()
    ports = Ports(ui=listener.getsockname()[1], s3=free.s3, postgres=free.postgres)

    check_ports_free(ports, ["seaweedfs", "postgres"])


def test_a_listener_on_all_interfaces_takes_the_port_too() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        assert not is_free(server.getsockname()[1])


@pytest.mark.parametrize(
    "ports",
    [
        pytest.param(Ports(ui=9000, s3=8333, postgres=9000), id="same"),
        pytest.param(Ports(ui=8335, s3=8333, postgres=8338), id="a part of SeaweedFS"),
        pytest.param(Ports(ui=8080, s3=8333, postgres=18334), id="a twin of SeaweedFS"),
    ],
)
def test_two_services_cannot_want_the_same_port(ports: Ports) -> None:
    with pytest.raises(SettingError, match="is wanted twice"):
        check_ports_differ(ports)


def test_the_default_ports_differ_from_each_other() -> None:
    check_ports_differ(Ports())

    assert len({claim.port for claim in port_claims(Ports())}) == 12


def test_free_ports_are_free_and_differ() -> None:
    ports = find_free_ports()

    check_ports_differ(ports)
    check_ports_free(ports, ["api-server", "postgres", "seaweedfs"])
