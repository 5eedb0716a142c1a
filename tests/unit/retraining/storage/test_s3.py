from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, PartialCredentialsError
from botocore.response import StreamingBody
from botocore.stub import Stubber

from include.retraining.errors import ConfigurationError, StorageUnavailableError
from include.retraining.storage.base import StoredObject
from include.retraining.storage.s3 import S3Store, make_client

CALLS = {
    "get_object": lambda store: store.get("a/k"),
    "put_object": lambda store: store.put("a/k", b"body"),
    "copy_object": lambda store: store.copy("a/k", "b/k"),
    "head_object": lambda store: store.exists("a/k"),
    "list_objects_v2": lambda store: list(store.list("a/k")),
    "delete_object": lambda store: store.delete("a/k"),
}
VERBS = {
    "get_object": "get",
    "put_object": "put",
    "copy_object": "copy",
    "head_object": "head",
    "list_objects_v2": "list",
    "delete_object": "delete",
}


@pytest.fixture(scope="module")
def client() -> Any:
    return make_client(endpoint_url="http://127.0.0.1:9", access_key="key", secret_key="secret", region="us-east-1")


@pytest.fixture
def server(client: Any) -> Iterator[Stubber]:
    """A server that answers what a test tells it to; every answer must be asked for."""
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


@pytest.fixture
def store(client: Any) -> S3Store:
    return S3Store(client, "lake")


def body_of(content: bytes) -> StreamingBody:
    return StreamingBody(io.BytesIO(content), len(content))


class CutConnection(io.RawIOBase):
    """A body whose connection ends early."""

    def read(self, *_: Any) -> bytes:
        return b""


def test_an_object_is_read_with_its_tag(server: Stubber, store: S3Store):
    for _ in range(2):
        server.add_response("get_object", {"Body": body_of(b"body"), "ETag": '"e1"'}, {"Bucket": "lake", "Key": "a/k"})
    assert store.get("a/k") == b"body"
    assert store.get_tagged("a/k") == (b"body", '"e1"')


def test_an_object_is_written_with_its_content_type(server: Stubber, store: S3Store):
    asked = {"Bucket": "lake", "Key": "a/k", "Body": b"body", "ContentType": "image/png"}
    server.add_response("put_object", {"ETag": '"e1"'}, asked)
    store.put("a/k", b"body", content_type="image/png")


def test_a_copy_stays_inside_the_bucket(server: Stubber, store: S3Store):
    asked = {"Bucket": "lake", "Key": "b/k", "CopySource": {"Bucket": "lake", "Key": "a/k"}}
    server.add_response("copy_object", {}, asked)
    store.copy("a/k", "b/k")


def test_an_object_is_there_or_not(server: Stubber, store: S3Store):
    server.add_response("head_object", {}, {"Bucket": "lake", "Key": "a/k"})
    server.add_client_error("head_object", "404", http_status_code=404)
    assert store.exists("a/k")
    assert not store.exists("a/k")


def test_a_listing_goes_on_over_all_pages(server: Stubber, store: S3Store):
    modified_at = datetime(2026, 1, 2, 2, tzinfo=UTC)
    elsewhere = timezone(timedelta(hours=2))

    def page(*keys: str, more: str | None) -> dict[str, Any]:
        rest = {"IsTruncated": True, "NextContinuationToken": more} if more else {"IsTruncated": False}
        written = modified_at.astimezone(elsewhere)
        contents = [{"Key": key, "Size": len(key), "LastModified": written} for key in keys]
        return {"Contents": contents, **rest}

    server.add_response("list_objects_v2", page("a/1", "a/22", more="t"), {"Bucket": "lake", "Prefix": "a/"})
    server.add_response(
        "list_objects_v2", page("a/3", more=None), {"Bucket": "lake", "Prefix": "a/", "ContinuationToken": "t"}
    )
    server.add_response("list_objects_v2", {"IsTruncated": False}, {"Bucket": "lake", "Prefix": "b/"})
    found = list(store.list("a/"))
    assert found == [
        StoredObject("a/1", 3, modified_at),
        StoredObject("a/22", 4, modified_at),
        StoredObject("a/3", 3, modified_at),
    ]
    assert {it.modified_at.utcoffset() for it in found} == {timedelta(0)}
    assert list(store.list("b/")) == []


def test_folders_are_listed_by_name_in_order_and_objects_are_left_out(server: Stubber, store: S3Store):
    answer = {
        "Contents": [{"Key": "a/file", "Size": 1}],
        "CommonPrefixes": [{"Prefix": "a/x y/"}, {"Prefix": "a/b/"}],
        "IsTruncated": False,
    }
    server.add_response("list_objects_v2", answer, {"Bucket": "lake", "Prefix": "a/", "Delimiter": "/"})
    assert store.list_folders("a/") == ("b", "x y")


@pytest.mark.parametrize("etag", [None, '"e1"'])
def test_a_conditional_write_asks_for_the_tag_or_for_no_object(server: Stubber, store: S3Store, etag: str | None):
    condition = {"IfNoneMatch": "*"} if etag is None else {"IfMatch": etag}
    asked = {"Bucket": "lake", "Key": "p.json", "Body": b"{}", "ContentType": "application/json", **condition}
    server.add_response("put_object", {"ETag": '"e2"'}, asked)
    assert store.replace("p.json", b"{}", etag=etag) is True


def test_a_conditional_write_has_the_content_type_that_is_asked_for(server: Stubber, store: S3Store):
    asked = {"Bucket": "lake", "Key": "m", "Body": b"x", "ContentType": "application/octet-stream", "IfNoneMatch": "*"}
    server.add_response("put_object", {"ETag": '"e2"'}, asked)
    assert store.replace("m", b"x", etag=None, content_type="application/octet-stream") is True


@pytest.mark.parametrize(
    ("code", "status", "etag"),
    [
        ("PreconditionFailed", 412, None),
        ("PreconditionFailed", 412, '"e1"'),
        ("412", 412, None),
        ("ConditionalRequestConflict", 409, None),
        ("ConditionalRequestConflict", 409, '"e1"'),
        ("NoSuchKey", 404, '"e1"'),
    ],
)
def test_a_conditional_write_that_came_too_late_has_lost(
    server: Stubber, store: S3Store, code: str, status: int, etag: str | None
):
    server.add_client_error("put_object", code, http_status_code=status)
    assert store.replace("p.json", b"{}", etag=etag) is False


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [
        ("NoSuchBucket", 404, ConfigurationError),
        ("AccessDenied", 403, ConfigurationError),
        ("InternalError", 500, StorageUnavailableError),
        ("SlowDown", 503, StorageUnavailableError),
    ],
)
@pytest.mark.parametrize("etag", [None, '"e1"'])
def test_a_conditional_write_that_failed_otherwise_has_not_lost(
    server: Stubber, store: S3Store, code: str, status: int, expected: type[Exception], etag: str | None
):
    server.add_client_error("put_object", code, http_status_code=status)
    with pytest.raises(expected, match="replace s3://lake/p.json"):
        store.replace("p.json", b"{}", etag=etag)


@pytest.mark.parametrize("operation", ["get_object", "copy_object"])
@pytest.mark.parametrize("code", ["NoSuchKey", "404", "NotFound"])
def test_a_missing_object_is_a_key_error_with_its_uri(server: Stubber, store: S3Store, operation: str, code: str):
    server.add_client_error(operation, code, http_status_code=404)
    with pytest.raises(KeyError, match="s3://lake/a/k"):
        CALLS[operation](store)


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize(
    "code", ["AccessDenied", "403", "401", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket"]
)
def test_a_refusal_is_the_operator_s_to_mend(server: Stubber, store: S3Store, operation: str, code: str):
    server.add_client_error(operation, code, http_status_code=403)
    with pytest.raises(ConfigurationError) as caught:
        CALLS[operation](store)
    assert caught.value.where == "object store, bucket 'lake'"
    assert caught.value.problem == f"{VERBS[operation]} s3://lake/a/k was refused ({code})"
    assert "permissions" in caught.value.cure


@pytest.mark.parametrize("operation", CALLS)
@pytest.mark.parametrize(("code", "status"), [("InternalError", 500), ("503", 503), ("SlowDown", 503), ("Odd", 400)])
def test_any_other_answer_may_heal_by_itself(server: Stubber, store: S3Store, operation: str, code: str, status: int):
    server.add_client_error(operation, code, "try later", http_status_code=status)
    with pytest.raises(StorageUnavailableError) as caught:
        CALLS[operation](store)
    assert caught.value.operation == f"{VERBS[operation]} s3://lake/a/k"
    assert "try later" in caught.value.cause


def test_a_server_that_cannot_be_reached_may_come_back(store: S3Store, monkeypatch: pytest.MonkeyPatch):
    def refuse(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="http://127.0.0.1:9")

    for operation in ("get_object", "put_object"):
        monkeypatch.setattr(store._client, operation, refuse)
    with pytest.raises(StorageUnavailableError, match="get s3://lake/a/k"):
        store.get("a/k")
    with pytest.raises(StorageUnavailableError, match="replace s3://lake/a/k"):
        store.replace("a/k", b"", etag=None)


@pytest.mark.parametrize(
    "error", [NoCredentialsError(), PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY")]
)
def test_keys_that_are_not_set_will_not_come_by_themselves(
    store: S3Store, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    def refuse(**_: Any) -> None:
        raise error

    monkeypatch.setattr(store._client, "get_object", refuse)
    with pytest.raises(ConfigurationError, match="get s3://lake/a/k was refused"):
        store.get("a/k")


def test_a_body_that_ends_early_is_an_error_that_may_heal_and_not_a_short_object(server: Stubber, store: S3Store):
    cut = StreamingBody(CutConnection(), 4)
    server.add_response("get_object", {"Body": cut, "ETag": '"e1"'}, {"Bucket": "lake", "Key": "a/k"})
    with pytest.raises(StorageUnavailableError, match="get s3://lake/a/k"):
        store.get("a/k")


def test_a_client_waits_long_enough_for_a_contended_write_and_retries(client: Any):
    config = client.meta.config
    assert config.read_timeout >= 20
    assert config.retries["total_max_attempts"] > 1
    assert config.s3["addressing_style"] == "path"
