"""Stores on the S3 server of an embedded stack, as the tests need them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from botocore.config import Config

from embedded.stack import EmbeddedStack
from include.retraining.storage.s3 import S3Store, make_client


@contextmanager
def s3_store(stack: EmbeddedStack, *, secret_key: str | None = None, bucket: str | None = None) -> Iterator[S3Store]:
    """Opens the stack's bucket the way that the pipeline does.

    Args:
        stack: Its S3 server must run.
        secret_key: Another secret than the right one.
        bucket: Another bucket than the stack's.
    """
    environment = stack.s3_environment()
    client = make_client(
        endpoint_url=environment["RETRAIN_S3_ENDPOINT_URL"],
        access_key=environment["AWS_ACCESS_KEY_ID"],
        secret_key=secret_key or environment["AWS_SECRET_ACCESS_KEY"],
        region=environment["AWS_DEFAULT_REGION"],
    )
    try:
        yield S3Store(client, bucket or environment["RETRAIN_BUCKET"])
    finally:
        client.close()


@contextmanager
def impatient_store(stack: EmbeddedStack, *, port: int | None = None) -> Iterator[S3Store]:
    """Opens the bucket with a client that does not try again, so that a test of a dead server takes no time.

    Args:
        stack: Whose keys are used.
        port: Another port than that of the stack's S3 server.
    """
    environment = stack.s3_environment()
    client = boto3.client(
        "s3",
        endpoint_url=environment["RETRAIN_S3_ENDPOINT_URL"] if port is None else f"http://127.0.0.1:{port}",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_DEFAULT_REGION"],
        config=Config(connect_timeout=2, retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )
    try:
        yield S3Store(client, environment["RETRAIN_BUCKET"])
    finally:
        client.close()
