"""The object store that the environment names; `.env.example` lists the variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from include.retraining.config import DIRECTORY
from include.retraining.errors import ConfigurationError
from include.retraining.storage.base import ObjectStore


def store_from(environment: Mapping[str, str]) -> ObjectStore:
    """Returns the bucket that the variables name.

    Raises:
        ConfigurationError: If `RETRAIN_BUCKET` is not set.
    """
    from include.retraining.storage.s3 import S3Store, make_client

    bucket = environment.get("RETRAIN_BUCKET")
    if not bucket:
        raise ConfigurationError(
            "environment, RETRAIN_BUCKET",
            "it is not set",
            'Set the variables of .env.example; for the embedded stack: eval "$(make -s env)"',
        )
    client = make_client(
        endpoint_url=environment.get("RETRAIN_S3_ENDPOINT_URL") or None,
        access_key=environment.get("AWS_ACCESS_KEY_ID") or None,
        secret_key=environment.get("AWS_SECRET_ACCESS_KEY") or None,
        region=environment.get("AWS_DEFAULT_REGION") or "us-east-1",
    )
    return S3Store(client, bucket)


def classifiers_directory() -> Path:
    """Returns the folder of the recipes: `RETRAIN_CLASSIFIERS`, or the project's own."""
    return Path(os.environ.get("RETRAIN_CLASSIFIERS") or DIRECTORY)
