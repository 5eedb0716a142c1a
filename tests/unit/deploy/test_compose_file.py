from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from deploy.generate_env import REPOSITORY

TEXT = (REPOSITORY / "docker-compose.yaml").read_text(encoding="utf-8")
FILE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = FILE["services"]
AIRFLOW = sorted(name for name in SERVICES if name.startswith("airflow-"))
LONG_LIVED = sorted(set(SERVICES) - {"airflow-init"})
EXAMPLE = (REPOSITORY / ".env.example").read_text(encoding="utf-8")
SECRETS = re.findall(r"^([A-Z][A-Z0-9_]*)=$", EXAMPLE, re.MULTILINE)


def test_each_port_is_published_on_the_loopback_interface_only():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]

    assert len(ports) == 2
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("secret", SECRETS)
def test_compose_refuses_to_start_without_a_secret_and_says_how_to_get_it(secret: str):
    uses = re.findall(r"\$\{" + secret + r"\b([^}]*)\}", TEXT)

    assert uses
    assert set(uses) == {":?run python3 deploy/generate_env.py first"}


def test_each_variable_of_the_compose_file_is_in_the_example():
    used = set(re.findall(r"(?<!\$)\$\{([A-Z0-9_]+)", TEXT))

    assert used <= set(re.findall(r"^([A-Z][A-Z0-9_]*)=", EXAMPLE, re.MULTILINE))


def test_keys_that_the_callers_shell_exports_for_aws_reach_no_container():
    assert not re.search(r"\$\{?AWS_", TEXT)


@pytest.mark.parametrize("name", LONG_LIVED)
def test_each_service_has_a_health_check_and_comes_back_after_a_crash(name: str):
    assert SERVICES[name]["healthcheck"]["test"]
    assert SERVICES[name]["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", AIRFLOW)
def test_no_airflow_service_can_gain_privileges(name: str):
    service = SERVICES[name]

    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service
    assert "privileged" not in service


@pytest.mark.parametrize("name", sorted(set(AIRFLOW) - {"airflow-init"}))
def test_each_airflow_service_waits_for_the_database_the_pool_and_the_bucket(name: str):
    assert SERVICES[name]["depends_on"]["airflow-init"] == {"condition": "service_completed_successfully"}


def test_all_airflow_services_have_the_same_secrets_connection_and_database():
    common = FILE["x-airflow"]["environment"]

    for name in AIRFLOW:
        environment = SERVICES[name]["environment"]
        assert {variable: environment[variable] for variable in common} == common


def test_the_queue_gpu_is_served_by_exactly_one_worker_in_each_profile():
    consumers = {
        name: service.get("profiles")
        for name, service in SERVICES.items()
        if "worker" in name and service["command"][service["command"].index("--queues") + 1] == "gpu"
    }

    assert consumers == {"airflow-worker-gpu-on-cpu": ["cpu"], "airflow-worker-gpu": ["gpu"]}


@pytest.mark.parametrize("name", ["airflow-worker-gpu-on-cpu", "airflow-worker-gpu"])
def test_a_worker_of_the_queue_gpu_takes_one_task_at_a_time(name: str):
    command = SERVICES[name]["command"]

    assert command[command.index("--concurrency") + 1] == "1"


def test_only_the_worker_of_the_profile_gpu_reserves_a_device_and_has_the_image_with_cuda():
    reserving = [name for name, service in SERVICES.items() if "deploy" in service]

    assert reserving == ["airflow-worker-gpu"]
    gpu = SERVICES["airflow-worker-gpu"]
    assert gpu["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    ]
    assert gpu["build"]["args"] == {"ACCELERATOR": "gpu"}
    assert gpu["image"] != SERVICES["airflow-worker-gpu-on-cpu"]["image"]


def test_what_the_gpu_lock_and_the_lock_both_name_has_one_version():
    def pinned(name: str) -> set[str]:
        return set(re.findall(r"^[a-z0-9-]+==\S+", (REPOSITORY / name).read_text(encoding="utf-8"), re.MULTILINE))

    extra = pinned("requirements-gpu.txt") - pinned("requirements.txt")

    assert extra
    assert all(requirement.startswith("nvidia-") for requirement in extra)
