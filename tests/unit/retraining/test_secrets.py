"""The keys of the object store are in nothing that anybody gets to see, whatever goes wrong with the store."""

from __future__ import annotations

import base64
import logging
import os
import socket
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, quote_plus

import pytest
from botocore.config import Config

from include.retraining import steps
from include.retraining.command_line.environment import store_from
from include.retraining.command_line.main import main
from include.retraining.errors import ConfigurationError, DataContractError, RetrainingError, StorageUnavailableError
from include.retraining.pipeline import take_in
from include.retraining.storage import s3
from tests.builders import make_run
from tests.unit.retraining.intake.deliveries import deliver, png

KEY, SECRET = "AKIDPLANTEDFORTHETEST", "pLanted+/=s3cret&of%the test"
FORMS = {
    SECRET,
    quote(SECRET),
    quote(SECRET, safe=""),
    quote_plus(SECRET),
    *(base64.b64encode(text.encode()).decode() for text in (SECRET, f"{KEY}:{SECRET}")),
    *(base64.urlsafe_b64encode(text.encode()).decode() for text in (SECRET, f"{KEY}:{SECRET}")),
    SECRET.encode().hex(),
    repr(SECRET.encode())[2:-1],
}
CALLS = {
    "get": lambda store: store.get("a/k"),
    "put": lambda store: store.put("a/k", b"body"),
    "replace": lambda store: store.replace("a/k", b"body", etag='"e"'),
    "copy": lambda store: store.copy("a/k", "b/k"),
    "exists": lambda store: store.exists("a/k"),
    "list": lambda store: list(store.list("a/")),
    "list_folders": lambda store: store.list_folders("a/"),
    "delete": lambda store: store.delete("a/k"),
}


class Server(BaseHTTPRequestHandler):
    """Answers every request with an error that repeats all it was told, as talkative servers do."""

    status = 403
    code = "SignatureDoesNotMatch"

    def _answer(self) -> None:
        told = "".join(f"{name}: {value} " for name, value in self.headers.items()).replace("&", "&amp;")
        message = f"<Error><Code>{self.code}</Code><Message>{self.path} {told}</Message></Error>".replace("&", "&amp;")
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(message)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(message.encode())

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _answer  # noqa: N815 (names that the base class looks for)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class UnavailableServer(Server):
    """As `Server`, but promises to be back."""

    status = 503
    code = "ServiceUnavailable"


@contextmanager
def talkative(handler: type[Server]) -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def listening(*, accepts: bool) -> Iterator[int]:
    """A port where nobody listens, or somebody who never answers."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        if accepts:
            held.listen(64)
        yield held.getsockname()[1]


ENDPOINTS = {
    "wrong_key": (lambda: talkative(Server), ConfigurationError),
    "unavailable": (lambda: talkative(UnavailableServer), StorageUnavailableError),
    "unreachable": (lambda: listening(accepts=False), StorageUnavailableError),
    "timeout": (lambda: listening(accepts=True), StorageUnavailableError),
}


@pytest.fixture(params=ENDPOINTS)
def refused_by(request, monkeypatch) -> Iterator[type[RetrainingError]]:
    """Points the environment to an endpoint that fails; what an error of it is."""
    opened, kind = ENDPOINTS[request.param]
    impatient = Config(connect_timeout=0.2, read_timeout=0.2, retries={"total_max_attempts": 1})
    monkeypatch.setattr(s3, "CLIENT_CONFIG", s3.CLIENT_CONFIG.merge(impatient))
    with opened() as port:
        environment = {
            "RETRAIN_BUCKET": "lake",
            "RETRAIN_S3_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AIRFLOW_CONN_S3_LAKE": f"aws://{KEY}:{quote(SECRET, safe='')}@/?endpoint_url=x",
        }
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        yield kind


def leaks(text: str) -> list[str]:
    return [form for form in FORMS if form in text]


def test_the_search_finds_each_form():
    assert all(leaks(f"… {form} …") for form in FORMS)
    assert leaks(f"aws://{KEY}:{quote(SECRET, safe='')}@/")
    assert leaks(base64.b64encode(f"{KEY}:{SECRET}".encode()).decode())
    assert not leaks(f"the key {KEY} was refused")


@pytest.mark.parametrize("verb", CALLS)
def test_no_error_of_the_store_and_nothing_logged_meanwhile_holds_a_secret(verb, refused_by, caplog):
    caplog.set_level(logging.DEBUG)  # of every library too
    store = store_from(os.environ)

    with pytest.raises(refused_by) as failure:
        CALLS[verb](store)

    shown = "".join(traceback.format_exception(failure.value))
    assert "s3://lake/a/" in shown
    assert leaks(shown + repr(failure.value) + repr(failure.value.__cause__) + repr(vars(store))) == []
    assert len(caplog.records) > 0
    assert leaks(caplog.text + "".join(repr(vars(record)) for record in caplog.records)) == []


def test_what_a_run_leaves_in_the_store_holds_no_secret_of_its_environment(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AIRFLOW_CONN_S3_LAKE", f"aws://{KEY}:{quote(SECRET, safe='')}@/")
    run = make_run()
    deliver(run.store, {"a.png": png(1), "b.png": b"no image"}, ["a.png,daisy", "b.png,poppy"])

    with pytest.raises(DataContractError) as refusal:  # so that there are quarantine and Data Docs too
        take_in(run, steps.list_batch(run), register_baseline=False, progress=lambda *_: None)
    steps.publish_report(run)

    written = {key: body for key, body in run.store.objects.items() if not key.startswith("incoming/")}
    assert len(written) > 5
    assert leaks(str(refusal.value)) == []
    assert {key for key, body in written.items() if leaks(key + body.decode("latin-1"))} == set()


@pytest.mark.parametrize("command", [["models", "list"], ["models", "verify"]])
def test_the_command_line_tells_of_the_failure_and_no_secret(command, refused_by, caplog, capsys):
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    caplog.set_level(logging.DEBUG)

    try:
        status = main([*command, "fashion_mnist", "--verbose"])
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers

    captured = capsys.readouterr()
    assert status == 1
    assert "lake" in captured.out + captured.err
    assert leaks(captured.out + captured.err + caplog.text) == []


def test_credentials_in_an_endpoint_are_not_in_the_error(monkeypatch):
    monkeypatch.setattr(s3, "CLIENT_CONFIG", Config(connect_timeout=1, retries={"total_max_attempts": 1}))
    with listening(accepts=False) as port:
        endpoint = f"http://{KEY}:{quote(SECRET, safe='')}@127.0.0.1:{port}"
        client = s3.make_client(endpoint_url=endpoint, access_key="a", secret_key="b", region="us-east-1")

        with pytest.raises(StorageUnavailableError) as raised:
            s3.S3Store(client, "lake").get("a/k")

    assert "127.0.0.1" in str(raised.value)
    assert not leaks(str(raised.value))
