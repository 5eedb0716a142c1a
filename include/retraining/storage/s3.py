"""An object store on S3 through boto3, and the one place where its errors become ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from include.retraining.errors import ConfigurationError, StorageUnavailableError
from include.retraining.storage.base import StoredObject

MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
LOST_RACE = frozenset({"412", "PreconditionFailed", "409", "ConditionalRequestConflict"})
REFUSED = frozenset(
    {"401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket"}
    | {"NoCredentialsError", "PartialCredentialsError"}  # boto3's own: keys that are not set come by no retry
)
CREDENTIALS = re.compile(r"//[^/\s]*@")  # before the host of an endpoint's URL; botocore's messages quote it

CLIENT_CONFIG = Config(
    connect_timeout=10,
    read_timeout=60,  # losers of a contended conditional write wait for seconds
    retries={"mode": "standard", "max_attempts": 5},
    max_pool_connections=32,
)


def make_client(*, endpoint_url: str | None, access_key: str | None, secret_key: str | None, region: str) -> Any:
    """Builds a boto3 S3 client with timeouts and retries that suit conditional writes.

    Args:
        endpoint_url: None for AWS itself.
        access_key: None for boto3's own search: environment, profile, instance role.
        secret_key: As `access_key`.
        region: Region of the bucket; any name for most servers that are not AWS.
    """
    return boto3.client(
        "s3",
        endpoint_url=endpoint_url,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        region_name=region,
        config=CLIENT_CONFIG.merge(Config(s3={"addressing_style": "path"} if endpoint_url else {})),
    )


class S3Store:
    """A bucket of an S3 server.

    Args:
        client: A boto3 S3 client; it may be shared between threads, not between processes.
        bucket: Name of the bucket, which must exist.
    """

    def __init__(self, client: Any, bucket: str) -> None:
        self.bucket = bucket
        self._client = client

    def get(self, key: str) -> bytes:
        """Returns the object's bytes."""
        return self.get_tagged(key)[0]

    def get_tagged(self, key: str) -> tuple[bytes, str]:
        """Returns the object's bytes and their entity tag."""
        with self._errors("get", key):
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            return answer["Body"].read(), answer["ETag"]

    def put(self, key: str, body: bytes, *, content_type: str = "application/octet-stream") -> None:
        """Writes the object."""
        with self._errors("put", key):
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type)

    def replace(self, key: str, body: bytes, *, etag: str | None, content_type: str = "application/json") -> bool:
        """Writes the object by `If-Match`, or by `If-None-Match: *` where no object is expected."""
        condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
        try:
            self._client.put_object(Bucket=self.bucket, Key=key, Body=body, ContentType=content_type, **condition)
        except ClientError as error:
            # SeaweedFS answers 412 to If-Match on a missing key, AWS 404: both have lost.
            if _code(error) in LOST_RACE or (etag is not None and _code(error) in MISSING):
                return False
            raise self._translate(error, "replace", key) from error
        except BotoCoreError as error:
            raise self._translate(error, "replace", key) from error
        return True

    def copy(self, source: str, target: str) -> None:
        """Copies an object on the server."""
        with self._errors("copy", source):
            self._client.copy_object(Bucket=self.bucket, Key=target, CopySource={"Bucket": self.bucket, "Key": source})

    def exists(self, key: str) -> bool:
        """Tells whether there is an object at the key."""
        try:
            with self._errors("head", key):
                self._client.head_object(Bucket=self.bucket, Key=key)
        except KeyError:
            return False
        return True

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Yields the objects under a prefix in key order."""
        with self._errors("list", prefix):
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                for entry in page.get("Contents", ()):
                    modified_at = entry["LastModified"].astimezone(UTC)
                    yield StoredObject(key=entry["Key"], size_bytes=entry["Size"], modified_at=modified_at)

    def list_folders(self, prefix: str) -> tuple[str, ...]:
        """Returns the folder names directly under a prefix."""
        with self._errors("list", prefix):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix, Delimiter="/"
            )
            found = [entry["Prefix"] for page in pages for entry in page.get("CommonPrefixes", ())]
        return tuple(sorted(folder.removeprefix(prefix).rstrip("/") for folder in found))

    def delete(self, key: str) -> None:
        """Removes the object."""
        with self._errors("delete", key):
            self._client.delete_object(Bucket=self.bucket, Key=key)

    @contextmanager
    def _errors(self, verb: str, key: str) -> Iterator[None]:
        try:
            yield
        except (ClientError, BotoCoreError) as error:
            raise self._translate(error, verb, key) from error

    def _translate(self, error: ClientError | BotoCoreError, verb: str, key: str) -> Exception:
        uri = f"s3://{self.bucket}/{key}"
        code = _code(error)
        if code in MISSING:
            return KeyError(uri)
        if code in REFUSED:
            return ConfigurationError(
                where=f"object store, bucket {self.bucket!r}",
                problem=f"{verb} {uri} was refused ({code})",
                cure="Check the bucket's name, the keys and their permissions (connection s3_lake, or .env.example)",
            )
        return StorageUnavailableError(operation=f"{verb} {uri}", cause=CREDENTIALS.sub("//", str(error)))


def _code(error: ClientError | BotoCoreError) -> str:
    """Returns the server's code, or the kind of the client's own error."""
    if isinstance(error, ClientError):
        return str(error.response.get("Error", {}).get("Code", ""))
    return type(error).__name__
