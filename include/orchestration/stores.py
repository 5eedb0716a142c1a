"""From an Airflow connection to an object store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from include.orchestration.settings import read_settings
from include.retraining.errors import ConfigurationError

if TYPE_CHECKING:
    from include.retraining.storage.base import ObjectStore

CONNECTION = "s3_lake"


def lake() -> ObjectStore:
    """Returns the bucket that the connection `s3_lake` and `RETRAIN_BUCKET` name.

    Raises:
        ConfigurationError: If there is no such connection. Airflow's hook would fall back to AWS in silence.
    """
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook
    from airflow.sdk.bases.hook import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException

    from include.retraining.storage.s3 import CLIENT_CONFIG, S3Store

    try:
        BaseHook.get_connection(CONNECTION)
    except AirflowNotFoundException:
        raise ConfigurationError(
            f"Airflow connection {CONNECTION!r}",
            "there is none",
            f"Define it, for instance as AIRFLOW_CONN_{CONNECTION.upper()} in every Airflow service (see .env.example)",
        ) from None
    hook = S3Hook(aws_conn_id=CONNECTION)
    # What the connection says of the client wins over our defaults.
    client = hook.get_client_type(config=CLIENT_CONFIG.merge(hook.config))
    return S3Store(client, read_settings().bucket)
