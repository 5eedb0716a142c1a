from __future__ import annotations

import json

import pytest

from include.orchestration.stores import lake
from include.retraining.errors import ConfigurationError

CONNECTION = {
    "conn_type": "aws",
    "login": "a-key",
    "password": "a-secret",
    "extra": {
        "endpoint_url": "http://127.0.0.1:9",
        "region_name": "eu-central-1",
        "config_kwargs": {"s3": {"addressing_style": "path"}, "read_timeout": 7},
    },
}


@pytest.fixture
def connection(monkeypatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_S3_LAKE", json.dumps(CONNECTION))


def test_without_the_connection_nothing_is_opened_and_least_of_all_aws(monkeypatch):
    # Keys that lie about must not be taken for those of the lake.
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "else")

    with pytest.raises(ConfigurationError, match=r"'s3_lake': there is none.*AIRFLOW_CONN_S3_LAKE"):
        lake()


def test_the_store_is_at_the_connections_address_in_the_bucket_of_the_settings(connection, monkeypatch):
    monkeypatch.setenv("RETRAIN_BUCKET", "images")

    store = lake()

    assert store.bucket == "images"
    client = store._client
    assert (client.meta.endpoint_url, client.meta.region_name) == ("http://127.0.0.1:9", "eu-central-1")
    assert client._request_signer._credentials.access_key == "a-key"


def test_what_the_connection_says_of_the_client_wins_over_the_defaults_and_the_other_defaults_stay(connection):
    from include.retraining.storage.s3 import CLIENT_CONFIG

    config = lake()._client.meta.config

    assert config.s3["addressing_style"] == "path"
    assert config.read_timeout == 7
    assert config.connect_timeout == CLIENT_CONFIG.connect_timeout
    assert config.retries["mode"] == CLIENT_CONFIG.retries["mode"]


def test_each_process_that_asks_gets_a_client_of_its_own(connection):
    # Tasks are forked: a client from before the fork would share its sockets.
    assert lake()._client is not lake()._client
