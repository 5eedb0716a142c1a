"""An Airflow that answers what a test tells it to, without a socket."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import requests
from requests.adapters import BaseAdapter

from demo.airflow_client import AirflowClient

DAG = "retrain_fashion_mnist"


class FakeAirflow(BaseAdapter):
    """Answers by method and path; of several answers each is given once and the last for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str, str, dict[str, Any], dict[str, str]]] = []
        self.pauses: list[float] = []
        self._answers: dict[tuple[str, str], list[tuple[int, Any]]] = defaultdict(list)
        self.on("POST", "/auth/token", (201, {"access_token": "a-token"}))

    def on(self, method: str, path: str, *answers: tuple[int, Any]) -> FakeAirflow:
        """Sets the answers to a request."""
        self._answers[method, path] = list(answers)
        return self

    def client(self) -> AirflowClient:
        """Returns a client of this Airflow, not logged in."""
        session = requests.Session()
        session.mount("http://", self)
        return AirflowClient("http://airflow.test/", "admin", "pass-word", pause=self.pauses.append, session=session)

    def bodies(self, method: str, path: str) -> list[dict[str, Any]]:
        """Returns what was sent with a request, each time."""
        return [body for a_method, a_path, body, _ in self.asked if (a_method, a_path) == (method, path)]

    def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:
        """Answers a request."""
        address = urlsplit(str(request.url))
        path, query = unquote(address.path), dict(parse_qsl(address.query))
        body = json.loads(request.body) if request.body else {}
        self.asked.append((str(request.method), path, body, query))
        answers = self._answers[str(request.method), path]
        if not answers:
            raise AssertionError(f"The test has no answer to {request.method} {path}.")
        status, content = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(content, Exception):
            raise content
        answer = requests.Response()
        answer.status_code = status
        answer.request = request
        answer._content = content if isinstance(content, bytes) else json.dumps(content).encode()
        return answer

    def close(self) -> None:
        """Has nothing to close."""


def backfill_answer(number: int = 7, completed_at: str | None = None) -> dict[str, Any]:
    """A backfill, as the API describes it, of the two days."""
    return {
        "id": number,
        "dag_id": DAG,
        "from_date": "2026-01-05T00:00:00Z",
        "to_date": "2026-01-06T23:59:59.999999Z",
        "completed_at": completed_at,
    }


def run_answer(day: int, state: str) -> dict[str, Any]:
    """The run of a day of January 2026."""
    return {
        "dag_run_id": f"backfill__2026-01-{day + 1:02d}T02:00:00+00:00",
        "state": state,
        "data_interval_start": f"2026-01-{day:02d}T02:00:00Z",
        "start_date": "2026-02-01T12:00:00Z",
        "end_date": "2026-02-01T12:01:00Z" if state in ("success", "failed") else None,
    }


def runs_answer(*runs: dict[str, Any]) -> dict[str, Any]:
    """A page of runs."""
    return {"dag_runs": list(runs), "total_entries": len(runs)}


def task_answer(task_id: str, state: str | None, **fields: Any) -> dict[str, Any]:
    """A task that, where it has begun, began at noon and took ten seconds."""
    begun = state in ("success", "failed", "running")
    return {
        "task_id": task_id,
        "map_index": -1,
        "state": state,
        "start_date": "2026-02-01T12:00:00Z" if begun else None,
        "end_date": "2026-02-01T12:00:10Z" if state in ("success", "failed") else None,
        "try_number": 1,
        "rendered_map_index": None,
        **fields,
    }


def tasks_answer(*tasks: dict[str, Any]) -> dict[str, Any]:
    """A page of tasks."""
    return {"task_instances": list(tasks), "total_entries": len(tasks)}
