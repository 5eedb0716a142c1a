from __future__ import annotations

import socket

import psutil
import pytest

from embedded.credentials import load_credentials
from embedded.errors import PortTakenError, ServiceFailedError
from embedded.ports import port_claims
from embedded.processes import load_record, marked_processes
from embedded.stack import EmbeddedStack
from tests.integration.s3_stores import s3_store
from tests.kills import kill_9

NAME = "seaweedfs"


def processes_of(stack: EmbeddedStack) -> list[psutil.Process]:
    credentials = load_credentials(stack.settings.credentials_file)
    assert credentials is not None
    return marked_processes(credentials.marker)


def pid_of(stack: EmbeddedStack) -> int:
    record = load_record(stack.settings.record_file(NAME))
    assert record is not None
    return record.pid


def test_objects_survive_a_restart(fresh_stack: EmbeddedStack) -> None:
    fresh_stack.up([NAME])
    with s3_store(fresh_stack) as store:
        store.put("key", b"body")

    fresh_stack.down()
    fresh_stack.up([NAME])

    with s3_store(fresh_stack) as store:
        assert store.get("key") == b"body"


def test_objects_survive_kill_9_and_up_starts_what_died(fresh_stack: EmbeddedStack) -> None:
    fresh_stack.up([NAME])
    with s3_store(fresh_stack) as store:
        for number in range(50):
            store.put(f"key/{number:02d}", str(number).encode())
    killed = pid_of(fresh_stack)

    kill_9(killed)
    fresh_stack.up([NAME])

    assert pid_of(fresh_stack) != killed
    with s3_store(fresh_stack) as store:
        assert [store.get(found.key) for found in store.list("key/")] == [str(number).encode() for number in range(50)]


def test_up_leaves_alone_what_is_healthy(fresh_stack: EmbeddedStack) -> None:
    fresh_stack.up([NAME])
    first = pid_of(fresh_stack)

    fresh_stack.up([NAME])

    assert pid_of(fresh_stack) == first


def test_down_leaves_no_process_and_frees_the_ports(fresh_stack: EmbeddedStack) -> None:
    fresh_stack.up([NAME])
    assert len(processes_of(fresh_stack)) == 1

    fresh_stack.down()
    fresh_stack.down()

    assert processes_of(fresh_stack) == []
    assert {status.state for status in fresh_stack.status()} == {"stopped"}


def test_every_socket_is_on_loopback(seaweed_stack: EmbeddedStack) -> None:
    listening = [
        connection
        for connection in psutil.Process(pid_of(seaweed_stack)).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]

    assert {connection.laddr.ip for connection in listening} == {"127.0.0.1"}
    claimed = {claim.port for claim in port_claims(seaweed_stack.settings.ports) if claim.service == NAME}
    assert {connection.laddr.port for connection in listening} == claimed


def test_a_taken_port_is_named_and_nothing_is_left_behind(fresh_stack: EmbeddedStack) -> None:
    filer = fresh_stack.settings.ports.s3 + 2

    with socket.create_server(("127.0.0.1", filer)), pytest.raises(PortTakenError, match=f"Port {filer} of 127.0.0.1"):
        fresh_stack.up([NAME])

    assert processes_of(fresh_stack) == []


def test_a_server_that_cannot_start_shows_its_log_and_is_stopped(fresh_stack: EmbeddedStack) -> None:
    fresh_stack.up([NAME])
    fresh_stack.down()
    # A file where it keeps its database.
    database = fresh_stack.settings.seaweed_data / "filerldb2"
    database.rename(database.with_name("aside"))
    database.write_text("not a directory", encoding="utf-8")

    with pytest.raises(ServiceFailedError) as caught:
        fresh_stack.up([NAME])

    assert caught.value.service == NAME
    assert "filerldb2" in caught.value.log_tail
    assert processes_of(fresh_stack) == []
