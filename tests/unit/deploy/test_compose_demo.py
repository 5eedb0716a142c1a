from __future__ import annotations

import json
import sys

import pytest

from deploy import compose_demo
from deploy.compose_demo import ComposeError, address_of
from include.retraining.command_line.environment import store_from

SERVICES = {
    "airflow-apiserver": {
        "environment": {
            "AIRFLOW_ADMIN_PASSWORD": "open-sesame",
            "AIRFLOW_CONN_S3_LAKE": json.dumps(
                {"login": "key", "password": "hidden", "extra": {"region_name": "eu-west-1"}}
            ),
            "RETRAIN_BUCKET": "pond",
        },
        "ports": [{"published": "8081"}],
    },
    "seaweedfs": {"ports": [{"published": "8334"}]},
}


def test_the_stacks_address_is_what_compose_resolved():
    address = address_of(SERVICES)

    assert address.ui_url == "http://127.0.0.1:8081"
    assert address.admin_password == "open-sesame"
    assert address.s3_environment == {
        "RETRAIN_BUCKET": "pond",
        "RETRAIN_S3_ENDPOINT_URL": "http://127.0.0.1:8334",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "hidden",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }
    assert store_from(address.s3_environment).bucket == "pond"


def test_the_address_shows_no_secret():
    shown = repr(address_of(SERVICES))

    assert "open-sesame" not in shown
    assert "hidden" not in shown


@pytest.mark.parametrize("command", ["no-such-compose", f"{sys.executable} -c 'raise SystemExit(1)'"])
def test_a_compose_command_that_is_not_there_is_an_error_with_the_cure(command, monkeypatch):
    monkeypatch.setenv("COMPOSE", command)

    with pytest.raises(ComposeError, match="is not there. Install Docker.*COMPOSE=docker-compose"):
        compose_demo._require_compose()


def test_a_compose_command_that_fails_is_an_error_with_its_status(monkeypatch):
    monkeypatch.setenv("COMPOSE", f"{sys.executable} -c 'raise SystemExit(7)'")

    with pytest.raises(ComposeError, match="build ended with status 7"):
        compose_demo._compose("build")
