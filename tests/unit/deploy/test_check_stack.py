from __future__ import annotations

import pytest

from deploy.check_stack import find_problems

SERVICES = {"server": {"healthcheck": {"test": ["CMD", "true"]}}, "job": {}}


def container(service: str, state: str, *, health: str = "", status: int = 0) -> dict:
    return {"Service": service, "State": state, "Health": health, "ExitCode": status}


def test_a_healthy_server_and_a_job_that_has_ended_well_are_no_problem():
    assert not find_problems(SERVICES, [container("server", "running", health="healthy"), container("job", "exited")])


@pytest.mark.parametrize(
    ("server", "said"),
    [
        pytest.param(container("server", "running", health="starting"), "running, starting", id="not yet healthy"),
        pytest.param(container("server", "running", health="unhealthy"), "running, unhealthy", id="unhealthy"),
        pytest.param(container("server", "restarting", status=1), "restarting", id="entry point dies again and again"),
        pytest.param(container("server", "exited", status=0), "exited with status 0", id="entry point ends"),
        pytest.param(container("server", "created"), "created", id="never started"),
    ],
)
def test_a_server_that_is_not_healthy_is_a_problem(server: dict, said: str):
    assert find_problems(SERVICES, [server, container("job", "exited")]) == [
        f"server must run and be healthy; it is {said}"
    ]


@pytest.mark.parametrize(
    ("job", "said"),
    [
        pytest.param(container("job", "exited", status=3), "exited with status 3", id="failed"),
        pytest.param(container("job", "running"), "running", id="still at work"),
    ],
)
def test_a_job_that_has_not_ended_well_is_a_problem(job: dict, said: str):
    assert find_problems(SERVICES, [container("server", "running", health="healthy"), job]) == [
        f"job must have ended with status 0; it is {said}"
    ]


def test_a_service_without_a_container_is_a_problem():
    assert find_problems(SERVICES, []) == ["job has no container", "server has no container"]
