"""SeaweedFS as the S3 server: its command, its health, its bucket."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import boto3
import botocore.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from embedded.credentials import Credentials
from embedded.errors import EmbeddedError
from embedded.ports import LOOPBACK
from embedded.processes import MARKER_VARIABLE
from embedded.services import Service
from embedded.settings import BUCKET, REGION, StackSettings

BUCKET_IS_THERE = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})
TRIAL_KEY = ".trial"
READY_SECONDS = 30.0
NAME = "seaweedfs"


def seaweed_service(settings: StackSettings, credentials: Credentials) -> Service:
    """Returns the S3 server of a stack."""
    s3 = settings.ports.s3
    return Service(
        name=NAME,
        port=s3,
        command=(
            str(_binary()),
            "mini",
            f"-dir={settings.seaweed_data}",
            # By default it binds every interface, reports statistics to its makers, and serves an admin page.
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            "-master.telemetry=false",
            "-admin.ui=false",
            "-webdav=false",
            f"-s3.port={s3}",
            f"-master.port={s3 + 1}",
            f"-filer.port={s3 + 2}",
            f"-volume.port={s3 + 3}",
            f"-admin.port={s3 + 4}",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            # A mistyped bucket is an error, as on AWS, and a full one is not deleted by one call.
            "-s3.autoCreateBucket=false",
            "-s3.allowDeleteBucketNotEmpty=false",
        ),
        environment={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(settings.state_dir),
            "GOMEMLIMIT": "512MiB",  # its heap doubles before it is collected otherwise; with less it only collects
            "AWS_ACCESS_KEY_ID": credentials.s3_access_key,
            "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key,
            MARKER_VARIABLE: credentials.marker,
        },
        directory=settings.seaweed_data,
        probe=lambda _started: _answers(settings, credentials),
    )


def ensure_bucket(settings: StackSettings, credentials: Credentials) -> None:
    """Makes the bucket if it is not there, and waits until it keeps and returns an object.

    The S3 endpoint answers a moment before the volume server behind it takes objects, above all after a crash.

    Raises:
        EmbeddedError: If it takes none.
    """
    client = _client(settings, credentials)
    deadline = time.monotonic() + READY_SECONDS
    try:
        while (problem := _keeps_objects(client)) is not None:
            if time.monotonic() > deadline:
                raise EmbeddedError(f"SeaweedFS is up but keeps no object: {problem}. See {settings.log_file(NAME)}.")
            time.sleep(0.2)
    finally:
        client.close()


def s3_environment(settings: StackSettings, credentials: Credentials) -> Mapping[str, str]:
    """Returns the variables with which a command line reaches the store of the stack."""
    return {
        "RETRAIN_BUCKET": BUCKET,
        "RETRAIN_S3_ENDPOINT_URL": settings.s3_url,
        "AWS_ACCESS_KEY_ID": credentials.s3_access_key,
        "AWS_SECRET_ACCESS_KEY": credentials.s3_secret_key,
        "AWS_DEFAULT_REGION": REGION,
    }


def _keeps_objects(client: Any) -> str | None:
    """Writes, reads and removes an object; returns what went wrong, or None."""
    try:
        client.create_bucket(Bucket=BUCKET)
    except (BotoCoreError, ClientError) as error:
        if not isinstance(error, ClientError) or error.response["Error"]["Code"] not in BUCKET_IS_THERE:
            return str(error)
    try:
        client.put_object(Bucket=BUCKET, Key=TRIAL_KEY, Body=b"ready")
        client.get_object(Bucket=BUCKET, Key=TRIAL_KEY)["Body"].read()
        client.delete_object(Bucket=BUCKET, Key=TRIAL_KEY)
    except (BotoCoreError, ClientError) as error:
        return str(error)
    return None


def _answers(settings: StackSettings, credentials: Credentials) -> bool:
    client = _client(settings, credentials)
    try:
        client.list_buckets()
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True


def _client(settings: StackSettings, credentials: Credentials) -> Any:
    # Without this a profile that the user chose, and that need not exist here, would be looked up.
    no_profile = botocore.session.Session(session_vars={"profile": (None, None, None, None)})
    return boto3.Session(botocore_session=no_profile).client(
        "s3",
        endpoint_url=settings.s3_url,
        aws_access_key_id=credentials.s3_access_key,
        aws_secret_access_key=credentials.s3_secret_key,
        region_name=REGION,
        config=Config(
            connect_timeout=2,
            read_timeout=30,
            retries={"total_max_attempts": 1},
            proxies={},
            s3={"addressing_style": "path"},
        ),
    )


def _binary() -> Path:
    # Beside the interpreter, so that the environment need not be activated.
    path = Path(sys.executable).with_name("weed")
    if not path.exists():
        raise EmbeddedError(f"{path} is not there. Install requirements-dev.txt into this environment.")
    return path
